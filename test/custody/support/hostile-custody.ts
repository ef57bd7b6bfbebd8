import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { TestLeaf } from "../../house/support/certificates.ts";

export interface Asked {
  readonly path: string;
  readonly json: Record<string, unknown>;
}

/** What a hostile custody does with one request that it read whole. */
export type Behaviour = (asked: Asked, socket: Socket) => void;

export interface HostileCustody {
  readonly port: number;
  /** Lease requests that arrived whole. */
  readonly asked: Asked[];
  /** Connections that were accepted. */
  readonly connections: () => number;
  /** Whether one of them is from this port. */
  readonly hasAccepted: (port: number | undefined) => boolean;
  behave: Behaviour;
  /** The process is gone: nothing listens, every connection is reset. */
  readonly kill: () => Promise<void>;
  /** It is back at the same place. */
  readonly revive: () => Promise<void>;
}

export interface HostilePlace {
  /** Speaks TLS with this certificate and asks for no client certificate; `null` speaks plain text. */
  readonly leaf: TestLeaf | null;
  /** A unix socket instead of a port. */
  readonly path?: string;
}

/** A custody that answers whatever bytes the test wants, on a raw socket: no library keeps it honest. */
export async function hostileCustody({ leaf, path }: HostilePlace): Promise<HostileCustody> {
  const sockets = new Set<Socket>();
  const asked: Asked[] = [];
  const accepted: (number | undefined)[] = [];
  let server: Server | null = null;
  let port = 0;
  const custody: HostileCustody = {
    get port() {
      return port;
    },
    asked,
    connections: () => accepted.length,
    hasAccepted: (from) => accepted.includes(from),
    behave: grantHonestly(),
    kill: async () => {
      const closing = server;
      server = null;
      if (closing === null) return;
      const closed = once(closing, "close");
      closing.close();
      for (const socket of sockets) socket.destroy();
      await closed;
      if (path !== undefined) await rm(path, { force: true });
    },
    revive: async () => {
      const next =
        leaf === null ? createTcpServer(serve) : createTlsServer({ cert: leaf.certificate, key: leaf.key }, serve);
      // Below TLS, so that a connection that never shakes hands is closed as well.
      next.on("connection", (socket: Socket) => {
        accepted.push(socket.remotePort);
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket));
        socket.on("error", () => socket.destroy());
      });
      next.on("tlsClientError", () => undefined);
      next.listen(path === undefined ? { host: "127.0.0.1", port } : { path });
      await once(next, "listening");
      if (path === undefined) port = (next.address() as AddressInfo).port;
      server = next;
    },
  };
  await custody.revive();
  return custody;

  function serve(socket: Socket): void {
    let text = "";
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("utf8");
      const taken = takeRequest(text);
      if (taken === null) return;
      text = taken.rest;
      if (taken.asked.path === "/v1/leases") asked.push(taken.asked);
      custody.behave(taken.asked, socket);
    });
  }
}

/** One whole request, or `null` while it is not there. */
function takeRequest(text: string): { readonly asked: Asked; readonly rest: string } | null {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const length = Number(/^content-length: (\d+)$/im.exec(text.slice(0, end))?.[1] ?? 0);
  const body = Buffer.from(text.slice(end + 4), "utf8");
  if (body.length < length) return null;
  const path = text.split(" ", 2)[1] ?? "";
  const json = length === 0 ? {} : (JSON.parse(body.toString("utf8", 0, length)) as Record<string, unknown>);
  return { asked: { path, json }, rest: body.toString("utf8", length) };
}

/** A well-formed answer. */
export function answer(status: number, body: string, type = "application/json"): Behaviour {
  return (_asked, socket) => {
    const length = Buffer.byteLength(body);
    socket.write(`HTTP/1.1 ${status} X\r\ncontent-type: ${type}\r\ncontent-length: ${length}\r\n\r\n${body}`);
  };
}

/** The bytes as they are; `end` closes the connection after them. */
export function bytes(raw: string | Buffer, end = false): Behaviour {
  return (_asked, socket) => {
    if (end) socket.end(raw);
    else socket.write(raw);
  };
}

/** A grant as an honest custody would give it for this request. */
export function honestGrant({ json }: Asked, token: string): Record<string, unknown> {
  const session = json["session"] as { readonly id: string; readonly tenant: string };
  return {
    lease_id: "hostile-lease",
    credential: json["credential"],
    kind: "token",
    material: { token },
    ttl_ms: 900_000,
    scope: { tenant: session.tenant, session: session.id, host: json["host"], port: json["port"] },
    resource_ref: "0011223344556677",
  };
}

/** Honest but for what `twist` changes. Health is always well, and nothing is ever revoked. */
export function grantHonestly(
  token = "honest-token",
  twist: (grant: Record<string, unknown>) => unknown = (grant) => grant,
): Behaviour {
  return (asked, socket) => {
    if (asked.path.startsWith("/v1/revocations/feed")) {
      answer(200, '{"cursor":"e.0","reset":false,"changes":[]}')(asked, socket);
      return;
    }
    const body = asked.path === "/v1/health" ? { status: "ok" } : twist(honestGrant(asked, token));
    answer(200, JSON.stringify(body))(asked, socket);
  };
}
