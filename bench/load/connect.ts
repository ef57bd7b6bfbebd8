import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import type { Route } from "./route.ts";

/** Connections of the load generator: raw, verified, one curve for all contenders, no session resumption. */

const contexts = new Map<string, SecureContext>();

function trusting(pemFile: string): SecureContext {
  let context = contexts.get(pemFile);
  if (context === undefined) {
    context = createSecureContext({ ca: readFileSync(pemFile), ecdhCurve: "X25519" });
    contexts.set(pemFile, context);
  }
  return context;
}

/** TCP to where the guest would connect: proxy, or upstream when direct. */
export function openTcp(route: Route, directPort: number): Promise<Socket> {
  const socket = connect({
    host: "127.0.0.1",
    port: route.kind === "direct" ? directPort : route.proxyPort,
    noDelay: true,
  });
  return settled(socket, "connect", socket);
}

/** A TLS connection to `host` with the guest's trust, through CONNECT where the contender is a forward proxy. */
export async function openTunnel(route: Route, host: string): Promise<TLSSocket> {
  const socket = await openTcp(route, route.upstreamTlsPort);
  if (route.kind === "forward") {
    const status = await askConnect(socket, `${host}:${route.upstreamTlsPort}`);
    if (status !== 200) {
      socket.destroy();
      throw new Error(`CONNECT ${host} was answered with ${status}`);
    }
  }
  return startTls(socket, route.trust, host);
}

export function startTls(socket: Socket, trust: string, host: string): Promise<TLSSocket> {
  const tlsSocket = connectTls({ socket, servername: host, secureContext: trusting(trust) });
  return settled(tlsSocket, "secureConnect", tlsSocket);
}

/** Sends a CONNECT. @returns the status; anything after the head of a 200 is an error */
export function askConnect(socket: Socket, authority: string): Promise<number> {
  let head = "";
  let onData: (chunk: Buffer) => void = () => undefined;
  const answer = new Promise<number>((resolve, reject) => {
    onData = (chunk) => {
      head += chunk.toString("latin1");
      const end = head.indexOf("\r\n\r\n");
      if (end < 0 && head.length < 16_384) return;
      const status = /^HTTP\/1\.1 (\d{3})[ \r]/.exec(head);
      if (status === null) reject(new Error(`no answer to a CONNECT: ${JSON.stringify(head.slice(0, 60))}`));
      else if (status[1] === "200" && head.length > end + 4) reject(new Error("bytes behind the answer to a CONNECT"));
      else resolve(Number(status[1]));
    };
    socket.on("data", onData);
  });
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  return whileOpen(socket, answer).finally(() => socket.off("data", onData));
}

/** `value` once `event` has come. */
function settled<T extends Socket>(socket: T, event: "connect" | "secureConnect", value: T): Promise<T> {
  return whileOpen(
    socket,
    new Promise<T>((resolve) => {
      socket.once(event, () => resolve(value));
    }),
  );
}

/** Fails as soon as the socket does. */
function whileOpen<T>(socket: Socket, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => reject(error);
    const onClose = (): void => reject(new Error("the connection was closed"));
    socket.on("error", onError);
    socket.on("close", onClose);
    work.then(resolve, reject).finally(() => {
      socket.off("error", onError);
      socket.off("close", onClose);
    });
  });
}
