import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { WebSocket } from "ws";
import { ask, openHttp2, type StreamAnswer } from "../guest/support/h2-guest.ts";
import { type Asked2, type Http2Upstream, startHttp2 } from "../upstream/support/http2-server.ts";
import { makeCa } from "./support/certificates.ts";
import { type ConfigPart, destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { upgrade } from "./support/websocket.ts";
import { openWsThrough, wsMessage } from "./support/ws-guest.ts";
import { upgraded } from "./support/ws-over-http2.ts";

/** Every kind of attachment on what is no plain request: WebSockets over both versions of HTTP, and gRPC calls. */

const TOKEN = "s3cret-token/+=";
const COOKIE = "cookie-token";
const STAND_IN = "sk-postern-stand-in-0002";
const basic = `Basic ${Buffer.from(`robot:${TOKEN}`).toString("base64")}`;

/** What a request says of who it is. */
interface Said {
  readonly query: string;
  readonly authorization: string;
  readonly "x-api-key": string;
  readonly cookie: string;
}

/** The guest says all of it itself. */
const OWN: Said = {
  query: "a=1&api_key=mine",
  authorization: "Bearer mine",
  "x-api-key": "mine",
  cookie: "a=1; session=mine",
};

interface Kind {
  readonly name: string;
  readonly kind: "token" | "userpass";
  readonly attach: ConfigPart;
  readonly said?: Said;
  /** What of it is another at the upstream. */
  readonly sent: Partial<Said>;
}

const KINDS: readonly Kind[] = [
  { name: "bearer", kind: "token", attach: { as: "bearer" }, sent: { authorization: `Bearer ${TOKEN}` } },
  { name: "basic", kind: "userpass", attach: { as: "basic" }, sent: { authorization: basic } },
  { name: "header", kind: "token", attach: { as: "header", name: "X-Api-Key" }, sent: { "x-api-key": TOKEN } },
  {
    name: "query",
    kind: "token",
    attach: { as: "query", name: "api_key" },
    sent: { query: `a=1&api_key=${encodeURIComponent(TOKEN)}` },
  },
  {
    name: "cookie",
    kind: "token",
    attach: { as: "cookie", name: "session" },
    sent: { cookie: `a=1; session=${COOKIE}` },
  },
  {
    name: "stand-in",
    kind: "token",
    attach: { as: "placeholder", value: STAND_IN, in: ["header:authorization"] },
    said: { ...OWN, authorization: `Bearer ${STAND_IN}` },
    sent: { authorization: `Bearer ${TOKEN}` },
  },
];

let directory = "";
let first: Server;
let second: Http2Upstream;
let edge: Edge;
const sockets = new Set<Socket>();
/** Targets and field lines that came to either upstream. */
let asked: { readonly target: string; readonly raw: readonly string[] }[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-attach-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const leaf = await ca.issue(KINDS.map(hostOf));
  first = createServer({ cert: leaf.certificate, key: leaf.key });
  first.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  first.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    asked.push({ target: request.url ?? "", raw: request.rawHeaders });
    upgrade(request, socket, head);
  });
  await new Promise<void>((done) => first.listen(0, "127.0.0.1", done));
  second = await startHttp2(serve, { tls: leaf, settings: { enableConnectProtocol: true } });
  const ports = { first: (first.address() as AddressInfo).port, second: second.port };
  edge = await startEdge({
    hosts: Object.fromEntries(KINDS.map((kind) => [hostOf(kind), ["127.0.0.1"]])),
    extraRoots: [ca.certificateFile],
    // A cookie's value holds fewer characters than a token may.
    env: { PLAIN_TOKEN: TOKEN, COOKIE_TOKEN: COOKIE },
    credentials: KINDS.map((one) => ({
      name: one.name,
      kind: one.kind,
      ...(one.kind === "userpass" ? { username: "robot" } : {}),
      source: { env: one.name === "cookie" ? "COOKIE_TOKEN" : "PLAIN_TOKEN" },
      hosts: Object.values(ports).map((port) => `${hostOf(one)}:${port}`),
    })),
    destinations: KINDS.flatMap((one) =>
      Object.entries(ports).map(([which, port]) =>
        destinationFor({ address: "127.0.0.1", port, scheme: "https" }, hostOf(one), {
          name: `${one.name}-${which}`,
          credential: `main/${one.name}`,
          attach: one.attach,
          http: which === "second" ? "h2" : "auto",
        }),
      ),
    ),
  });
});

afterAll(async () => {
  await edge?.stop();
  for (const socket of sockets) socket.destroy();
  first?.close();
  await second?.close();
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  asked = [];
});

function hostOf({ name }: Kind): string {
  return `${name}.test`;
}

/** WebSockets are echoed, gRPC calls are answered with an empty message. */
function serve({ stream, raw }: Asked2): void {
  asked.push({ target: raw[raw.indexOf(":path") + 1] ?? "", raw });
  if (raw.includes(":protocol")) {
    const { request, socket } = upgraded(stream, raw);
    upgrade(request, socket, Buffer.alloc(0));
    return;
  }
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(MESSAGE);
}

/** Not compressed, of no bytes. */
const MESSAGE = Buffer.alloc(5);

/** What the one request that came says of who it is; several lines of one name are told apart from one. */
function cameAs(path: string): Said {
  expect(asked).toHaveLength(1);
  const [{ target, raw }] = asked as [(typeof asked)[0]];
  const valuesOf = (name: string): string =>
    raw.filter((_, i) => i % 2 === 1 && raw[i - 1]?.toLowerCase() === name).join(" | ");
  expect(target.startsWith(`${path}?`)).toBe(true);
  return {
    query: target.slice(path.length + 1),
    authorization: valuesOf("authorization"),
    "x-api-key": valuesOf("x-api-key"),
    cookie: valuesOf("cookie"),
  };
}

const portOf = (upstream: string): number =>
  upstream === "HTTP/2" ? second.port : (first.address() as AddressInfo).port;

function openSaying(kind: Kind, said: Said, guest: "HTTP/1.1" | "HTTP/2", upstream: string): Promise<WebSocket> {
  const { query, ...headers } = said;
  const url = `wss://${hostOf(kind)}:${portOf(upstream)}/ws?${query}`;
  return openWsThrough(edge, guest, url, [], { headers });
}

async function call(kind: Kind, said: Said): Promise<StreamAnswer> {
  const { query, ...headers } = said;
  const session = await openHttp2(edge.proxyPort, `${hostOf(kind)}:${second.port}`);
  const head = { ":method": "POST", ":path": `/test.Echo/Unary?${query}`, "content-type": "application/grpc" };
  const answer = await ask(session, { ...head, te: "trailers", ...headers }, MESSAGE);
  session.destroy();
  return answer;
}

const PAIRS = [
  ["HTTP/1.1", "HTTP/1.1"],
  ["HTTP/1.1", "HTTP/2"],
  ["HTTP/2", "HTTP/1.1"],
  ["HTTP/2", "HTTP/2"],
] as const;

describe.each(KINDS)("$name", (kind) => {
  const { said = OWN, sent } = kind;

  test.each(PAIRS)("on a WebSocket over %s, and %s behind the edge", async (guest, upstream) => {
    const socket = await openSaying(kind, said, guest, upstream);
    await once(socket, "open");
    socket.send("hello");
    expect((await wsMessage(socket)).toString()).toBe("hello");
    expect(cameAs("/ws")).toEqual({ ...said, ...sent });
    socket.terminate();
  });

  test("on a gRPC call", async () => {
    const { status, trailers, body } = await call(kind, said);
    expect([status, trailers.get("grpc-status")]).toEqual([200, "0"]);
    expect(body).toEqual(MESSAGE);
    expect(cameAs("/test.Echo/Unary")).toEqual({ ...said, ...sent });
  });
});

describe("without the stand-in nothing is sent", () => {
  const kind = KINDS.find(({ name }) => name === "stand-in") as Kind;

  test.each(PAIRS)("on a WebSocket over %s, and %s behind the edge", async (guest, upstream) => {
    const socket = await openSaying(kind, OWN, guest, upstream);
    const [, answer] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
    expect(answer.headers["x-deny-reason"]).toBe("lease_unusable");
    expect(asked).toEqual([]);
    socket.on("error", () => undefined);
    socket.terminate();
  });

  test("on a gRPC call", async () => {
    const { status, fields } = await call(kind, OWN);
    expect([status, fields.get("grpc-status"), fields.get("x-deny-reason")]).toEqual([200, "14", "lease_unusable"]);
    expect(asked).toEqual([]);
  });
});
