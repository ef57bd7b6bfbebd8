import "./patient-servers.ts";
import { readFileSync } from "node:fs";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { Proxy } from "http-mitm-proxy";
import { destinationHost, INJECTED_AUTHORIZATION, SPECIAL_HOSTS } from "../wire/fixtures.ts";

/** The process of the contender: `PORT CA_FOLDER UPSTREAM_CA DESTINATIONS`. Refuses at the CONNECT what is not listed. */

const [port, caFolder = "", upstreamCa = "", destinations] = process.argv.slice(2);
const allowed = new Set<string>([
  ...SPECIAL_HOSTS,
  ...Array.from({ length: Number(destinations) }, (_, i) => destinationHost(i)),
]);

const proxy = new Proxy();
proxy.onError(() => undefined); // it has written the error to its log already
proxy.onConnect((request, socket, _head, proceed) => {
  if (allowed.has((request.url ?? "").split(":", 1)[0] ?? "")) proceed();
  else socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
});
proxy.onRequest((context, proceed) => {
  const options = context.proxyToServerRequestOptions;
  if (options !== undefined) options.headers["authorization"] = INJECTED_AUTHORIZATION;
  proceed();
});
proxy.onWebSocketConnection((context, proceed) => {
  const options = context.proxyToServerWebSocketOptions;
  if (options !== undefined) options.headers = { ...options.headers, authorization: INJECTED_AUTHORIZATION };
  proceed();
});
proxy.listen({
  host: "127.0.0.1",
  port: Number(port),
  sslCaDir: caFolder,
  keepAlive: true,
  httpAgent: new HttpAgent({ keepAlive: true }),
  httpsAgent: new HttpsAgent({ keepAlive: true, ca: readFileSync(upstreamCa) }),
});
