/**
 * Requests that two parsers could read differently, as lines after the request line. `{T}` stands for the target in the form
 * that the place asks for, `{H}` for the right Host field.
 */
export interface Smuggle {
  readonly name: string;
  readonly code:
    | "request_malformed"
    | "header_limit"
    | "expectation_unsupported"
    | "authority_mismatch"
    | "upgrade_unsupported";
  readonly message: string;
}

const malformed = (name: string, message: string): Smuggle => ({ name, code: "request_malformed", message });
const NEXT = "GET {T}/smuggled HTTP/1.1\r\n{H}\r\n\r\n";

export const SMUGGLES: readonly Smuggle[] = [
  malformed(
    "Content-Length and Transfer-Encoding",
    `POST {T}/a HTTP/1.1\r\n{H}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${NEXT}`,
  ),
  malformed(
    "Transfer-Encoding and Content-Length",
    `POST {T}/a HTTP/1.1\r\n{H}\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${NEXT}`,
  ),
  malformed(
    "two lengths that differ",
    `POST {T}/a HTTP/1.1\r\n{H}\r\nContent-Length: 0\r\nContent-Length: 30\r\n\r\n${NEXT}`,
  ),
  malformed("two lengths that agree", `POST {T}/a HTTP/1.1\r\n{H}\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n`),
  malformed("a list of lengths", `POST {T}/a HTTP/1.1\r\n{H}\r\nContent-Length: 0, 0\r\n\r\n`),
  malformed("a signed length", `POST {T}/a HTTP/1.1\r\n{H}\r\nContent-Length: +5\r\n\r\nhello`),
  malformed("a hexadecimal length", `POST {T}/a HTTP/1.1\r\n{H}\r\nContent-Length: 0x5\r\n\r\nhello`),
  malformed(
    "a length that overflows",
    `POST {T}/a HTTP/1.1\r\n{H}\r\nContent-Length: 18446744073709551621\r\n\r\nhello`,
  ),
  malformed("gzip, chunked", `POST {T}/a HTTP/1.1\r\n{H}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`),
  malformed(
    "chunked twice",
    `POST {T}/a HTTP/1.1\r\n{H}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  malformed("chunked, identity", `POST {T}/a HTTP/1.1\r\n{H}\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`),
  malformed("xchunked", `POST {T}/a HTTP/1.1\r\n{H}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`),
  malformed(
    "a coding with a vertical tab",
    `POST {T}/a HTTP/1.1\r\n{H}\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n`,
  ),
  malformed("a blank before the colon", `POST {T}/a HTTP/1.1\r\n{H}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n`),
  malformed(
    "a blank before the colon of Content-Length",
    `POST {T}/a HTTP/1.1\r\n{H}\r\nContent-Length : 5\r\n\r\nhello`,
  ),
  malformed("obs-fold", `POST {T}/a HTTP/1.1\r\n{H}\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  malformed("obs-fold of the coding", `POST {T}/a HTTP/1.1\r\n{H}\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`),
  malformed("bare LF lines", `POST {T}/a HTTP/1.1\n{H}\nContent-Length: 0\n\n`),
  malformed("one bare LF", `GET {T}/a HTTP/1.1\r\n{H}\nX: y\r\n\r\n`),
  malformed("a bare CR in a value", `GET {T}/a HTTP/1.1\r\n{H}\r\nX: a\rContent-Length: 5\r\n\r\nhello`),
  malformed("NUL in a value", `GET {T}/a HTTP/1.1\r\n{H}\r\nX: a\0b\r\n\r\n`),
  malformed("NUL in a name", `GET {T}/a HTTP/1.1\r\n{H}\r\nX\0: a\r\n\r\n`),
  malformed("a name of no characters", `GET {T}/a HTTP/1.1\r\n{H}\r\n: a\r\n\r\n`),
  malformed("a line without a colon", `GET {T}/a HTTP/1.1\r\n{H}\r\nhello\r\n\r\n`),
  malformed("two Host fields", `GET {T}/a HTTP/1.1\r\n{H}\r\n{H}\r\n\r\n`),
  malformed("no Host field", `GET {T}/a HTTP/1.1\r\nX: y\r\n\r\n`),
  malformed("chunked on HTTP/1.0", `POST {T}/a HTTP/1.0\r\n{H}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  malformed("HTTP/1.2", `GET {T}/a HTTP/1.2\r\n{H}\r\n\r\n`),
  malformed("HTTP/0.9", `GET {T}/a\r\n\r\n`),
  malformed("two blanks in the request line", `GET  {T}/a HTTP/1.1\r\n{H}\r\n\r\n`),
  malformed("a tab in the request line", `GET\t{T}/a HTTP/1.1\r\n{H}\r\n\r\n`),
  malformed("a blank in the target", `GET {T}/a b HTTP/1.1\r\n{H}\r\n\r\n`),
  malformed("raw UTF-8 in the target", `GET {T}/\xc3\xa9 HTTP/1.1\r\n{H}\r\n\r\n`),
  malformed("an empty line first", `\r\nGET {T}/a HTTP/1.1\r\n{H}\r\n\r\n`),
  malformed("Connection nominates Host", `GET {T}/a HTTP/1.1\r\n{H}\r\nConnection: Host\r\n\r\n`),
  malformed(
    "Connection nominates Content-Length",
    `POST {T}/a HTTP/1.1\r\n{H}\r\nContent-Length: 5\r\nConnection: content-length\r\n\r\nhello`,
  ),
  malformed(
    "Connection nominates Transfer-Encoding",
    `POST {T}/a HTTP/1.1\r\n{H}\r\nTransfer-Encoding: chunked\r\nConnection: close, transfer-encoding\r\n\r\n0\r\n\r\n`,
  ),
  malformed(
    "Connection nominates Expect",
    `POST {T}/a HTTP/1.1\r\n{H}\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close, expect\r\n\r\n`,
  ),
  malformed(
    "an upgrade with content",
    `GET {T}/a HTTP/1.1\r\n{H}\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello`,
  ),
  {
    name: "an expectation that is not 100-continue",
    code: "expectation_unsupported",
    message: `POST {T}/a HTTP/1.1\r\n{H}\r\nContent-Length: 1\r\nExpect: 200-ok\r\n\r\n`,
  },
  { name: "300 fields", code: "header_limit", message: `GET {T}/a HTTP/1.1\r\n{H}\r\n${"a: b\r\n".repeat(300)}\r\n` },
  {
    name: "a head of 70 kB",
    code: "header_limit",
    message: `GET {T}/a HTTP/1.1\r\n{H}\r\nX: ${"a".repeat(70_000)}\r\n\r\n`,
  },
  { name: "another Host", code: "authority_mismatch", message: `GET {T}/a HTTP/1.1\r\nHost: other.test\r\n\r\n` },
  {
    name: "Host on another port",
    code: "authority_mismatch",
    message: `GET {T}/a HTTP/1.1\r\nHost: api.test:1\r\n\r\n`,
  },
  { name: "an empty Host", code: "authority_mismatch", message: `GET {T}/a HTTP/1.1\r\nHost:\r\n\r\n` },
  {
    name: "Host with userinfo",
    code: "authority_mismatch",
    message: `GET {T}/a HTTP/1.1\r\nHost: x@api.test:{P}\r\n\r\n`,
  },
  {
    name: "Host with a trailing dot",
    code: "authority_mismatch",
    message: `GET {T}/a HTTP/1.1\r\nHost: api.test.:{P}\r\n\r\n`,
  },
  {
    name: "an upgrade to something unknown",
    code: "upgrade_unsupported",
    message: `GET {T}/a HTTP/1.1\r\n{H}\r\nConnection: upgrade\r\nUpgrade: connect-udp\r\n\r\n`,
  },
];

/** Bodies whose framing breaks after a good head: the head may have gone out, the body must never look complete. */
export const BROKEN_BODIES: readonly (readonly [string, string])[] = [
  ["a chunk size that is no number", "zz\r\nhello\r\n0\r\n\r\n"],
  ["a negative chunk size", "-5\r\nhello\r\n0\r\n\r\n"],
  ["a chunk size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"],
  ["a chunk size that overflows", "fffffffffffffffff\r\nhello"],
  ["a chunk longer than its size", "5\r\nhelloworld\r\n0\r\n\r\n"],
  ["bare LF after the size", "5\nhello\n0\n\n"],
  ["a blank after the size", "5 \r\nhello\r\n0\r\n\r\n"],
  ["a trailer with a blank before its colon", "5\r\nhello\r\n0\r\nX : y\r\n\r\n"],
  ["a folded trailer", "5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n"],
  ["a flood of extensions", `5;${"a".repeat(20_000)}\r\nhello\r\n0\r\n\r\n`],
  ["a flood of trailers", `5\r\nhello\r\n0\r\n${"X: y\r\n".repeat(5000)}\r\n`],
];
