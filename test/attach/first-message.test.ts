import { Duplex } from "node:stream";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FirstMessage, MessageFault } from "../../src/attach/first-message.ts";
import { gateFirstMessage } from "../../src/attach/message-gate.ts";
import { clientText, FrameBorders, frameHeader, mask, serverClose } from "../../src/attach/websocket-frame.ts";
import { Denial } from "../../src/core/denial.ts";
import { openRecord } from "../../src/guest/record.ts";
import { joinStreams } from "../../src/line/join-streams.ts";
import { usedBytes } from "../core/support/collected.ts";

/** The first message of a WebSocket, read out of frames that come as a guest likes. */

const KEY = Buffer.from([1, 2, 3, 4]);
const OURS = Buffer.from([9, 9, 9, 9]);

/** A frame as a client says it. */
function frame(opcode: number, payload: string | Buffer, isLast = true, first = 0): Buffer {
  const bytes = Buffer.from(payload as string);
  mask(bytes, KEY);
  const length =
    bytes.length < 126
      ? [0x80 | bytes.length]
      : bytes.length < 65_536
        ? [0xfe, bytes.length >> 8, bytes.length & 255]
        : [
            0xff,
            0,
            0,
            0,
            0,
            bytes.length >> 24,
            (bytes.length >> 16) & 255,
            (bytes.length >> 8) & 255,
            bytes.length & 255,
          ];
  return Buffer.concat([Buffer.from([(isLast ? 0x80 : 0) | first | opcode, ...length]), KEY, bytes]);
}

const wanted = (text: string): Buffer => clientText(Buffer.from(text), OURS);

function reader(swap: (text: string) => string = (text) => text.replace("stand-in", "secret")): FirstMessage {
  return new FirstMessage(swap, () => OURS);
}

/** What goes on of chunks, in one; `over` tells whether the reading had ended by then. */
function read(chunks: readonly Buffer[], first = reader()): { out: Buffer; over: boolean } {
  const out: Buffer[] = [];
  let over = false;
  for (const chunk of chunks) {
    if (over) {
      out.push(chunk);
      continue;
    }
    const taken = first.take(chunk);
    if (taken.out !== null) out.push(taken.out);
    over = taken.isOver;
  }
  return { out: Buffer.concat(out), over };
}

function refusalOf(...chunks: Buffer[]): [string, number] {
  try {
    read(chunks);
    return ["none", 0];
  } catch (thrown) {
    if (thrown instanceof MessageFault) return [thrown.denial.code, thrown.closeCode];
    throw thrown;
  }
}

describe("a first message", () => {
  test.each([0, 5, 125, 126, 1000, 65_535 - 20])(
    "of %i bytes beside the stand-in goes on with the secret",
    (length) => {
      const text = `stand-in${"x".repeat(length)}`;
      expect(read([frame(1, text)])).toEqual({ out: wanted(text.replace("stand-in", "secret")), over: true });
    },
  );

  test("grows beyond what its length was written in", () => {
    const text = `stand-in${"x".repeat(110)}`;
    const first = reader((said) => said.replace("stand-in", "s".repeat(70_000)));
    const { out } = read([frame(1, text)], first);
    expect(frameHeader(out, 0)).toMatchObject({ isLast: true, opcode: 1, isMasked: true, length: 70_110, size: 14 });
  });

  test("in fragments goes on in one frame, control frames between them at once", () => {
    const ping = frame(9, "are you there");
    const first = reader();
    expect(first.take(frame(1, "a stand", false))).toEqual({ out: null, isOver: false });
    expect(first.take(ping)).toEqual({ out: ping, isOver: false });
    expect(first.take(frame(0, "-in", false))).toEqual({ out: null, isOver: false });
    expect(first.take(frame(0, ""))).toEqual({ out: wanted("a secret"), isOver: true });
  });

  test("what stands behind it goes on as it is, whatever it is", () => {
    const behind = Buffer.concat([frame(2, "stand-in"), Buffer.from([0xff, 0, 1])]);
    expect(read([Buffer.concat([frame(1, "stand-in"), behind])])).toEqual({
      out: Buffer.concat([wanted("secret"), behind]),
      over: true,
    });
  });

  test("comes out the same in whatever pieces it comes", () => {
    const message = fc.record({
      pieces: fc.array(fc.string({ unit: "grapheme", maxLength: 200 }), { minLength: 1, maxLength: 5 }),
      pings: fc.array(fc.string({ maxLength: 20 }), { maxLength: 3 }),
      cuts: fc.array(fc.nat({ max: 3000 }), { maxLength: 30 }),
    });
    fc.assert(
      fc.property(message, ({ pieces, pings, cuts }) => {
        fc.pre(pieces.every((piece) => piece.isWellFormed()));
        const controls = pings.map((ping) => frame(9, ping));
        const frames = pieces.flatMap((piece, i) => [
          ...(controls[i] === undefined ? [] : [controls[i]]),
          frame(i === 0 ? 1 : 0, piece, i === pieces.length - 1),
        ]);
        const all = Buffer.concat([...frames, Buffer.from("behind")]);
        const borders = [0, ...cuts.map((cut) => cut % (all.length + 1)).sort((a, b) => a - b), all.length];
        const chunks = borders.slice(1).map((end, i) => all.subarray(borders[i], end));
        const before = Buffer.from(all);
        const { out, over } = read(chunks);
        const passed = controls.slice(0, pieces.length);
        const text = pieces.join("").replace("stand-in", "secret");
        expect(out).toEqual(Buffer.concat([...passed, wanted(text), Buffer.from("behind")]));
        expect(over).toBe(true);
        // What arrived belongs to the socket.
        expect(all).toEqual(before);
      }),
    );
  });

  test("nothing of it goes on before it is complete", () => {
    const bytes = frame(1, "stand-in");
    const first = reader();
    for (const byte of bytes.subarray(0, -1)) expect(first.take(Buffer.from([byte])).out).toBeNull();
    expect(first.take(bytes.subarray(-1))).toEqual({ out: wanted("secret"), isOver: true });
  });
});

describe("what is refused", () => {
  const unmasked = Buffer.from([0x81, 2, 65, 66]);

  test.each<[string, string, number, Buffer[]]>([
    ["no mask", "request_malformed", 1002, [unmasked]],
    ["a compressed message", "request_malformed", 1002, [frame(1, "x", true, 0x40)]],
    ["another reserved bit", "request_malformed", 1002, [frame(1, "x", true, 0x10)]],
    ["a compressed ping", "request_malformed", 1002, [frame(9, "x", true, 0x40)]],
    ["binary", "body_unfit", 1003, [frame(2, "x")]],
    ["no UTF-8", "body_unfit", 1007, [frame(1, Buffer.from([0xff]))]],
    [
      "half a letter in each fragment that makes none",
      "body_unfit",
      1007,
      [frame(1, Buffer.from([0xc3]), false), frame(0, "x")],
    ],
    ["an unknown opcode", "request_malformed", 1002, [frame(3, "x")]],
    ["an unknown control opcode", "request_malformed", 1002, [frame(11, "x")]],
    ["a continuation of nothing", "request_malformed", 1002, [frame(0, "x")]],
    ["a second beginning", "request_malformed", 1002, [frame(1, "x", false), frame(1, "y")]],
    ["a binary second beginning", "request_malformed", 1002, [frame(1, "x", false), frame(2, "y")]],
    ["a ping in pieces", "request_malformed", 1002, [frame(9, "x", false)]],
    ["a long ping", "request_malformed", 1002, [frame(9, "x".repeat(126))]],
    ["a long message", "body_too_large", 1009, [frame(1, "x".repeat(65_537)).subarray(0, 20)]],
    [
      "a long message in fragments",
      "body_too_large",
      1009,
      [frame(1, "x".repeat(60_000), false), frame(0, "x".repeat(6000))],
    ],
    ["a length in too many bytes", "request_malformed", 1002, [Buffer.from([0x81, 0xfe, 0, 5, 1, 2, 3, 4])]],
    ["a length in far too many", "request_malformed", 1002, [Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0, 1, 0])]],
    [
      "a length that is none",
      "request_malformed",
      1002,
      [Buffer.from([0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])],
    ],
  ])("%s", (_name, code, close, chunks) => {
    expect(refusalOf(...chunks)).toEqual([code, close]);
  });

  test("a letter that two fragments make together is one", () => {
    const letter = Buffer.from("\u00e9");
    expect(read([frame(1, letter.subarray(0, 1), false), frame(0, letter.subarray(1))])).toMatchObject({ over: true });
  });
});

test("the borders of frames are found in whatever chunks they come", () => {
  const lengths = fc.array(fc.constantFrom(0, 1, 125, 126, 300, 65_535, 65_536), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(lengths, fc.array(fc.nat({ max: 70_000 }), { maxLength: 20 }), (sizes, cuts) => {
      const frames = sizes.map((size) => frame(2, "x".repeat(size)));
      const all = Buffer.concat(frames);
      const ends = new Set(frames.map((_, i) => Buffer.concat(frames.slice(0, i + 1)).length));
      const borders = new FrameBorders();
      let at = 0;
      for (const cut of [...cuts, all.length]) {
        borders.take(all.subarray(at, Math.min(all.length, at + cut)));
        at = Math.min(all.length, at + cut);
        expect(borders.isAtBorder).toBe(at === 0 || ends.has(at));
      }
    }),
    { numRuns: 50 },
  );
});

/** A connection whose other side the test plays. */
class Side extends Duplex {
  readonly heard: Buffer[] = [];

  constructor() {
    super({ allowHalfOpen: true });
  }

  override _read(): void {
    // Bytes come when the test says so.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.heard.push(chunk);
    done();
  }
}

describe("a gate", () => {
  const turns = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
  };

  function joined(swap?: (text: string) => string) {
    const [guest, upstream] = [new Side(), new Side()];
    const refusals: Denial[] = [];
    const record = openRecord({ monotonicMs: () => 0, wallMs: () => 0 }, "id", "tunnel", "guests", "127.0.0.1");
    const over = joinStreams(
      gateFirstMessage(guest, reader(swap), (denial) => refusals.push(denial)),
      upstream,
      record,
    );
    return { guest, upstream, refusals, record, over };
  }

  test("opens behind the first message, and what follows passes as it came", async () => {
    const { guest, upstream, refusals, record } = joined();
    guest.push(frame(1, "stand-in").subarray(0, 4));
    upstream.push(Buffer.from("hello from upstream"));
    await turns();
    expect(upstream.heard).toEqual([]);
    expect(Buffer.concat(guest.heard).toString()).toBe("hello from upstream");
    guest.push(frame(1, "stand-in").subarray(4));
    const behind = Buffer.from("no frame at all");
    guest.push(behind);
    await turns();
    expect(Buffer.concat(upstream.heard)).toEqual(Buffer.concat([wanted("secret"), behind]));
    expect(upstream.heard.at(-1)).toBe(behind);
    expect(refusals).toEqual([]);
    expect(record.bytesFromGuest).toBe(wanted("secret").length + behind.length);
    guest.push(null);
    await turns();
    expect(upstream.writableFinished).toBe(true);
  });

  test("a message that must not leave: the guest is told why, the upstream sees a broken connection", async () => {
    const { guest, upstream, refusals, over } = joined(() => {
      throw new Denial("placeholder_stray", { cause: "test" });
    });
    guest.push(frame(1, "stand-in"));
    await turns();
    expect(refusals.map(({ code }) => code)).toEqual(["placeholder_stray"]);
    expect(Buffer.concat(guest.heard)).toEqual(serverClose(1008));
    guest.push(Buffer.from("more of it"));
    upstream.push(Buffer.from("and more from there"));
    await turns();
    expect(Buffer.concat(guest.heard)).toEqual(serverClose(1008));
    // The guest closes, as one does that reads a close frame.
    guest.push(null);
    await over;
    expect(upstream.heard).toEqual([]);
    expect(upstream.writableEnded).toBe(false);
    expect([guest.destroyed, upstream.destroyed]).toEqual([true, true]);
  });

  test("no close frame in the middle of another", async () => {
    const { guest, upstream, over } = joined(() => {
      throw new Denial("lease_unusable", { cause: "test" });
    });
    const half = Buffer.from([0x81, 10, 65, 66]);
    upstream.push(half);
    await turns();
    guest.push(frame(1, "stand-in"));
    await over;
    expect(Buffer.concat(guest.heard)).toEqual(half);
    expect(upstream.heard).toEqual([]);
  });

  test("a guest that ends before its message is complete has said nothing", async () => {
    const { guest, upstream, refusals } = joined();
    guest.push(frame(1, "stand-in").subarray(0, 9));
    guest.push(null);
    await turns();
    expect(upstream.heard).toEqual([]);
    expect(upstream.writableFinished).toBe(true);
    expect(refusals).toEqual([]);
  });
});

describe("what is held of a guest that takes its time", () => {
  const SEGMENT_BYTES = 16_384;

  const SETTLES = { timeout: 20_000, interval: 50 };

  test("is what it said, not the segments that each byte came in", async () => {
    const first = reader();
    const before = usedBytes("arrayBuffers");
    for (const byte of frame(1, "x".repeat(5000)).subarray(0, 4900)) {
      const segment = Buffer.allocUnsafeSlow(SEGMENT_BYTES);
      segment[0] = byte;
      first.take(segment.subarray(0, 1));
    }
    // All segments together are 80 MB.
    await expect.poll(() => usedBytes("arrayBuffers") - before, SETTLES).toBeLessThan(16_000_000);
    expect(first.take(Buffer.alloc(0)).isOver).toBe(false);
  });

  test("of fragments of a byte is no object each", async () => {
    const first = reader();
    const before = usedBytes("heapUsed");
    for (let i = 0; i < 60_000; i++) first.take(frame(i === 0 ? 1 : 0, "x", false));
    await expect.poll(() => usedBytes("heapUsed") - before, SETTLES).toBeLessThan(2_000_000);
    expect(first.take(frame(0, "")).isOver).toBe(true);
  });
});
