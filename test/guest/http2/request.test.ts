import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Authority } from "../../../src/core/authority.ts";
import { Denial } from "../../../src/core/denial.ts";
import { readStreamRequest, type StreamRequest } from "../../../src/guest/http2/request.ts";
import { requestControl } from "../../../src/http1/framing.ts";
import { scanRequestHead } from "../../../src/http1/head.ts";
import { requestHeadText } from "../../../src/http1/writer.ts";
import { Http2Error } from "../../../src/http2/grammar.ts";
import { fieldList, pseudoList } from "../../http2/arbitraries.ts";

const RUNS = 5000;
const NAMED = "api.test:8443";
const authority = Authority.parse(NAMED, null);
if (authority === null) throw new Error("the tests name no authority");
const TUNNEL = {
  scheme: "https",
  authority,
  proof: { listener: "guests", proxyAuthorization: null, clientCertificate: null },
  refusal: null,
} as const;

const raw = fc.tuple(pseudoList(NAMED), fieldList).map(([pseudo, lines]) => [...pseudo, ...lines]);

/** @returns `null` for a head that breaks a rule @throws whatever is no `Http2Error` */
function read(list: readonly string[], endsHere: boolean): StreamRequest | null {
  try {
    return readStreamRequest(list, endsHere, TUNNEL, { fields: 100, bytes: 65_536 });
  } catch (thrown) {
    if (thrown instanceof Http2Error) return null;
    throw thrown;
  }
}

describe("a head of HTTP/2", () => {
  test("is read, refused by name, or broken by a rule; nothing else is ever thrown", () => {
    let passed = 0;
    fc.assert(
      fc.property(raw, fc.boolean(), (list, endsHere) => {
        const request = read(list, endsHere);
        if (request !== null) expect(request.refusal === null || request.refusal instanceof Denial).toBe(true);
        if (request?.refusal === null) passed++;
      }),
      { numRuns: RUNS },
    );
    expect(passed).toBeGreaterThan(RUNS / 50);
  });

  test("that is accepted is one request of HTTP/1.1, with one Host, and framed as it says", () => {
    fc.assert(
      fc.property(raw, fc.boolean(), (list, endsHere) => {
        const request = read(list, endsHere);
        if (request === null || request.refusal !== null) return;
        const coding = request.length === "stream" ? "Transfer-Encoding: chunked\r\n" : "";
        const text = requestHeadText(request.method, request.path, request.fields, coding);
        const head = scanRequestHead(Buffer.from(text, "latin1"), { headBytes: 1_000_000, headFields: 1000 });
        if (head === null) throw new Error("the head has no end");
        expect([head.bytes, head.method, head.target]).toEqual([text.length, request.method, request.path]);
        const control = requestControl(head);
        expect(control.host).toBe(NAMED);
        expect(control.nominated).toEqual([]);
        expect(control.upgrade).toEqual([]);
        const { framing } = control;
        if (request.length === "stream") expect(framing.kind).toBe("chunked");
        else if (request.length === "none") expect(framing.kind === "none" || lengthOf(framing) === 0).toBe(true);
        else expect(lengthOf(framing)).toBe(request.length);
      }),
      { numRuns: RUNS },
    );
  });
});

function lengthOf(framing: ReturnType<typeof requestControl>["framing"]): number | null {
  return framing.kind === "length" ? framing.length : null;
}
