import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { type AddressInfo, createServer, type Server } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { serveJobs } from "../wire/worker.ts";
import { counts } from "./counts.ts";
import { serveHttp1 } from "./http1.ts";
import { serveStream } from "./http2.ts";
import { serveOpaque } from "./opaque.ts";
import type { UpstreamPorts } from "./ports.ts";

/**
 * The upstream's process: a raw HTTP/1.1 server that costs as little as it can, over TLS and plain, an HTTP/2 server, and
 * plain bytes behind a TLS hello. Every request is held to the injected credential.
 */

export type UpstreamJob =
  | { readonly kind: "listen"; readonly key: string; readonly certificate: string }
  | { readonly kind: "counts" };

serveJobs(async (job: UpstreamJob) => {
  if (job.kind === "counts") return counts;
  // One curve for all, so that no contender pays for a hybrid key exchange that another one does not know.
  const tls = { key: readFileSync(job.key), cert: readFileSync(job.certificate), ecdhCurve: "X25519", noDelay: true };
  // It says what it speaks, as nearly every HTTPS server does: one that chooses nothing is asked a second time by who knows HTTP/2.
  const tlsServer = createTlsServer({ ...tls, ALPNProtocols: ["http/1.1"] }, serveHttp1);
  tlsServer.on("tlsClientError", () => undefined); // a contender may hang up in the middle of a handshake
  const plainServer = createServer({ noDelay: true }, serveHttp1);
  const http2Server = createSecureServer({ ...tls, allowHTTP1: false });
  http2Server.on("stream", serveStream);
  http2Server.on("tlsClientError", () => undefined);
  http2Server.on("sessionError", () => undefined); // a broken session fails the sample at its other end
  const opaqueServer = createServer({ noDelay: true }, serveOpaque);
  return {
    tlsPort: await listen(tlsServer),
    plainPort: await listen(plainServer),
    http2Port: await listen(http2Server),
    opaquePort: await listen(opaqueServer),
  } satisfies UpstreamPorts;
});

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.listen(0, "127.0.0.1", 4096, () => resolve((server.address() as AddressInfo).port));
  });
}
