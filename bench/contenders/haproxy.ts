import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { destinationHost, HTTP2_HOST, INJECTED_AUTHORIZATION } from "../wire/fixtures.ts";
import type { Contender } from "./contender.ts";
import { outputOf, startProgram } from "./program.ts";

/**
 * HAProxy, TLS in and TLS out with the header set: what native code needs for the bytes alone. No forward proxy: one
 * fixed leaf, fixed upstreams, no minting, no allow-list; so it takes part only where there is no CONNECT.
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
        const { tlsPort, http2Port } = stage.upstream;
        const tls = `ssl verify required ca-file ${upstreamCa}`;
        const http1 = `127.0.0.1:${tlsPort} ${tls} sni str(${destinationHost(0)})`;
        const http2 = `127.0.0.1:${http2Port} ${tls} sni str(${HTTP2_HOST}) alpn h2`;
        writeFileSync(file, config(port, fixedLeaf, http1, http2));
        return ["haproxy", "-db", "-f", file];
      },
    });
  },
};

function config(port: number, leaf: string, http1: string, http2: string): string {
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
  timeout tunnel 120s
  timeout http-keep-alive 120s
frontend guests
  bind 127.0.0.1:${port} ssl crt ${leaf} alpn h2,http/1.1
  http-request set-header Authorization "${INJECTED_AUTHORIZATION}"
  use_backend http2 if { req.hdr(host) -m beg ${HTTP2_HOST} }
  default_backend http1
backend http1
  http-reuse always
  server upstream ${http1}
backend http2
  http-reuse always
  server upstream ${http2}
`;
}
