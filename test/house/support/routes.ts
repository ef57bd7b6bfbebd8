import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { serveGit } from "./git-backend.ts";
import { patternBytes, patternStream } from "./pattern.ts";
import { valuesOf, type Recorded } from "./recording.ts";

/** What the recorder upstream answers, a path a route. Figures come from the query: `/download?bytes=1048576`. */

export interface RouteContext {
  readonly gitRoot: string | null;
  /** Keys of `/unauthorized-once` that were refused already. */
  readonly refusedOnce: Set<string>;
}

interface Visit {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly recorded: Recorded;
  readonly query: URLSearchParams;
  readonly context: RouteContext;
}

type Route = (visit: Visit) => void | Promise<void>;

/** Looks a path up here and runs its route; an error inside breaks the connection, which a test cannot mistake for an answer. */
export function answer(
  request: IncomingMessage,
  response: ServerResponse,
  recorded: Recorded,
  context: RouteContext,
): void {
  const url = new URL(request.url ?? "/", "http://upstream");
  const route = ROUTES[url.pathname] ?? (url.pathname.startsWith("/git/") ? serveRepository : anyOther);
  const visit = { request, response, recorded, query: url.searchParams, context };
  Promise.resolve()
    .then(() => route(visit))
    .catch(() => response.destroy());
}

/** What a request without the demanded credential gets. */
export function refuse(response: ServerResponse): void {
  response.writeHead(401, { "content-type": "text/plain", "www-authenticate": 'Basic realm="upstream"' });
  response.end("no credential\n");
}

const ROUTES: Readonly<Record<string, Route>> = {
  /** The body back, with its type; `x-body-sha256` tells what arrived. */
  "/echo": async ({ request, response, recorded }) => {
    const body = await readBody(request);
    response.writeHead(200, {
      "content-type": request.headers["content-type"] ?? "application/octet-stream",
      "content-length": body.length,
      "x-body-sha256": recorded.bodySha256,
    });
    response.end(body);
  },

  /** The body back as it comes, chunk by chunk: full duplex. */
  "/echo-stream": async ({ request, response }) => {
    response.writeHead(200, { "content-type": "application/octet-stream" });
    response.flushHeaders();
    await pipeline(request, response);
  },

  /** The record of this very request as JSON. */
  "/inspect": async ({ request, response, recorded }) => {
    await drain(request);
    sendJson(response, 200, recorded);
  },

  /** `events` server-sent events, `gap` ms apart. */
  "/sse": async ({ response, query }) => {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
    for (let i = 0; i < number(query, "events", 3); i++) {
      if (i > 0) await sleep(number(query, "gap", 20));
      response.write(`id: ${i}\ndata: event ${i}\n\n`);
    }
    response.end();
  },

  /** `chunks` chunks of `size` bytes of the pattern. */
  "/chunked": ({ response, query }) => {
    const size = number(query, "size", 10);
    response.writeHead(200, { "content-type": "application/octet-stream" });
    for (let i = 0; i < number(query, "chunks", 5); i++) response.write(patternBytes(i * size, (i + 1) * size));
    response.end();
  },

  "/trailers": ({ response }) => {
    response.writeHead(200, { "content-type": "text/plain", trailer: "x-checksum, x-late" });
    response.write("body before trailers\n");
    response.addTrailers({ "x-checksum": "abc123", "x-late": "true" });
    response.end();
  },

  /** `bytes` of the pattern, with a length, or chunked with `chunked=1`. */
  "/download": async ({ request, response, query }) => {
    const bytes = number(query, "bytes", 1 << 20);
    const type = { "content-type": "application/octet-stream" };
    response.writeHead(200, query.has("chunked") ? type : { ...type, "content-length": bytes });
    if (request.method === "HEAD") response.end();
    else await pipeline(patternStream(0, bytes), response);
  },

  /** Reads the body and tells its size and hash; `pause` ms before the first byte is read. */
  "/upload": async ({ request, response, recorded, query }) => {
    await sleep(number(query, "pause", 0));
    await drain(request);
    sendJson(response, 200, { bytes: recorded.bodyBytes, sha256: recorded.bodySha256, trailers: recorded.rawTrailers });
  },

  "/redirect": ({ response, query }) => {
    response.writeHead(number(query, "status", 302), { location: query.get("to") ?? "/", "content-length": 0 });
    response.end();
  },

  "/set-cookie": ({ response }) => {
    response.writeHead(200, { "set-cookie": ["first=1; Path=/; HttpOnly", "second=2; Secure"], "content-length": 0 });
    response.end();
  },

  /**
   * Everything the request carried comes back: each field as `x-reflect-<name>`, as a trailer, as a cookie, in the
   * location, in the body; the value of the field named by `reason` in the status text. What a careless upstream leaks.
   */
  "/reflect": ({ request, response, recorded, query }) => {
    const names = [...new Set(Object.keys(request.headers))];
    const lines = names.flatMap((name) => valuesOf(recorded, name).map((value) => [name, value] as const));
    const fields = lines.map(([name, value]) => [`x-reflect-${name}`, value] as const);
    const authorization = request.headers.authorization ?? "none";
    const reason = query.get("reason");
    const raw = [
      ...fields,
      ["location", `/next?token=${encodeURIComponent(authorization)}`],
      ["set-cookie", `echo=${encodeURIComponent(authorization)}`],
      ["x-base64", Buffer.from(authorization).toString("base64")],
      ["x-hex", Buffer.from(authorization).toString("hex")],
      ["x-json", JSON.stringify({ authorization })],
      ["x-target", recorded.url],
      ["content-type", "text/plain"],
      ["trailer", "x-trailer"],
    ].flat();
    response.writeHead(
      number(query, "status", 200),
      reason === null ? "OK" : `Saw ${valuesOf(recorded, reason)[0]}`,
      raw,
    );
    response.write(
      `${recorded.method} ${recorded.url}\n${lines.map(([name, value]) => `${name}: ${value}\n`).join("")}`,
    );
    response.addTrailers({ "x-trailer": authorization });
    response.end();
  },

  /** The credential in the body, in a content coding: `coding=gzip|br|zstd|deflate`. */
  "/encoded": ({ request, response, query }) => {
    const body = Buffer.from(`the credential is ${request.headers.authorization ?? "absent"}\n`);
    const coding = query.get("coding") ?? "gzip";
    const encode = CODINGS[coding];
    if (encode === undefined) return sendJson(response, 404, { coding });
    response.writeHead(200, { "content-type": "text/plain", "content-encoding": coding });
    response.end(encode(body));
  },

  /** 401 at the first sight of `key`, 200 afterwards. */
  "/unauthorized-once": async ({ request, response, query, context }) => {
    await drain(request);
    const key = query.get("key") ?? "";
    if (context.refusedOnce.has(key)) return sendJson(response, 200, { accepted: true });
    context.refusedOnce.add(key);
    response.writeHead(401, { "content-type": "text/plain", "www-authenticate": "Bearer" });
    response.end("stale credential\n");
  },

  "/unauthorized": async ({ request, response }) => {
    await drain(request);
    refuse(response);
  },

  /** Waits `ms` before the head, `body_ms` between the head and the body. */
  "/slow": async ({ response, query }) => {
    await sleep(number(query, "ms", 200));
    response.writeHead(200, { "content-type": "text/plain", "content-length": 5 });
    response.flushHeaders();
    await sleep(number(query, "body_ms", 0));
    response.end("slow\n");
  },

  /** Promises `bytes`, sends `after` of them, and resets; `chunked=1` breaks a chunked body, `after=head` sends none. */
  "/reset": ({ request, response, query }) => {
    if (query.get("after") === "nothing") return void request.socket.destroy();
    const bytes = number(query, "bytes", 10_000);
    response.writeHead(200, query.has("chunked") ? {} : { "content-length": bytes });
    response.flushHeaders();
    response.write(patternBytes(0, number(query, "after", 1000)), () => request.socket.destroy());
  },

  /** Answers 413 before the body has come, and reads none of it. */
  "/early": ({ response, query }) => {
    const close = query.has("close") ? { connection: "close" } : {};
    response.writeHead(413, { "content-type": "text/plain", "content-length": 10, ...close });
    response.end("too large\n");
  },

  "/expect/accept": async ({ request, response, recorded }) => {
    if (request.headers.expect !== undefined) response.writeContinue();
    await drain(request);
    sendJson(response, 200, { bytes: recorded.bodyBytes, sha256: recorded.bodySha256 });
  },

  "/expect/refuse": ({ response }) => {
    response.writeHead(417, { "content-type": "text/plain", "content-length": 8, connection: "close" });
    response.end("refused\n");
  },

  /** 102 and 103 before the answer. */
  "/interim": ({ response }) => {
    response.writeProcessing();
    response.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" });
    sendJson(response, 200, { interim: true });
  },

  /** A megabyte with an entity tag; single ranges. */
  "/range": ({ request, response }) => {
    const size = 1 << 20;
    const common = { "accept-ranges": "bytes", etag: '"pattern"', "content-type": "application/octet-stream" };
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    if (request.headers["if-none-match"] === '"pattern"') {
      response.writeHead(304, common);
      return void response.end();
    }
    if (range === null) {
      response.writeHead(200, { ...common, "content-length": size });
      return void response.end(request.method === "HEAD" ? undefined : patternBytes(0, size));
    }
    const start = Number(range[1]);
    const end = range[2] === "" ? size : Math.min(size, Number(range[2]) + 1);
    if (start >= end) {
      response.writeHead(416, { "content-range": `bytes */${size}`, "content-length": 0 });
      return void response.end();
    }
    response.writeHead(206, {
      ...common,
      "content-range": `bytes ${start}-${end - 1}/${size}`,
      "content-length": end - start,
    });
    response.end(patternBytes(start, end));
  },

  /** `code`, without a body where the code has none. */
  "/status": ({ response, query }) => {
    const code = number(query, "code", 204);
    response.writeHead(
      code,
      query.get("reason") ?? undefined,
      code === 204 || code === 304 ? {} : { "content-length": 0 },
    );
    response.end();
  },

  /** Duplicates, odd case, an empty value, Latin-1. */
  "/odd-fields": ({ response }) => {
    const fields = ["X-Twice", "one", "x-TWICE", "two", "X-Empty", "", "X-Latin", "caf\u00e9", "Content-Length", "0"];
    response.writeHead(200, "Quite OK", fields);
    response.end();
  },

  /** A response head with a field of `bytes`. */
  "/long-head": ({ response, query }) => {
    response.writeHead(200, { "x-long": "a".repeat(number(query, "bytes", 20_000)), "content-length": 0 });
    response.end();
  },

  /** A body that ends where the connection ends (RFC 9112 §6.3, rule 8). */
  "/until-close": ({ request, response }) => {
    const socket = request.socket;
    response.detachSocket(socket);
    socket.end("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nuntil the end\n");
  },
};

const CODINGS: Readonly<Record<string, (body: Buffer) => Buffer>> = {
  gzip: gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
};

async function serveRepository({ request, response, context }: Visit): Promise<void> {
  if (context.gitRoot === null) sendJson(response, 404, { git: "no repositories" });
  else await serveGit(context.gitRoot, request, response);
}

/** Any other path: what was asked, and that the credential was there. */
async function anyOther({ request, response, recorded }: Visit): Promise<void> {
  await drain(request);
  sendJson(response, 200, { method: recorded.method, url: recorded.url, credential: "seen" });
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(`${JSON.stringify(value)}\n`);
  response.writeHead(status, { "content-type": "application/json", "content-length": body.length });
  response.end(response.req.method === "HEAD" ? undefined : body);
}

async function drain(request: IncomingMessage): Promise<void> {
  for await (const _chunk of request);
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function number(query: URLSearchParams, name: string, otherwise: number): number {
  const value = Number(query.get(name) ?? otherwise);
  return Number.isFinite(value) ? value : 0;
}

function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
