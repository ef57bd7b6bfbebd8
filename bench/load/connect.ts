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
  return startTls(await openBytes(route, host, route.upstream.tlsPort), route.trust, host);
}

/**
 * The same for a client that would like to speak HTTP/2.
 * @returns `null` when the other side chose something else
 */
export async function openHttp2Tunnel(route: Route, host: string, port: number): Promise<TLSSocket | null> {
  const socket = await startTls(await openBytes(route, host, port), route.trust, host, ["h2", "http/1.1"]);
  if (socket.alpnProtocol === "h2") return socket;
  socket.destroy();
  return null;
}

/** Bytes to `port` of the upstream, through CONNECT where there is one. */
export async function openBytes(route: Route, host: string, port: number): Promise<Socket> {
  const socket = await openTcp(route, port);
  if (route.kind === "direct" || route.kind === "reverse") return socket;
  const status = await askConnect(socket, `${host}:${port}`);
  if (status === 200) return socket;
  socket.destroy();
  throw new Error(`CONNECT ${host} was answered with ${status}`);
}

export function startTls(socket: Socket, trust: string, host: string, alpn?: readonly string[]): Promise<TLSSocket> {
  const tlsSocket = connectTls({
    socket,
    servername: host,
    secureContext: trusting(trust),
    ...(alpn === undefined ? {} : { ALPNProtocols: alpn }),
  });
  return settled(tlsSocket, "secureConnect", tlsSocket);
}

/** Sends a CONNECT. @returns the status; anything after the head of a 200 is an error */
export async function askConnect(socket: Socket, authority: string): Promise<number> {
  const { status } = await askForBytes(socket, `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`, 200);
  return status;
}

interface HeadOfAnswer {
  readonly status: number;
  /** Start line to blank line, as Latin-1. */
  readonly head: string;
}

/** Sends a request after which the connection is no HTTP any more if the answer is `good`; nothing may follow that yet. */
export function askForBytes(socket: Socket, request: string, good: 101 | 200): Promise<HeadOfAnswer> {
  let head = "";
  let onData: (chunk: Buffer) => void = () => undefined;
  const answer = new Promise<HeadOfAnswer>((resolve, reject) => {
    onData = (chunk) => {
      head += chunk.toString("latin1");
      const end = head.indexOf("\r\n\r\n");
      if (end < 0 && head.length < 16_384) return;
      const status = Number(/^HTTP\/1\.1 (\d{3})[ \r]/.exec(head)?.[1] ?? Number.NaN);
      if (Number.isNaN(status)) reject(new Error(`no answer to a request: ${JSON.stringify(head.slice(0, 60))}`));
      else if (status === good && head.length > end + 4) reject(new Error(`bytes behind the head of a ${good}`));
      else resolve({ status, head });
    };
    socket.on("data", onData);
  });
  socket.write(request, "latin1");
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
