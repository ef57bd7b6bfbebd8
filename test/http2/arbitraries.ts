import * as fc from "fast-check";

/** Field lists as a guest may send them: mostly good, with everything in between that one parser reads and another does not. */
const NASTY = [
  "\r",
  "\n",
  "\r\n",
  "\r\n\r\n",
  "\0",
  "\t",
  " ",
  ":",
  "\x7f",
  "\x80",
  "\xff",
  "\u0100",
  "\ud800",
  "HTTP/1.1",
  ";",
  ",",
];
const GOOD = "abcdefghijklmnopqrstuvwxyz0123456789-_.!#$%&'*+^`|~".split("");
const NAMES = [
  ..."host cookie cookie cookie content-length transfer-encoding connection te trailer expect upgrade authorization".split(
    " ",
  ),
  ..."keep-alive proxy-connection proxy-authorization http2-settings content-type sec-websocket-key __proto__".split(
    " ",
  ),
];
const VALUES = [
  "",
  "0",
  "5",
  "05",
  "+5",
  "chunked",
  "trailers",
  "100-continue",
  "close",
  "a=1",
  "a=1; b=2",
  "application/grpc",
  "api.test",
];

const spoiled = (good: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(good, fc.constantFrom(...NASTY), fc.nat({ max: 20 }))
    .map(([text, nasty, at]) => text.slice(0, at) + nasty + text.slice(at));

const goodName = fc.oneof(
  fc.constantFrom(...NAMES),
  fc.string({ unit: fc.constantFrom(...GOOD), minLength: 1, maxLength: 12 }),
);
const goodValue = fc.oneof(
  fc.constantFrom(...VALUES),
  fc.stringMatching(/^([\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]{0,20}[\x21-\x7e\x80-\xff])?)?$/),
);

const mostly = (good: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 20, arbitrary: good },
    { weight: 1, arbitrary: spoiled(good) },
    { weight: 1, arbitrary: fc.string() },
  );

export const fieldList = fc
  .array(fc.tuple(mostly(goodName), mostly(goodValue)), { maxLength: 8 })
  .map((pairs) => pairs.flat());

/** @param authority what a good request names */
export function pseudoList(authority: string): fc.Arbitrary<string[]> {
  const line = (name: string, values: readonly string[]): fc.Arbitrary<readonly string[]> =>
    fc.oneof<fc.MaybeWeightedArbitrary<readonly string[]>[]>(
      { weight: 12, arbitrary: fc.constant([name, values[0] as string]) },
      { weight: 3, arbitrary: mostly(fc.constantFrom(...values)).map((value) => [name, value]) },
      { weight: 1, arbitrary: fc.constant([]) },
    );
  return fc
    .tuple(
      line(":method", ["GET", "POST", "OPTIONS", "CONNECT", "get", "G(T"]),
      line(":scheme", ["https", "http", "HTTPS", "ftp"]),
      line(":path", ["/", "/a?b#c", "*", "", "a", "https://other.test/", "//other.test", "/\x80"]),
      line(":authority", [authority, authority.toUpperCase(), "other.test", `x@${authority}`, ""]),
      fc.oneof(
        { weight: 6, arbitrary: fc.constant<readonly string[]>([]) },
        { weight: 1, arbitrary: line(":protocol", ["websocket", "connect-udp"]) },
      ),
    )
    .map((lines) => lines.flat());
}
