import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { JSON_BODY } from "../wire/fixtures.ts";
import { GRPC_MESSAGE, GRPC_PATH } from "../wire/grpc.ts";
import { openHttp2Tunnel } from "./connect.ts";
import { Loops } from "./loops.ts";
import type { Route } from "./route.ts";
import { type Tally, tallyWindow } from "./window.ts";

/** HTTP/2 on one connection: so many streams at once, each followed by the next as soon as it was answered. */
export interface Http2Job {
  readonly kind: "http2";
  readonly route: Route;
  readonly upstreamPid: number;
  readonly host: string;
  /** Port of the upstream that is asked for. */
  readonly port: number;
  /** `json`: a GET of 1 KB. `grpc`: a unary call whose message comes back. */
  readonly call: "json" | "grpc";
  readonly streams: number;
  readonly warmMs: number;
  readonly windowMs: number;
}

const LAST_ANSWERS_MS = 2000;

/** @returns `null` when the other side did not choose HTTP/2 */
export async function http2Requests(job: Http2Job): Promise<Tally | null> {
  const opened = await openSession(job.route, job.host, job.port);
  if (opened === null) return null;
  const { session, broken } = opened;
  const once = job.call === "json" ? getJson : callUnary;
  const loops = new Loops(job.streams, () => once(session, job.route));
  try {
    return await Promise.race([tallyOnceOpen(job, loops), loops.failure, broken]);
  } finally {
    // What is still to be answered gets its time, so that nobody is hung up on in the middle of it.
    await Promise.race([loops.stop(), sleep(LAST_ANSWERS_MS)]);
    session.destroy();
  }
}

export interface OpenSession {
  readonly session: ClientHttp2Session;
  /** Rejects when the session ends; to be raced. */
  readonly broken: Promise<never>;
}

/** @returns `null` when the other side did not choose HTTP/2 */
export async function openSession(route: Route, host: string, port: number): Promise<OpenSession | null> {
  const socket = await openHttp2Tunnel(route, host, port);
  if (socket === null) return null;
  const session = connect(`https://${host}:${port}`, { createConnection: () => socket });
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => undefined); // it is raced
  session.on("error", broken.reject);
  session.on("close", () => broken.reject(new Error("the HTTP/2 session was closed")));
  return { session, broken: broken.promise };
}

const LOOK_MS = 10;
const OPEN_MS = 15_000;

/** To HTTP/1.1 each stream needs an upstream connection of its own: what is counted begins when all of them are open. */
async function tallyOnceOpen(job: Http2Job, loops: Loops): Promise<Tally> {
  const endMs = performance.now() + OPEN_MS;
  while (loops.count < job.streams * 2) {
    if (performance.now() > endMs) throw new Error(`${loops.count} answers to ${job.streams} streams in ${OPEN_MS} ms`);
    await sleep(LOOK_MS);
  }
  return tallyWindow(job.route, job.upstreamPid, job, () => loops.count);
}

export function getJson(session: ClientHttp2Session, { authorization }: Route): Promise<void> {
  return exchange(session, { ":path": "/json", authorization }, null, JSON_BODY, null);
}

const GRPC_HEAD = {
  ":method": "POST",
  ":path": GRPC_PATH,
  "content-type": "application/grpc",
  te: "trailers",
  "user-agent": "grpc-bench/1",
};

function callUnary(session: ClientHttp2Session, { authorization }: Route): Promise<void> {
  return exchange(session, { ...GRPC_HEAD, authorization }, GRPC_MESSAGE, GRPC_MESSAGE, "0");
}

/**
 * One stream from its first byte to its end.
 * @throws Error unless it was answered with 200, exactly `expected`, and trailers with this `grpc-status`, if one is given
 */
function exchange(
  session: ClientHttp2Session,
  headers: Readonly<Record<string, string>>,
  body: Buffer | null,
  expected: Buffer,
  grpcStatus: string | null,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: body === null });
    let status: number | undefined;
    let trailers: IncomingHttpHeaders = {};
    let received = 0;
    let differs = false;
    stream.on("response", (head) => {
      status = head[":status"];
    });
    stream.on("data", (chunk: Buffer) => {
      const end = received + chunk.length;
      differs ||= end > expected.length || chunk.compare(expected, received, end) !== 0;
      received = end;
    });
    stream.on("trailers", (fields: IncomingHttpHeaders) => {
      trailers = fields;
    });
    stream.on("error", reject);
    stream.on("close", () => {
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) reject(new Error(`stream was reset with ${stream.rstCode}`));
      else if (status !== 200) reject(new Error(`stream was answered with ${status}`));
      else if (differs || received !== expected.length) reject(new Error("answer differs from what the upstream sent"));
      else if (grpcStatus !== null && trailers["grpc-status"] !== grpcStatus)
        reject(new Error(`call ended with grpc-status ${String(trailers["grpc-status"])}`));
      else resolve();
    });
    if (body !== null) stream.end(body);
  });
}
