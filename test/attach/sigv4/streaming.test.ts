import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ChunkedPayload, type ChunkRules } from "../../../src/attach/sigv4/chunked-payload.ts";
import { ByteBudget } from "../../../src/core/byte-budget.ts";
import { Denial } from "../../../src/core/denial.ts";
import { verify } from "../../house/support/aws-verifier.ts";
import type { Line } from "../exchange.ts";
import { framed, PiecedBody, pieces, type Sent, sentBy } from "./chunks.ts";
import { attached, type Asked, S3_KEYS, S3_TIME } from "./exchange.ts";

/** Bodies on their way out: digests that are checked, chunks that are signed anew. */

const HOST: Line = ["Host", "s3.amazonaws.com"];
const SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_TRAILER = `${SIGNED}-TRAILER`;
const UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const TRAILER = "x-amz-checksum-crc32c:sOO8/Q==";

interface Upload {
  readonly word: string;
  readonly decoded: number;
  readonly trailers?: string;
  readonly text: string;
  readonly cuts?: readonly number[];
  readonly ends?: boolean;
  readonly spec?: Asked["spec"];
}

/** A PUT as the upstream gets it. */
function put({ word, decoded, trailers, text, cuts = [], ends = true, spec = {} }: Upload) {
  const body = new PiecedBody(pieces(text, cuts), ends);
  const lines: Line[] = [
    HOST,
    ["x-amz-content-sha256", word],
    ["x-amz-decoded-content-length", String(decoded)],
    ["x-amz-storage-class", "REDUCED_REDUNDANCY"],
  ];
  if (trailers !== undefined) lines.push(["x-amz-trailer", trailers]);
  const target = "/examplebucket/chunkObject.txt";
  const { head, request } = attached({
    method: "PUT",
    target,
    lines,
    body,
    spec: { service: "s3", ...spec },
    keys: S3_KEYS,
    time: S3_TIME,
  });
  expect(request.body.length).toBe(text.length);
  const sent = sentBy(request.body);
  return { ...sent, verified: () => verifiedOf(head.fields.pairs(), target, sent) };
}

function verifiedOf(pairs: Iterable<[string, string]>, url: string, { bytes }: Sent): ReturnType<typeof verify> {
  return verify(
    { method: "PUT", url, rawHeaders: [...pairs].flat(), body: bytes },
    { keys: S3_KEYS, region: "us-east-1", service: "s3", nowMs: Date.parse(S3_TIME) },
  );
}

describe("chunks", () => {
  test("AWS's example is signed as AWS signs it, in as many bytes", () => {
    const text = framed(["a".repeat(65_536), "a".repeat(1024)], true);
    expect(text.length).toBe(66_824);
    const sent = put({ word: SIGNED, decoded: 66_560, text });
    expect(sent.bytes.length).toBe(66_824);
    expect(sent.verified()).toMatchObject({ payload: SIGNED, chunks: 2 });
  });

  test.each([
    ["blanks in front", (signature: string) => `  \t${signature}`],
    ["blanks behind, and an LF", (signature: string) => `${signature} \t \n`],
  ])("a trailer signature is replaced where it stands, so that the body keeps its length: %s", (_name, spelled) => {
    const text = framed(["abc"], true, [TRAILER]).replace(/(?<=trailer-signature:)0+/, spelled);
    const sent = put({ word: SIGNED_TRAILER, decoded: 3, trailers: "x-amz-checksum-crc32c", text });
    expect([sent.isWhole, sent.bytes.length]).toEqual([true, text.length]);
    expect(sent.bytes.toString("latin1")).toMatch(/[^\0]x-amz-trailer-signature:[^0]/);
  });

  const chunk = fc.string({ minLength: 1, maxLength: 40, unit: fc.constantFrom(..."ab\r\n0;".split("")) });
  test.each([SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER])("%s: wherever they are cut on their way", (word) => {
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 12 }), (chunks, cuts) => {
        const trailers = word === SIGNED ? null : [TRAILER];
        const text = framed(chunks, word !== UNSIGNED_TRAILER, trailers);
        const decoded = chunks.join("").length;
        const sent = put({ word, decoded, text, cuts, ...(trailers && { trailers: "x-amz-checksum-crc32c" }) });
        expect([sent.broken, sent.isWhole, sent.bytes.length]).toEqual([null, true, text.length]);
        const verified = sent.verified();
        expect(verified.content.toString("latin1")).toBe(chunks.join(""));
        expect(verified.trailers).toEqual(trailers === null ? {} : { "x-amz-checksum-crc32c": "sOO8/Q==" });
        if (word === UNSIGNED_TRAILER) expect(sent.bytes.toString("latin1")).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  test("byte for byte", () => {
    const text = framed(["hello", "world"], true, [TRAILER]);
    const cuts = Array.from({ length: text.length }, (_, i) => i);
    const sent = put({ word: SIGNED_TRAILER, decoded: 10, trailers: "x-amz-checksum-crc32c", text, cuts });
    expect(sent.verified().content.toString()).toBe("helloworld");
  });

  test("a size keeps its spelling, and a trailer its line end", () => {
    const text = framed(["0123456789"], true, [`${TRAILER}\n`]).replace("a;", "000A;");
    const sent = put({ word: SIGNED_TRAILER, decoded: 10, trailers: "x-amz-checksum-crc32c", text });
    expect(sent.bytes.toString("latin1")).toMatch(/^000A;chunk-signature=[0-9a-f]{64}\r\n0123456789\r\n0;/);
    expect(sent.bytes.toString("latin1")).toContain(`\r\n${TRAILER}\n\r\nx-amz-trailer-signature:`);
    expect(sent.verified().chunks).toBe(1);
  });

  const good = framed(["hello", "world"], true);
  const goodTrailers = framed(["hello", "world"], true, [TRAILER]);
  const unsigned = framed(["hello", "world"], false, [TRAILER]);
  test.each<[string, string, string, string]>([
    ["no size", SIGNED, good.replace("5;", ";"), "body_unfit"],
    ["a size that is no hex", SIGNED, good.replace("5;", "0x5;"), "body_unfit"],
    ["a sign before the size", SIGNED, good.replace("5;", "+5;"), "body_unfit"],
    ["a size of nine digits", SIGNED, good.replace("5;", "000000005;"), "body_unfit"],
    ["a blank behind the size", SIGNED, good.replace("5;", "5 ;"), "body_unfit"],
    ["no signature", SIGNED, good.replace(/;chunk-signature=0*/, ""), "body_unfit"],
    ["a short signature", SIGNED, good.replace("=0", "="), "body_unfit"],
    ["a second extension", SIGNED, good.replace("\r\n", ";x=y\r\n"), "body_unfit"],
    ["a line that ends in LF", SIGNED, good.replace("\r\n", "\n"), "body_unfit"],
    ["a line without end", SIGNED, "5".repeat(600), "body_unfit"],
    ["a chunk that is longer than it says", SIGNED, good.replace("hello", "hello!"), "body_unfit"],
    ["a chunk that is shorter than it says", SIGNED, good.replace("hello", "hell"), "body_unfit"],
    ["no last chunk", SIGNED, good.slice(0, good.indexOf("0;")), "body_unfit"],
    ["half a last line", SIGNED, good.slice(0, -1), "body_unfit"],
    ["something behind the end", SIGNED, `${good}x`, "body_unfit"],
    ["a second body behind the end", SIGNED, good + good, "body_unfit"],
    ["less than was said", SIGNED, framed(["hello", "worl"], true), "body_digest_mismatch"],
    ["more than was said", SIGNED, framed(["hello", "world", "!"], true), "body_digest_mismatch"],
    ["a chunk that is larger than all", SIGNED, good.replace("5;", "ffff;"), "body_digest_mismatch"],
    ["a chunk that is larger than may be held", SIGNED, good.replace("5;", "ffffffff;"), "body_too_large"],
    ["trailers that were not announced", SIGNED, goodTrailers, "body_unfit"],
    ["a trailer that is missing", SIGNED_TRAILER, good, "body_unfit"],
    ["another trailer", SIGNED_TRAILER, goodTrailers.replace("crc32c", "sha256"), "body_unfit"],
    ["a trailer twice", SIGNED_TRAILER, goodTrailers.replace(TRAILER, `${TRAILER}\r\n${TRAILER}`), "body_unfit"],
    [
      "a trailer behind the signature",
      SIGNED_TRAILER,
      goodTrailers.replace(/\r\n\r\n$/, `\r\n${TRAILER}\r\n\r\n`),
      "body_unfit",
    ],
    [
      "trailers without a signature",
      SIGNED_TRAILER,
      goodTrailers.replace(/x-amz-trailer-signature:0+\r\n/, ""),
      "body_unfit",
    ],
    [
      "a trailer signature that is none",
      SIGNED_TRAILER,
      goodTrailers.replace(/(signature:)0+\r\n/, "$1x\r\n"),
      "body_unfit",
    ],
    ["a trailer without a name", SIGNED_TRAILER, goodTrailers.replace("x-amz-checksum-crc32c", ""), "body_unfit"],
    ["a signature in an unsigned chunk", UNSIGNED_TRAILER, goodTrailers, "body_unfit"],
    ["unsigned, and longer than it says", UNSIGNED_TRAILER, unsigned.replace("hello", "hello!"), "body_unfit"],
    ["unsigned, and less than was said", UNSIGNED_TRAILER, framed(["hello"], false, [TRAILER]), "body_digest_mismatch"],
    ["unsigned, and a huge chunk", UNSIGNED_TRAILER, unsigned.replace("5\r", "ffffffffffff\r"), "body_digest_mismatch"],
  ])("refused: %s", (_, word, text, code) => {
    const trailers = word === SIGNED ? {} : { trailers: "x-amz-checksum-crc32c" };
    for (const cuts of [[], [1, 2, 3, 90, 91], Array.from({ length: text.length }, (__, i) => i)]) {
      const sent = put({ word, decoded: 10, text, cuts, ...trailers });
      expect([sent.broken?.code, sent.isWhole]).toEqual([code, false]);
      // A body with a length is whole for the upstream once all of its bytes are there, ended or not.
      expect(sent.bytes.length).toBeLessThan(text.length);
    }
  });

  test("one chunk is held at a time, and no more than the config says", () => {
    const text = framed(["x".repeat(100)], true);
    expect(put({ word: SIGNED, decoded: 100, text, spec: { bodyBytes: 100 } }).isWhole).toBe(true);
    expect(put({ word: SIGNED, decoded: 100, text, spec: { bodyBytes: 99 } }).broken?.code).toBe("body_too_large");
  });

  test("nothing of a chunk leaves before it has come whole", () => {
    const text = framed(["hello", "world"], true);
    const half = put({ word: SIGNED, decoded: 10, text: text.slice(0, text.indexOf("world") + 3), ends: false });
    expect(half.bytes.toString("latin1")).toMatch(/^5;chunk-signature=[0-9a-f]{64}\r\nhello$/);
  });
});

describe("what chunks may hold", () => {
  const rules = (budget: ByteBudget, owner: string): ChunkRules => ({
    signer: { chunk: () => "0".repeat(64), trailers: () => "0".repeat(64) },
    trailers: null,
    decodedBytes: 10_000,
    mostChunkBytes: 10_000,
    budget,
    owner,
  });
  const whole = framed(["x".repeat(10_000)], true);
  const half = (budget: ByteBudget, owner = "t s"): ChunkedPayload =>
    new ChunkedPayload(new PiecedBody([Buffer.from(whole.slice(0, 9000))], false), rules(budget, owner));

  test("counts while a chunk is on its way, and is given back with it", () => {
    const budget = new ByteBudget(100_000);
    const waiting = half(budget);
    sentBy(waiting);
    expect(budget.heldBytes).toBeGreaterThan(8900);
    expect(budget.heldBytes).toBeLessThan(10_200);
    waiting.bodyBroken(new Denial("request_malformed"));
    expect(budget.heldBytes).toBe(0);
    sentBy(new ChunkedPayload(new PiecedBody([Buffer.from(whole)]), rules(budget, "t s")));
    expect(budget.heldBytes).toBe(0);
  });

  test("is a quarter for each session: what would be more is refused, and holds nothing", () => {
    const budget = new ByteBudget(48_000);
    sentBy(half(budget));
    const held = budget.heldBytes;
    expect(sentBy(half(budget)).broken?.code).toBe("body_buffer_full");
    expect(budget.heldBytes).toBe(held);
    expect(sentBy(half(budget, "t other")).broken).toBeNull();
  });

  test("is given back once the exchange is over, in the middle of a chunk; what still comes is not taken", () => {
    const budget = new ByteBudget(100_000);
    const waiting = half(budget);
    const sent = sentBy(waiting);
    const bytes = sent.bytes.length;
    expect(budget.heldBytes).toBeGreaterThan(8900);
    waiting.abandon();
    waiting.bodyData(Buffer.from(whole.slice(9000)));
    waiting.bodyEnd(null);
    expect(budget.heldBytes).toBe(0);
    expect([sent.bytes.length, sent.broken, sent.isWhole]).toEqual([bytes, null, false]);
  });

  test("grows with what came, not with what was announced", () => {
    const budget = new ByteBudget(48_000);
    sentBy(new ChunkedPayload(new PiecedBody([Buffer.from(whole.slice(0, 100))], false), rules(budget, "t s")));
    expect(budget.heldBytes).toBeLessThan(4300);
  });
});

describe("a digest that is named ahead", () => {
  const asked = (text: string, named: string, cuts: readonly number[]): Sent => {
    const sha256 = createHash("sha256").update(named, "latin1").digest("hex");
    const { request } = attached({
      method: "PUT",
      lines: [HOST, ["x-amz-content-sha256", sha256]],
      body: new PiecedBody(pieces(text, cuts)),
      spec: { service: "s3" },
    });
    return sentBy(request.body);
  };

  test("the body passes as it came", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: "binary-ascii" }), fc.array(fc.nat()), (text, cuts) => {
        const sent = asked(text, text, cuts);
        expect([sent.isWhole, sent.bytes.toString("latin1"), sent.broken]).toEqual([true, text, null]);
      }),
    );
  });

  test("of another body the upstream never sees the whole", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: "binary-ascii" }), fc.array(fc.nat()), (text, cuts) => {
        const sent = asked(text, `${text}!`, cuts);
        expect([sent.isWhole, sent.broken?.code]).toEqual([false, "body_digest_mismatch"]);
        expect(sent.bytes.length).toBeLessThan(text.length);
      }),
    );
  });
});
