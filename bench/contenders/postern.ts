import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Stage } from "../stage/stage.ts";
import { GRPC_PATH } from "../wire/grpc.ts";
import {
  destinationHost,
  HTTP2_HOST,
  INJECTED_TOKEN,
  LIVE_HOST,
  OPAQUE_HOST,
  PLAIN_HOST,
  ZONE,
} from "../wire/fixtures.ts";
import { buildPostern } from "./build.ts";
import type { Contender } from "./contender.ts";
import { startProgram } from "./program.ts";

/** The edge as an operator runs it: embedded custody, lease keeper, audit, metrics, one log line an exchange to a file. */
export const postern: Contender = posternOf("postern", join(import.meta.dirname, "..", ".."), "this tree");

/** Another tree of Postern as `baseline`: what a change costs or saves shows in the ratio of the two. */
export function baseline(checkout: string): Contender {
  return posternOf("baseline", checkout, checkout);
}

function posternOf(name: string, checkout: string, version: string): Contender {
  return {
    name,
    kind: "forward",
    inspect() {
      const source = join(checkout, "src", "main.ts");
      return existsSync(source) ? { version } : { absent: `${source} is not there` };
    },
    start(stage, { folder, destinations, profiles }) {
      return startProgram(stage, {
        name,
        kind: "forward",
        folder,
        trust: stage.certificates.ca,
        env: { BENCH_CREDENTIAL: INJECTED_TOKEN, ...imageEnvironment(checkout) },
        readyWithinMs: 30_000,
        async command(port) {
          const file = join(folder, "postern.yaml");
          writeFileSync(file, config(stage, port, destinations, knowsHttp2(checkout)));
          const profiling =
            profiles === null ? [] : ["--cpu-prof", "--cpu-prof-interval", "500", "--cpu-prof-dir", profiles];
          const main = await buildPostern(checkout);
          return [process.execPath, ...imageFlags(checkout), ...profiling, main, "serve", "--config", file];
        },
      });
    },
  };
}

/** What the image of that tree gives to node. */
function imageFlags(checkout: string): string[] {
  const entry = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfileOf(checkout))?.[1];
  if (entry === undefined) throw new Error("the Dockerfile has no ENTRYPOINT to take the flags from");
  return (JSON.parse(entry) as string[]).filter((word) => word.startsWith("--"));
}

/** What the image of that tree tells the allocator. */
function imageEnvironment(checkout: string): Record<string, string> {
  const settings = dockerfileOf(checkout).matchAll(/\b(MALLOC_[A-Z_]+)=(\S+)/g);
  return Object.fromEntries([...settings].map(([, name = "", value = ""]) => [name, value]));
}

function dockerfileOf(checkout: string): string {
  return readFileSync(join(checkout, "Dockerfile"), "utf8");
}

/** Whether that tree can be told which HTTP a destination speaks; one that cannot chooses HTTP/1.1, which the measure is told. */
function knowsHttp2(checkout: string): boolean {
  const schema = JSON.parse(readFileSync(join(checkout, "config", "postern.schema.json"), "utf8")) as ConfigSchema;
  return "http" in schema.properties.destinations.items.properties;
}

interface ConfigSchema {
  readonly properties: {
    readonly destinations: { readonly items: { readonly properties: Readonly<Record<string, unknown>> } };
  };
}

function config(stage: Stage, port: number, destinations: number, knowsHttp2: boolean): string {
  const { tlsPort, plainPort, http2Port, opaquePort } = stage.upstream;
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
          hosts: ["*.${ZONE}:${tlsPort}", "*.${ZONE}:${plainPort}", "*.${ZONE}:${http2Port}"]
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
  - name: live
    host: ${LIVE_HOST}
    port: ${tlsPort}
    allow:
      - methods: [GET]
        paths: ["/events", "/socket"]
    credential: bench
    attach: { as: bearer }
    addresses: [127.0.0.0/8]
  - name: http2
    host: ${HTTP2_HOST}
    port: ${http2Port}${knowsHttp2 ? "\n    http: h2" : ""}
    allow:
      - methods: [GET, POST]
        paths: ["/json", "${GRPC_PATH}"]
    credential: bench
    attach: { as: bearer }
    addresses: [127.0.0.0/8]
  - name: opaque
    host: ${OPAQUE_HOST}
    port: ${opaquePort}
    tls: passthrough
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
