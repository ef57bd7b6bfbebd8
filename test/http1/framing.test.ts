import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { requestControl, responseControl } from "../../src/http1/framing.ts";
import type { Rule } from "../../src/http1/grammar.ts";
import { scanRequestHead, scanResponseHead } from "../../src/http1/head.ts";
import { referenceNominated } from "./reference-parser.ts";

const LIMITS = { headBytes: 65_536, headFields: 256 };

function request(...lines: string[]) {
  const [start = "", ...fields] = lines;
  const head = scanRequestHead(Buffer.from([start, ...fields, "", ""].join("\r\n"), "latin1"), LIMITS);
  if (head === null) throw new Error("incomplete");
  return requestControl(head);
}

function response(method: string, ...lines: string[]) {
  const [start = "", ...fields] = lines;
  const head = scanResponseHead(Buffer.from([start, ...fields, "", ""].join("\r\n"), "latin1"), LIMITS);
  if (head === null) throw new Error("incomplete");
  return responseControl(head, method);
}

const POST = "POST / HTTP/1.1";
const HOST = "Host: a";

describe("what a request says of itself", () => {
  test("bodies by length, chunked, or none", () => {
    expect(request("GET / HTTP/1.1", HOST).framing).toEqual({ kind: "none" });
    expect(request(POST, HOST, "Content-Length: 12").framing).toEqual({ kind: "length", length: 12 });
    expect(request(POST, HOST, "Transfer-Encoding: Chunked").framing).toEqual({ kind: "chunked" });
    expect(request(POST, HOST, "Content-Length: 9007199254740991").framing).toEqual({
      kind: "length",
      length: 2 ** 53 - 1,
    });
  });

  const refused: [Rule, ...string[]][] = [
    ["host_missing", "GET / HTTP/1.1"],
    ["host_repeated", "GET / HTTP/1.1", HOST, HOST],
    ["host_repeated", "GET / HTTP/1.0", HOST, "HOST: b"],
    ["content_length", POST, HOST, "Content-Length: 1", "Content-Length: 1"],
    ["content_length", POST, HOST, "Content-Length: 1, 1"],
    ["content_length", POST, HOST, "Content-Length: +1"],
    ["content_length", POST, HOST, "Content-Length: -1"],
    ["content_length", POST, HOST, "Content-Length: 0x1"],
    ["content_length", POST, HOST, "Content-Length: 1e1"],
    ["content_length", POST, HOST, "Content-Length:"],
    ["content_length", POST, HOST, "Content-Length: 9007199254740992"],
    ["content_length", POST, HOST, `Content-Length: ${"9".repeat(17)}`],
    ["length_and_coding", POST, HOST, "Content-Length: 1", "Transfer-Encoding: chunked"],
    ["transfer_coding", POST, HOST, "Transfer-Encoding: gzip, chunked"],
    ["transfer_coding", POST, HOST, "Transfer-Encoding: identity"],
    ["transfer_coding", POST, HOST, "Transfer-Encoding: xchunked"],
    ["transfer_coding", POST, HOST, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    ["transfer_coding", POST, HOST, "Transfer-Encoding: chunked, chunked"],
    ["transfer_coding", POST, HOST, "Transfer-Encoding: chunked;q=1"],
    ["transfer_coding", POST, HOST, "Transfer-Encoding: \x0bchunked".replace("\x0b", "\xa0")],
    ["transfer_coding", "POST / HTTP/1.0", HOST, "Transfer-Encoding: chunked"],
    ["connection_option", "GET / HTTP/1.1", HOST, "Connection: host"],
    ["connection_option", "GET / HTTP/1.1", HOST, "Connection: close, Content-Length"],
    ["connection_option", POST, HOST, "Content-Length: 1", "Expect: 100-continue", "Connection: close, Expect"],
    ["connection_option", "GET / HTTP/1.1", HOST, "Connection: a b"],
    [
      "connection_option",
      "GET / HTTP/1.1",
      HOST,
      `Connection: ${Array.from({ length: 40 }, (_, i) => `x${i}`).join()}`,
    ],
    ["expectation", POST, HOST, "Content-Length: 1", "Expect: 200-ok"],
    ["expectation", POST, HOST, "Expect: 100-continue", "Expect: 100-continue"],
    ["upgrade", "GET / HTTP/1.1", HOST, "Connection: upgrade", "Upgrade: a", "Upgrade: b"],
  ];
  test.each(refused)("%s: %.20s %.20s %.40s %.40s", (rule, ...lines) => {
    expect(() => request(...lines)).toThrowError(expect.objectContaining({ rule }));
  });

  test("every spelling of a length is one decimal number or refused", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 18, unit: fc.constantFrom(..."0123456789+-., xe".split("")) }), (text) => {
        const value = text.replace(/^[ \t]+|[ \t]+$/g, "");
        const legal = /^[0-9]{1,16}$/.test(value) && Number(value) <= Number.MAX_SAFE_INTEGER;
        if (legal)
          expect(request(POST, HOST, `Content-Length:${text}`).framing).toEqual({
            kind: "length",
            length: Number(value),
          });
        else expect(() => request(POST, HOST, `Content-Length:${text}`)).toThrowError();
      }),
    );
  });

  test("an upgrade needs its connection option and HTTP/1.1", () => {
    expect(request("GET / HTTP/1.1", HOST, "Upgrade: websocket").upgrade).toEqual([]);
    expect(
      request("GET / HTTP/1.1", HOST, "Connection: keep-alive, Upgrade", "Upgrade: WebSocket, h2c").upgrade,
    ).toEqual(["websocket", "h2c"]);
    expect(request("GET / HTTP/1.0", HOST, "Connection: Upgrade", "Upgrade: websocket").upgrade).toEqual([]);
  });

  test("names that Connection nominates, and TE", () => {
    const control = request(
      "GET / HTTP/1.1",
      HOST,
      "Connection: X-A, close",
      "connection: x-b",
      "TE: gzip;q=1, trailers",
    );
    expect(control.nominated).toEqual(["x-a", "x-b"]);
    expect(control.close).toBe(true);
    expect(control.wantsTrailers).toBe(true);
  });

  test("what Connection may nominate is what the slow parser says", () => {
    const names = [
      "Host",
      "content-length",
      "Transfer-Encoding",
      "Content-Type",
      "content-encoding",
      "Expect",
      "expects",
    ];
    const option = fc.constantFrom(...names, "close", "keep-alive", "Upgrade", "x-a", "Cookie", "a b", "", "\xe9");
    const blank = fc.constantFrom("", " ", "\t");
    fc.assert(
      fc.property(fc.array(fc.tuple(blank, option, blank), { minLength: 1, maxLength: 4 }), (options) => {
        const value = options.map((parts) => parts.join("")).join(",");
        const nominated = referenceNominated(value);
        const read = (): readonly string[] => request("GET / HTTP/1.1", HOST, `Connection: ${value}`).nominated;
        if (nominated === null) expect(read).toThrowError(expect.objectContaining({ rule: "connection_option" }));
        else expect(read()).toEqual(nominated);
      }),
    );
  });
});

describe("what an answer says of itself", () => {
  test.each([
    ["HEAD", "HTTP/1.1 200 OK", "Content-Length: 5", { kind: "none" }],
    ["GET", "HTTP/1.1 204 No Content", "Content-Length: 5", { kind: "none" }],
    ["GET", "HTTP/1.1 304 Not Modified", "Content-Length: 5", { kind: "none" }],
    ["GET", "HTTP/1.1 103 Early Hints", "X: y", { kind: "none" }],
    ["GET", "HTTP/1.1 200 OK", "Content-Length: 5", { kind: "length", length: 5 }],
    ["GET", "HTTP/1.1 200 OK", "Transfer-Encoding: chunked", { kind: "chunked" }],
    ["GET", "HTTP/1.1 200 OK", "X: y", { kind: "close" }],
  ])("%s %s %s", (method, status, line, framing) => {
    expect(response(method, status, line).framing).toEqual(framing);
  });

  test.each([
    ["content_length", "Content-Length: 1", "Content-Length: 2"],
    ["content_length", "Content-Length: 1", "Content-Length: 1"],
    ["length_and_coding", "Content-Length: 1", "Transfer-Encoding: chunked"],
    ["transfer_coding", "Transfer-Encoding: gzip", "X: y"],
  ] as [Rule, string, string][])("%s: %s, %s", (rule, ...lines) => {
    expect(() => response("GET", "HTTP/1.1 200 OK", ...lines)).toThrowError(expect.objectContaining({ rule }));
  });

  test("a connection is kept only when nothing speaks against it", () => {
    expect(response("GET", "HTTP/1.1 200 OK", "Content-Length: 0").close).toBe(false);
    expect(response("GET", "HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close").close).toBe(true);
    expect(response("GET", "HTTP/1.0 200 OK", "Content-Length: 0").close).toBe(true);
    expect(response("GET", "HTTP/1.0 200 OK", "Content-Length: 0", "Connection: keep-alive").close).toBe(false);
    expect(response("GET", "HTTP/1.1 200 OK").close).toBe(true);
  });
});
