import * as fc from "fast-check";
import { expect, test } from "vitest";
import { type ServerAnswer, ServerAnswerReader } from "../../src/guest/server-answer.ts";
import { inRecords } from "../house/support/client-hello.ts";
import { DUMMY, helloRetryRequest, RETRY_RANDOM, serverHello, WARNING } from "./support/server-hello.ts";

/** Whether a server asks for a second hello, by the first bytes that it says. */

/** As if each of the segments came on its own; what comes behind the answer is not looked at. */
function answerTo(...segments: readonly Uint8Array[]): ServerAnswer | null {
  const reader = new ServerAnswerReader();
  for (const segment of segments) {
    const answer = reader.take(segment);
    if (answer !== null) return answer;
  }
  return null;
}

const randoms = fc.oneof(
  fc.uint8Array({ minLength: 32, maxLength: 32 }),
  // All but one byte of it.
  fc.tuple(fc.nat(31), fc.integer({ min: 1, max: 255 })).map(([at, mask]) => {
    const random = Buffer.from(RETRY_RANDOM);
    random[at] = (random[at] as number) ^ mask;
    return random;
  }),
);
const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 10 });

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const segments: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const segment = bytes.subarray(at, at + (sizes[segments.length % sizes.length] as number));
    segments.push(segment);
    at += segment.length;
  }
  return segments;
}

test("a HelloRetryRequest is told from a ServerHello by its random, however both are cut into records and segments", () => {
  fc.assert(
    fc.property(fc.option(randoms), cuts, cuts, fc.boolean(), (random, records, segments, warned) => {
      const hello = inRecords(random === null ? helloRetryRequest() : serverHello(random), records);
      const bytes = Buffer.concat([warned ? WARNING : Buffer.alloc(0), hello, DUMMY]);
      expect(answerTo(...cut(bytes, segments))).toBe(random === null ? "retry" : "other");
    }),
    { numRuns: 1000 },
  );
});

test("nothing is told before the random is whole", () => {
  const hello = helloRetryRequest();
  // Record header, message header, legacy_version, random.
  for (let at = 0; at < 5 + 4 + 2 + 32; at++) expect(answerTo(hello.subarray(0, at))).toBeNull();
  expect(answerTo(hello.subarray(0, 5 + 4 + 2 + 32))).toBe("retry");
});

test.each([
  ["a banner", Buffer.from("220 mail.example.test ESMTP\r\n")],
  ["any byte", Buffer.of(0)],
  ["application data", Buffer.of(23)],
  ["change_cipher_spec", DUMMY],
  ["another handshake message", Buffer.from("16030300040e000000", "hex")],
])("%s is no such request", (_name, bytes) => {
  expect(answerTo(bytes)).toBe("other");
});

test.each([
  ["of another version", (hello: Buffer) => hello.fill(9, 1, 3)],
  ["behind an empty record", (hello: Buffer) => Buffer.concat([Buffer.of(22, 3, 3, 0, 0), hello])],
  ["behind alerts", (hello: Buffer) => Buffer.concat([WARNING, WARNING, hello])],
])("a HelloRetryRequest %s is one to clients, too", (_name, change) => {
  expect(answerTo(change(helloRetryRequest()))).toBe("retry");
});

test.each([[7], [6, 1], [5, 2], [1, 6]])("a fatal alert is the end of it, in pieces of %j", (...sizes) => {
  const fatal = Buffer.concat([WARNING, Buffer.of(21, 3, 3, 0, 2, 2, 40)]);
  let at = WARNING.length;
  const pieces = sizes.map((size) => fatal.subarray(at, (at += size)));
  expect(answerTo(WARNING, ...pieces)).toBe("other");
});

test("a server that says nothing but warnings is waited for up to 16 KiB", () => {
  const alerts = Buffer.concat(Array.from({ length: 3000 }, () => WARNING));
  expect(answerTo(alerts.subarray(0, 16_384))).toBeNull();
  expect(answerTo(alerts.subarray(0, 16_384), alerts.subarray(16_384, 16_385))).toBe("other");
});
