import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type ClientOptions, WebSocket } from "ws";
import { openHttp2 } from "../../guest/support/h2-guest.ts";
import { openGuest, type RawGuest } from "../../hostile/raw-guest.ts";
import type { Edge } from "./edge.ts";
import { type House, WAYS } from "./house.ts";
import type { Upstream } from "./upstream.ts";
import { upgradable } from "./ws-over-http2.ts";

/** What each way of a WebSocket to `api.test` goes over, up to the edge and behind it. */
const WAYS_OF = {
  "wss in a tunnel": { guest: "HTTP/1.1", upstream: "secure" },
  "ws in a tunnel": { guest: "HTTP/1.1", upstream: "plain" },
  "ws in absolute-form": { guest: "HTTP/1.1", upstream: "plain" },
  "wss over HTTP/2": { guest: "HTTP/2", upstream: "secure" },
  "wss in a tunnel, behind it over HTTP/2": { guest: "HTTP/1.1", upstream: "HTTP/2" },
  "wss over HTTP/2, behind it as well": { guest: "HTTP/2", upstream: "HTTP/2" },
} as const;
export type WsWay = keyof typeof WAYS_OF;
export const WS_WAYS = Object.keys(WAYS_OF) as readonly WsWay[];

/** The upstream that a way leads to; those over HTTP/2 need a house with `webSocketsOverHttp2`. */
export function wsUpstream(house: House, way: WsWay): Pick<Upstream, "port" | "scheme" | "requests"> {
  const { upstream } = WAYS_OF[way];
  if (upstream !== "HTTP/2") return house.upstream(upstream === "secure" ? WAYS[0] : WAYS[1]);
  if (house.overHttp2 === null) throw new Error("nobody in this house speaks WebSocket over HTTP/2");
  return house.overHttp2;
}

/** What the upstream sees of the handshake's method (RFC 8441 §5: over HTTP/2 it is CONNECT). */
export function wsMethod(way: WsWay): "GET" | "CONNECT" {
  return WAYS_OF[way].upstream === "HTTP/2" ? "CONNECT" : "GET";
}

/** Opens a WebSocket with `ws` the way a proxy agent does; not awaited, so that a refusal can be looked at. */
export async function openWs(
  house: House,
  way: WsWay,
  path = "/ws",
  protocols: string[] = [],
  more: ClientOptions = {},
): Promise<WebSocket> {
  const { port, scheme } = wsUpstream(house, way);
  const authority = `api.test:${port}`;
  const url = `${scheme === "https" ? "wss" : "ws"}://${authority}${path}`;
  if (way !== "ws in absolute-form") return openWsThrough(house.edge, WAYS_OF[way].guest, url, protocols, more);
  const options: ClientOptions = {
    ...more,
    createConnection: () => connect(house.edge.proxyPort, "127.0.0.1"),
    finishRequest(request) {
      request.path = `http://${authority}${path}`;
      request.end();
    },
  };
  return new WebSocket(url, protocols, options);
}

/** The same to any URL, in a tunnel. @param version that the guest speaks in it, where there is TLS */
export async function openWsThrough(
  edge: Edge,
  version: "HTTP/1.1" | "HTTP/2",
  url: string,
  protocols: string[] = [],
  more: ClientOptions = {},
): Promise<WebSocket> {
  const { protocol, host, hostname } = new URL(url);
  if (version === "HTTP/2") {
    const session = await openHttp2(edge.proxyPort, host);
    return new WebSocket(url, protocols, { ...more, createConnection: () => upgradable(session) });
  }
  const socket = await tunnel(edge, host);
  return new WebSocket(url, protocols, {
    ...more,
    createConnection: () =>
      protocol === "wss:" ? connectTls({ socket, servername: hostname, ca: edge.ca.certificate }) : socket,
  });
}

async function tunnel(edge: Edge, authority: string): Promise<Socket> {
  const guest: RawGuest = await openGuest(edge.proxyPort);
  guest.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  const answer = await guest.until(/\r\n\r\n/);
  if (!answer.startsWith("HTTP/1.1 200 ")) throw new Error(`CONNECT was refused: ${answer}`);
  guest.socket.removeAllListeners("data");
  return guest.socket;
}

export async function openedWs(house: House, way: WsWay, path = "/ws", protocols: string[] = []): Promise<WebSocket> {
  const socket = await openWs(house, way, path, protocols);
  await once(socket, "open");
  return socket;
}

/** The next message. */
export async function wsMessage(socket: WebSocket): Promise<Buffer> {
  const [data] = (await once(socket, "message")) as [Buffer];
  return data;
}

/** Code and reason that the other side closed with, 1006 when it just went. */
export async function wsClosed(socket: WebSocket): Promise<[number, string]> {
  const [code, reason] = (await once(socket, "close")) as [number, Buffer];
  return [code, reason.toString()];
}
