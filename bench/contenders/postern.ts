import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Stage } from "../stage/stage.ts";
import { destinationHost, INJECTED_TOKEN, PLAIN_HOST, ZONE } from "../wire/fixtures.ts";
import { buildPostern } from "./build.ts";
import type { Contender } from "./contender.ts";
import { startProgram } from "./program.ts";

/** The edge as an operator runs it: embedded custody, lease keeper, audit, metrics, one log line an exchange to a file. */
export const postern: Contender = {
  name: "postern",
  kind: "forward",
  inspect() {
    if (!existsSync(SOURCE)) return { absent: "src/main.ts is not there" };
    return { version: "this tree" };
  },
  start(stage, { folder, destinations, profiles }) {
    return startProgram(stage, {
      name: "postern",
      kind: "forward",
      folder,
      trust: stage.certificates.ca,
      env: { BENCH_CREDENTIAL: INJECTED_TOKEN },
      readyWithinMs: 30_000,
      async command(port) {
        const file = join(folder, "postern.yaml");
        writeFileSync(file, config(stage, port, destinations));
        const profiling =
          profiles === null ? [] : ["--cpu-prof", "--cpu-prof-interval", "500", "--cpu-prof-dir", profiles];
        // The flags of the image.
        return [
          process.execPath,
          "--max-semi-space-size=4",
          ...profiling,
          await buildPostern(),
          "serve",
          "--config",
          file,
        ];
      },
    });
  },
};

const SOURCE = join(import.meta.dirname, "..", "..", "src", "main.ts");

function config(stage: Stage, port: number, destinations: number): string {
  const { tlsPort, plainPort } = stage.upstream;
  const list = Array.from({ length: destinations }, (_, i) => inspected(i, tlsPort)).join("");
  return `
listeners:
  - name: guests
    address: 127.0.0.1:${port}
    session: { mode: open, tenant: local, workspace: default, id: local }
admin:
  address: 127.0.0.1:0
ca:
  certificate: ${stage.certificates.ca}
  key: ${stage.certificates.caKey}
upstream:
  extra_roots: [${stage.certificates.upstreamCa}]
resolver:
  hosts: { "*.${ZONE}": [127.0.0.1] }
log:
  level: info
  exchanges: true
audit:
  file: audit.jsonl
  mode: durable_first
  fsync: interval
custody:
  main:
    embedded:
      credentials:
        - name: bench
          kind: token
          source: { env: BENCH_CREDENTIAL }
          hosts: ["*.${ZONE}:${tlsPort}", "*.${ZONE}:${plainPort}"]
          ttl_seconds: 900
destinations:
  - name: plain
    host: ${PLAIN_HOST}
    port: ${plainPort}
    scheme: http
    allow:
      - methods: [GET]
        paths: ["/**"]
    credential: bench
    attach: { as: bearer }
    plain_http_credential: accept
    addresses: [127.0.0.0/8]
${list}`;
}

function inspected(index: number, port: number): string {
  return `  - name: api-${index}
    host: ${destinationHost(index)}
    port: ${port}
    scheme: https
    tls: inspect
    allow:
      - methods: [GET, POST]
        paths: ["/json", "/download", "/upload"]
    credential: bench
    attach: { as: bearer }
    addresses: [127.0.0.0/8]
`;
}
