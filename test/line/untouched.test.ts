import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ByteBudget } from "../../src/core/byte-budget.ts";
import { answerOf, ask, openHttp2 } from "../guest/support/h2-guest.ts";
import { denialIn, openGuest } from "../hostile/raw-guest.ts";
import { makeCa, type TestLeaf } from "../house/support/certificates.ts";
import {
  DATA,
  END_STREAM,
  type Frame,
  frame,
  type FramePeer,
  type FrameServer,
  GOAWAY,
  HEADERS,
  headers,
  RST_STREAM,
  settings,
  startFrames,
  u32,
  WINDOW_UPDATE,
} from "../upstream/support/http2-frames.ts";
import { eventually, type Joined, type JoinedOptions, startJoined } from "./support/joined.ts";

/**
 * An HTTP/2 upstream that says that it did nothing of a request (RFC 9113 §8.7): it is asked again whatever the request is, the
 * body too as long as it is known, or the guest is told the same. And one that ends a stream without an answer.
 */

const REFUSED_STREAM = 7;

let directory: string;
let leaf: TestLeaf;
let joined: Joined;
let upstream: FrameServer;
let closing: (() => void)[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-untouched-"));
  leaf = await (await makeCa(directory)).issue(["api.test"]);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

afterEach(async () => {
  for (const close of closing) close();
  closing = [];
  await joined.stop();
  await upstream.close();
  expect(joined.faults).toEqual([]);
  await eventually(() => joined.sweep.size === 0, "the end of every deadline");
});

type Refusal = (peer: FramePeer, stream: number) => void;

const REFUSALS: readonly (readonly [name: string, refusal: Refusal])[] = [
  ["REFUSED_STREAM", (peer, stream) => peer.send(frame(RST_STREAM, 0, stream, u32(REFUSED_STREAM)))],
  ["GOAWAY", (peer, stream) => peer.send(frame(GOAWAY, 0, 0, u32(stream - 2 > 0 ? stream - 2 : 0, 0)))],
  [
    "GOAWAY and the end of the connection",
    (peer) => {
      peer.send(frame(GOAWAY, 0, 0, u32(0, 0)));
      peer.socket.end();
    },
  ],
];

const dataOf = (peer: FramePeer, stream: number): string =>
  Buffer.concat(
    peer.frames.filter((each) => each.type === DATA && each.stream === stream).map((each) => each.payload),
  ).toString("latin1");

/** No window that anything here could fill. */
const WIDE = [settings([4, 1_000_000]), frame(WINDOW_UPDATE, 0, 0, u32(1_000_000))];

/** Requests that were begun, in order. */
const begun = (): { peer: FramePeer; stream: number }[] =>
  upstream.peers.flatMap((peer) =>
    peer.frames.filter(({ type }) => type === HEADERS).map(({ stream }) => ({ peer, stream })),
  );

/** Answers a request with its own body once that is whole. */
function echo(peer: FramePeer, { type, flags, stream }: Frame): void {
  if ((type === DATA || type === HEADERS) && (flags & END_STREAM) !== 0)
    peer.send(headers(stream, 0, [":status", "200"]), frame(DATA, END_STREAM, stream, dataOf(peer, stream)));
}

/** @param serve in place of `echo` for the first request that is seen */
async function start(
  serve: (peer: FramePeer, got: Frame) => void,
  options: JoinedOptions = {},
  times = 1,
): Promise<void> {
  const seen: string[] = [];
  const serveAll = (peer: FramePeer, got: Frame): void => {
    const name = `${peer.index}:${got.stream}`;
    if (got.type === HEADERS && !seen.includes(name)) seen.push(name);
    const at = seen.indexOf(name);
    if (at >= 0 && at < times) serve(peer, got);
    else echo(peer, got);
  };
  upstream = await startFrames(serveAll, { greeting: WIDE });
  joined = await startJoined({ leaf, ...options, destination: { http: "h2c", ...options.destination } });
}

/** @returns what a guest of HTTP/1.1 has of the answer */
async function askHttp1(head: string, body = ""): Promise<string> {
  const guest = await openGuest(joined.port);
  closing.push(() => guest.destroy());
  const authority = `api.test:${upstream.port}`;
  guest.send(`POST http://${authority}/ HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n${head}\r\n${body}`);
  return await guest.ended();
}

async function http2(): Promise<Awaited<ReturnType<typeof openHttp2>>> {
  const session = await openHttp2(joined.port, `api.test:${upstream.port}`);
  closing.push(() => session.destroy());
  return session;
}

const record = async (): Promise<Joined["records"][number] | undefined> => {
  const found = (): Joined["records"][number] | undefined => joined.records.find(({ kind }) => kind === "http");
  await eventually(() => found() !== undefined, "the record");
  return found();
};

const isBegun = ({ type }: Frame): boolean => type === HEADERS;
const isData = ({ type }: Frame): boolean => type === DATA;

describe.each(REFUSALS)("a request that was answered by %s is sent again:", (_name, refusal) => {
  test("with a body of known length", async () => {
    await start((peer, got) => got.flags & END_STREAM && refusal(peer, got.stream));
    expect(await askHttp1("Content-Length: 5\r\n", "hello")).toMatch(/^HTTP\/1\.1 200 [^]*\nhello\r\n/);
    expect(begun()).toHaveLength(2);
    expect(await record()).toMatchObject({ retried: true, denial: null, outcome: "completed", bytesFromGuest: 5 });
  });

  test("with the trailers of a body of unknown length", async () => {
    await start((peer, got) => got.flags & END_STREAM && refusal(peer, got.stream));
    const chunks = "5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n";
    expect(await askHttp1("Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", chunks)).toContain("hello");
    // A head and a trailer section each time.
    expect(upstream.framesOf(HEADERS).map(({ flags }) => flags & END_STREAM)).toEqual([0, END_STREAM, 0, END_STREAM]);
  });

  test("without a body, and not as a method that is safe", async () => {
    await start((peer, got) => isBegun(got) && refusal(peer, got.stream));
    expect(await askHttp1("Content-Length: 0\r\n")).toMatch(/^HTTP\/1\.1 200 /);
    expect(begun()).toHaveLength(2);
  });

  test.each(["HTTP/1.1", "HTTP/2"])("in the middle of a body of a guest of %s", async (version) => {
    await start((peer, got) => isData(got) && refusal(peer, got.stream));
    const again = (): Promise<void> =>
      eventually(() => begun().some(({ peer, stream }, i) => i > 0 && dataOf(peer, stream) === "hel"), "a second time");
    if (version === "HTTP/2") {
      const stream = (await http2()).request({ ":method": "POST", ":path": "/" });
      const answer = answerOf(stream);
      stream.write("hel");
      await again();
      stream.end("lo");
      expect(await answer).toMatchObject({ status: 200, whole: true, body: Buffer.from("hello") });
    } else {
      const guest = await openGuest(joined.port);
      closing.push(() => guest.destroy());
      const authority = `api.test:${upstream.port}`;
      guest.send(`POST http://${authority}/ HTTP/1.1\r\nHost: ${authority}\r\nContent-Length: 5\r\n\r\nhel`);
      await again();
      guest.send("lo");
      expect(await guest.until(/hello$/)).toMatch(/^HTTP\/1\.1 200 /);
    }
    expect(await record()).toMatchObject({ retried: true, outcome: "completed", bytesFromGuest: 5 });
  });

  test("twice, and then no more: a guest of HTTP/1.1 is refused", async () => {
    await start((peer, got) => isBegun(got) && refusal(peer, got.stream), {}, 10);
    const text = await askHttp1("Content-Length: 5\r\n", "hello");
    expect(denialIn(text)).toBe("upstream_unreachable");
    expect(begun()).toHaveLength(3);
  });
});

describe("between two attempts", () => {
  test("the guest waits, and nothing of its body is lost", async () => {
    const body = Buffer.alloc(300_000, "abcdefg").toString();
    let budget: ByteBudget | null = null;
    upstream = await startFrames(
      (peer, got) => {
        if (peer.index > 0) {
          if (isData(got) && got.flags & END_STREAM) peer.send(headers(1, END_STREAM, [":status", "204"]));
        } else if (isData(got)) peer.send(frame(GOAWAY, 0, 0, u32(0, 0)));
      },
      { greeting: WIDE, greeted: "first", acknowledges: false },
    );
    joined = await startJoined({
      destination: { http: "h2c" },
      ports: ({ heldBodies }) => {
        budget = heldBodies;
        return {};
      },
    });
    const guest = await openGuest(joined.port);
    closing.push(() => guest.destroy());
    const authority = `api.test:${upstream.port}`;
    guest.send(`POST http://${authority}/ HTTP/1.1\r\nHost: ${authority}\r\nContent-Length: ${body.length}\r\n\r\nabc`);
    await eventually(() => upstream.peers.length === 2, "the second connection");
    guest.send(body.slice(3));
    // A guest that is not waited for has sent it by then.
    await joined.passed(200);
    upstream.peers[1]?.send(...WIDE);
    await guest.until(/^HTTP\/1\.1 204 [^]*\r\n\r\n$/);
    expect(await record()).toMatchObject({ retried: true, outcome: "completed", bytesFromGuest: body.length });
    expect(dataOf(upstream.peers[1] as FramePeer, 1)).toBe(body);
    expect((budget as ByteBudget | null)?.heldBytes).toBe(0);
  });

  test("of a guest that leaves nothing is kept", async () => {
    let budget: ByteBudget | null = null;
    upstream = await startFrames(() => undefined, { greeting: WIDE });
    joined = await startJoined({
      leaf,
      destination: { http: "h2c" },
      ports: ({ heldBodies }) => {
        budget = heldBodies;
        return {};
      },
    });
    const held = (): number => (budget as ByteBudget | null)?.heldBytes ?? -1;
    const session = await http2();
    const stream = session.request({ ":method": "POST", ":path": "/" });
    stream.on("error", () => undefined);
    stream.write("half");
    await eventually(() => held() > 0, "a copy");
    stream.close(8);
    expect(await record()).toMatchObject({ outcome: "guest_aborted" });
    await eventually(() => held() === 0, "the end of the copy");
  });
});

describe("a guest of HTTP/2 is told by the upstream's own code, so that it can ask again,", () => {
  test("what cannot be sent again", async () => {
    await start((peer, { stream }) => {
      if (dataOf(peer, stream).length > 65_535) REFUSALS[0]?.[1](peer, stream);
    });
    const answer = await ask(await http2(), { ":method": "POST", ":path": "/" }, Buffer.alloc(100_000));
    expect(answer).toMatchObject({ status: 0, resetCode: REFUSED_STREAM });
    expect(begun()).toHaveLength(1);
    expect(await record()).toMatchObject({ outcome: "upstream_aborted", denial: null });
  });

  test("what cannot be sent again, where the upstream says goodbye with an error", async () => {
    await start((peer, { stream }) => {
      if (dataOf(peer, stream).length > 65_535) peer.send(frame(GOAWAY, 0, 0, u32(0, 11)));
    });
    const answer = await ask(await http2(), { ":method": "POST", ":path": "/" }, Buffer.alloc(100_000));
    expect(answer).toMatchObject({ status: 0, resetCode: REFUSED_STREAM });
    expect(begun()).toHaveLength(1);
  });

  test("what was refused each time", async () => {
    await start((peer, got) => isBegun(got) && REFUSALS[0]?.[1](peer, got.stream), {}, 10);
    expect(await ask(await http2(), { ":path": "/" })).toMatchObject({ status: 0, resetCode: REFUSED_STREAM });
    expect(begun()).toHaveLength(3);
    // The guest's connection goes on.
    expect(await record()).toMatchObject({ outcome: "upstream_aborted", retried: true });
  });

  test("what something of an answer came of: never a second answer behind it", async () => {
    await start((peer, got) => {
      if (!isBegun(got)) return;
      peer.send(headers(got.stream, 0, [":status", "103"], ["x-hint", "1"]));
      REFUSALS[0]?.[1](peer, got.stream);
    });
    const answer = await ask(await http2(), { ":method": "POST", ":path": "/" }, "hello");
    expect(answer).toMatchObject({ status: 0, interims: [103], resetCode: REFUSED_STREAM });
    expect(begun()).toHaveLength(1);
  });
});

describe("a stream that the upstream resets before it answers", () => {
  test.each([
    ["NO_ERROR", 0, 2],
    ["INTERNAL_ERROR", 2, 2],
    ["CANCEL", 8, 8],
    ["ENHANCE_YOUR_CALM", 11, 11],
    ["HTTP_1_1_REQUIRED", 13, 13],
    ["a code of its own", 4242, 4242],
  ])("with %s is reset for a guest of HTTP/2, and a refusal for one of HTTP/1.1", async (_name, code, told) => {
    await start((peer, got) => isBegun(got) && peer.send(frame(RST_STREAM, 0, got.stream, u32(code))), {}, 10);
    expect(await ask(await http2(), { ":path": "/" })).toMatchObject({ status: 0, resetCode: told });
    expect(await record()).toMatchObject({ outcome: "upstream_aborted", denial: null });
    expect(denialIn(await askHttp1("Content-Length: 0\r\n"))).toMatch(/^upstream_(unreachable|protocol)$/);
    expect(begun()).toHaveLength(2);
  });

  test.each([1, 3, 6, 9])("for what is wrong with HTTP/2 (%i) is a refusal for both", async (code) => {
    await start((peer, got) => isBegun(got) && peer.send(frame(RST_STREAM, 0, got.stream, u32(code))), {}, 10);
    const answer = await ask(await http2(), { ":path": "/" });
    expect([answer.status, answer.fields.get("x-deny-reason")]).toEqual([502, "upstream_protocol"]);
    expect(denialIn(await askHttp1("Content-Length: 0\r\n"))).toBe("upstream_protocol");
  });
});

describe("a guest that comes in numbers", () => {
  test("shares what is opened anew when the upstream has looked at none of it", async () => {
    const streams = 60;
    const greeting = [settings([3, 100])];
    upstream = await startFrames(
      (peer, got) => {
        if (peer.index > 0) echo(peer, got);
        else if (peer.frames.filter(isBegun).length === streams) peer.send(frame(GOAWAY, 0, 0, u32(0, 0)));
      },
      { greeting },
    );
    joined = await startJoined({ leaf, destination: { http: "h2c" } });
    const session = await http2();
    const all = await Promise.all(
      Array.from({ length: streams }, () => ask(session, { ":method": "POST", ":path": "/" }, "x")),
    );
    expect(all.map(({ status }) => status)).toEqual(Array.from({ length: streams }, () => 200));
    expect(upstream.peers).toHaveLength(2);
  });

  test("gets its place where no further connection may be opened", async () => {
    const refusal = REFUSALS[0]?.[1];
    await start((peer, got) => isBegun(got) && refusal?.(peer, got.stream), { maxConnections: 1 }, 2);
    expect(await askHttp1("Content-Length: 5\r\n", "hello")).toMatch(/^HTTP\/1\.1 200 /);
    expect([begun().length, upstream.peers.length]).toEqual([3, 1]);
  });
});

describe("where nothing was sent", () => {
  test("no use of a lease is counted, and no credential that left", async () => {
    await start(() => undefined, { maxUses: 1 });
    const handshake = { ":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":path": "/" };
    const authority = `api.test:${upstream.port}`;
    const answer = await answerOf((await http2()).request({ ...handshake, ":authority": authority }));
    expect([answer.status, answer.fields.get("x-deny-reason")]).toEqual([501, "upgrade_unsupported"]);
    await eventually(() => joined.records.length === 2, "the record");
    expect(joined.records[1]).toMatchObject({ kind: "upgrade", injected: false, denial: "upgrade_unsupported" });
    expect(begun()).toEqual([]);
    expect(joined.leases[0]?.reserveUse()).toBe(true);
  });
});
