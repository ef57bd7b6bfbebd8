import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { destinationHost, INJECTED_AUTHORIZATION } from "../wire/fixtures.ts";
import type { Contender } from "./contender.ts";
import { outputOf, startProgram } from "./program.ts";

/**
 * HAProxy, TLS in and TLS out with the header set: what native code needs for the bytes alone. No forward proxy: one
 * fixed leaf, one fixed upstream, no minting, no allow-list; so it takes part only where there is no CONNECT.
 */
export const haproxy: Contender = {
  name: "haproxy",
  kind: "reverse",
  inspect() {
    const version = outputOf("haproxy", "-v");
    if (version === null) return { absent: "no `haproxy` here: apt-get install haproxy" };
    return { version: /version (\d[\w.]*)/i.exec(version)?.[1] ?? "unknown" };
  },
  start(stage, { folder }) {
    const { fixedLeaf, ca, upstreamCa } = stage.certificates;
    return startProgram(stage, {
      name: "haproxy",
      kind: "reverse",
      folder,
      trust: ca,
      command(port) {
        const file = join(folder, "haproxy.cfg");
        const upstream = `127.0.0.1:${stage.upstream.tlsPort} ssl verify required ca-file ${upstreamCa}`;
        writeFileSync(file, config(port, fixedLeaf, `${upstream} sni str(${destinationHost(0)})`));
        return ["haproxy", "-db", "-f", file];
      },
    });
  },
};

function config(port: number, leaf: string, upstream: string): string {
  return `
global
  nbthread 1
  maxconn 8000
  log stdout format raw local0 info
defaults
  mode http
  log global
  option httplog
  option dontlognull
  timeout connect 5s
  timeout client 120s
  timeout server 120s
  timeout http-keep-alive 120s
frontend guests
  bind 127.0.0.1:${port} ssl crt ${leaf}
  http-request set-header Authorization "${INJECTED_AUTHORIZATION}"
  default_backend upstream
backend upstream
  http-reuse always
  server upstream ${upstream}
`;
}
