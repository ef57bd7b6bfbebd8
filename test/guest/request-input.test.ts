import * as fc from "fast-check";
import { Socket } from "node:net";
import { expect, test } from "vitest";
import type { ConnectionPlace } from "../../src/guest/place.ts";
import { RequestInput } from "../../src/guest/request-input.ts";
import { mutated, pieces, requestHead } from "../http1/arbitraries.ts";

const PLACE: ConnectionPlace = {
  listener: "guests",
  guest: "127.0.0.1",
  clientCertificate: null,
  transport: new Socket(),
  tunnel: null,
  endsAtMs: Number.POSITIVE_INFINITY,
};

/** What is read of `parts`, as far as it goes: a target for each request, "refused" for what ends the connection. */
function read(parts: readonly Buffer[]): string[] {
  const input = new RequestInput({ headBytes: 65_536, headFields: 256 }, PLACE);
  const all: string[] = [];
  for (const part of parts) {
    input.add(part);
    try {
      for (let next = input.next(); next !== null; next = input.next()) {
        all.push(next.kind === "connect" ? next.authority.text : `${next.head.method} ${next.head.target}`);
      }
    } catch {
      return [...all, "refused"];
    }
  }
  return [...all, (input.takeAll() ?? "").toString("latin1")];
}

test("requests that come in pieces are the same requests, with the same bytes left", () => {
  const head = fc.oneof(
    requestHead,
    fc.webPath().map((path) => `GET http://a.test${path || "/"} HTTP/1.1\r\nHost: a.test\r\n\r\n`),
  );
  const stream = fc.array(fc.oneof({ weight: 4, arbitrary: head }, mutated(head)), { maxLength: 6 });
  fc.assert(
    fc.property(stream, fc.array(fc.nat(), { maxLength: 40 }), (heads, cuts) => {
      const whole = Buffer.from(heads.join(""), "latin1");
      expect(read(pieces(whole, cuts))).toEqual(read([whole]));
    }),
    { numRuns: 2000 },
  );
});

test("bytes that were taken out stay as they were, whatever comes after them", () => {
  const input = new RequestInput({ headBytes: 65_536, headFields: 256 }, PLACE);
  input.add(Buffer.from("GET http://a.test/ HTTP/1.1\r\nHost: a.te"));
  input.add(Buffer.from("st\r\n\r\nrest"));
  expect(input.next()).toMatchObject({ kind: "exchange" });
  input.add(Buffer.from(" and more"));
  const taken = input.takeAll();
  input.add(Buffer.from("other bytes"));
  input.add(Buffer.from(" of the next"));
  expect(String(taken)).toBe("rest and more");
  expect(String(input.takeAll())).toBe("other bytes of the next");
});

test("a head of a million segments is not looked at anew for each", () => {
  const HEAD_BYTES = 1_048_576;
  const input = new RequestInput({ headBytes: HEAD_BYTES, headFields: 256 }, PLACE);
  input.add(Buffer.from("GET http://a.test/"));
  const crumb = Buffer.from("a");
  const beganMs = performance.now();
  // Where each costs as much as all before it, this takes minutes; it is half a second's work.
  for (let i = 0; i < HEAD_BYTES - 1000; i++) {
    input.add(crumb);
    if (input.next() !== null) throw new Error("a head that is not whole was read");
    if (i % 10_000 === 0 && performance.now() - beganMs > 30_000) throw new Error(`only ${i} segments in 30 s`);
  }
  input.add(Buffer.from(" HTTP/1.1\r\nHost: a.test\r\n\r\n"));
  expect(input.next()).toMatchObject({ kind: "exchange" });
});
