import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type ClientOptions, WebSocket } from "ws";
import { openGuest, type RawGuest } from "../../hostile/raw-guest.ts";
import { type House, WAYS } from "./house.ts";
import type { Upstream } from "./upstream.ts";

/** The ways of a WebSocket to `api.test`. */
export const WS_WAYS = ["wss in a tunnel", "ws in a tunnel", "ws in absolute-form"] as const;
export type WsWay = (typeof WS_WAYS)[number];

export function wsUpstream(house: House, way: WsWay): Upstream {
  return house.upstream(way === "wss in a tunnel" ? WAYS[0] : WAYS[1]);
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
  if (way === "ws in absolute-form") {
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
  const socket = await tunnel(house, authority);
  return new WebSocket(url, protocols, {
    ...more,
    createConnection: () =>
      scheme === "https" ? connectTls({ socket, servername: "api.test", ca: house.edge.ca.certificate }) : socket,
  });
}

async function tunnel(house: House, authority: string): Promise<Socket> {
  const guest: RawGuest = await openGuest(house.edge.proxyPort);
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
