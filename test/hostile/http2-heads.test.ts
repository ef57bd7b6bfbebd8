import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DenialCode } from "../../src/core/denial.ts";
import { END_HEADERS, headers } from "../guest/support/h2-frames.ts";
import { eventually } from "../line/support/joined.ts";
import { type Field, startTarget, type Target, TOO_MANY } from "./support/h2-attacker.ts";

/** Heads of HTTP/2 requests that no client library would write. The upstream hears nothing of them; others are served. */

const PROTOCOL_ERROR = 1;
const ENHANCE_YOUR_CALM = 11;

let target: Target;

beforeAll(async () => {
  target = await startTarget();
});

afterAll(async () => {
  await target.close();
  expect(target.joined.faults).toEqual([]);
  await eventually(() => target.joined.sweep.size === 0, "the end of every deadline");
});

/** What happens to a head: a reset with this code, or a refusal. */
type Fate = number | DenialCode;

async function expectFate(fields: readonly Field[], fate: Fate, flags?: number): Promise<void> {
  const before = target.joined.records.length;
  const guest = await target.attack();
  guest.send(headers(1, fields, flags));
  await guest.answered(1);
  expect(await target.heard()).toBe("");
  const records = target.joined.records.slice(before).filter(({ path }) => !path.startsWith("/marker"));
  const denials = records.map(({ denial }) => denial).filter((denial) => denial !== null);
  if (typeof fate === "number") {
    expect([...guest.reader.codes()]).toEqual([[1, fate]]);
    expect(denials).toEqual([]);
  } else {
    expect(guest.body(1)).toContain(`"code":"${fate}"`);
    expect(denials).toEqual([fate]);
  }
  guest.socket.destroy();
}

/** The good request with some fields replaced, dropped (`null`) or, by other names, added. */
function but(changes: Readonly<Record<string, string | null>>): Field[] {
  const kept = target.request().flatMap(([name, value]): Field[] => {
    const change = changes[name];
    if (change === null) return [];
    return [[name, change ?? value]];
  });
  const names = new Set(kept.map(([name]) => name));
  const added = Object.entries(changes).filter((entry): entry is [string, string] => entry[1] !== null);
  return [...kept, ...added.filter(([name]) => !names.has(name))];
}

const more = (...fields: Field[]): Field[] => [...target.request(), ...fields];

describe("pseudo-header fields", () => {
  test.each<[string, () => Field[], Fate]>([
    ["no :method", () => but({ ":method": null }), PROTOCOL_ERROR],
    ["no :path", () => but({ ":path": null }), PROTOCOL_ERROR],
    ["no :scheme", () => but({ ":scheme": null }), PROTOCOL_ERROR],
    ["no :authority and no Host", () => but({ ":authority": null }), PROTOCOL_ERROR],
    ["two :method", () => more([":method", "GET"]), PROTOCOL_ERROR],
    ["two :path", () => more([":path", "/"]), PROTOCOL_ERROR],
    ["two :authority", () => more([":authority", target.authority]), PROTOCOL_ERROR],
    ["one after a field", () => [["x", "y"], ...target.request()], PROTOCOL_ERROR],
    ["an unknown one", () => more([":evil", "1"]), PROTOCOL_ERROR],
    ["one of an answer", () => more([":status", "200"]), PROTOCOL_ERROR],
    [":Path", () => [...but({ ":path": null }), [":Path", "/"]], PROTOCOL_ERROR],
    ["an empty :path", () => but({ ":path": "" }), PROTOCOL_ERROR],
    ["an absolute :path", () => but({ ":path": "https://other.test/" }), PROTOCOL_ERROR],
    ["a :path that is an authority", () => but({ ":path": target.authority }), PROTOCOL_ERROR],
    ["* with GET", () => but({ ":path": "*" }), PROTOCOL_ERROR],
    ["a blank in :path", () => but({ ":path": "/a b" }), PROTOCOL_ERROR],
    ["a request line in :path", () => but({ ":path": "/ HTTP/1.1\r\nHost: other.test\r\n\r\nGET /" }), PROTOCOL_ERROR],
    ["a tab in :path", () => but({ ":path": "/a\tHTTP/1.1" }), PROTOCOL_ERROR],
    ["NUL in :path", () => but({ ":path": "/a\0" }), PROTOCOL_ERROR],
    ["raw UTF-8 in :path", () => but({ ":path": "/\xc3\xa9" }), "request_malformed"],
    ["an empty :method", () => but({ ":method": "" }), PROTOCOL_ERROR],
    ["a blank in :method", () => but({ ":method": "GET / HTTP/1.1" }), PROTOCOL_ERROR],
    ["CRLF in :method", () => but({ ":method": "GET\r\nX: y" }), PROTOCOL_ERROR],
    ["CRLF in :authority", () => but({ ":authority": `${target.authority}\r\nX: y` }), PROTOCOL_ERROR],
    ["NUL in :authority", () => but({ ":authority": `${target.authority}\0` }), PROTOCOL_ERROR],
    [":scheme http in a TLS tunnel", () => but({ ":scheme": "http" }), "authority_mismatch"],
    [":scheme ftp", () => but({ ":scheme": "ftp" }), "authority_mismatch"],
    [":scheme with CRLF", () => but({ ":scheme": "https\r\n" }), PROTOCOL_ERROR],
    ["an empty :scheme", () => but({ ":scheme": "" }), PROTOCOL_ERROR],
  ])("%s", async (_name, fields, fate) => {
    await expectFate(fields(), fate);
  });
});

describe("CONNECT and :protocol", () => {
  test.each<[string, () => Field[], Fate]>([
    [
      "CONNECT inside the tunnel",
      () => but({ ":method": "CONNECT", ":path": null, ":scheme": null }),
      "tunnel_unsupported",
    ],
    [
      "CONNECT to elsewhere",
      () => [
        [":method", "CONNECT"],
        [":authority", "other.test:443"],
      ],
      "tunnel_unsupported",
    ],
    ["CONNECT with :path", () => but({ ":method": "CONNECT" }), PROTOCOL_ERROR],
    ["CONNECT with an absolute :path", () => but({ ":method": "CONNECT", ":path": "http://x/" }), PROTOCOL_ERROR],
    [":protocol with GET", () => but({ ":protocol": "websocket" }), PROTOCOL_ERROR],
    [":protocol with POST", () => but({ ":method": "POST", ":protocol": "websocket" }), PROTOCOL_ERROR],
    [
      ":protocol without :path",
      () => but({ ":method": "CONNECT", ":path": null, ":protocol": "websocket" }),
      PROTOCOL_ERROR,
    ],
    [
      "two :protocol",
      () => [...but({ ":method": "CONNECT", ":protocol": "websocket" }), [":protocol", "websocket"]],
      PROTOCOL_ERROR,
    ],
    ["an empty :protocol", () => but({ ":method": "CONNECT", ":protocol": "" }), PROTOCOL_ERROR],
    ["connect-udp", () => but({ ":method": "CONNECT", ":protocol": "connect-udp" }), "upgrade_unsupported"],
    ["connect-ip", () => but({ ":method": "CONNECT", ":protocol": "connect-ip" }), "upgrade_unsupported"],
    ["h2c", () => but({ ":method": "CONNECT", ":protocol": "h2c" }), "upgrade_unsupported"],
    ["WebSocket in capitals", () => but({ ":method": "CONNECT", ":protocol": "WebSocket" }), "upgrade_unsupported"],
    [
      "a WebSocket to another authority",
      () => but({ ":method": "CONNECT", ":protocol": "websocket", ":authority": "other.test" }),
      "authority_mismatch",
    ],
    [
      "a WebSocket with content-length",
      () => but({ ":method": "CONNECT", ":protocol": "websocket", "content-length": "5" }),
      "request_malformed",
    ],
  ])("%s", async (_name, fields, fate) => {
    await expectFate(fields(), fate, END_HEADERS);
  });

  test("a WebSocket that ends with its head", () =>
    expectFate(but({ ":method": "CONNECT", ":protocol": "websocket" }), "request_malformed"));
});

describe("connection-specific fields", () => {
  test.each<[string, Field]>([
    ["connection", ["connection", "close"]],
    ["connection that nominates the credential", ["connection", "authorization"]],
    ["keep-alive", ["keep-alive", "timeout=5"]],
    ["proxy-connection", ["proxy-connection", "keep-alive"]],
    ["transfer-encoding", ["transfer-encoding", "chunked"]],
    ["upgrade", ["upgrade", "h2c"]],
    ["te other than trailers", ["te", "gzip"]],
    ["te with more than trailers", ["te", "trailers, deflate"]],
  ])("%s", (_name, field) => expectFate(more(field), PROTOCOL_ERROR));

  test("http2-settings", () => expectFate(more(["http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA"]), "request_malformed"));
});

describe("content-length", () => {
  test.each<[string, readonly string[]]>([
    ["twice, the same", ["5", "5"]],
    ["twice, different", ["5", "6"]],
    ["a list", ["5, 5"]],
    ["plus", ["+5"]],
    ["minus", ["-5"]],
    ["hexadecimal", ["0x5"]],
    ["empty", [""]],
    ["a blank inside", ["5 5"]],
    ["beyond 2^63", ["9223372036854775808"]],
  ])("%s", (_name, values) =>
    expectFate(
      [...target.request("/", "POST"), ...values.map((value): Field => ["content-length", value])],
      PROTOCOL_ERROR,
      END_HEADERS,
    ),
  );

  test("beyond 2^53", () =>
    expectFate(
      [...target.request("/", "POST"), ["content-length", "9007199254740993"]],
      "request_malformed",
      END_HEADERS,
    ));

  test("more than nothing on a head that ends the stream", () =>
    expectFate([...target.request("/", "POST"), ["content-length", "5"]], PROTOCOL_ERROR));
});

describe("expectations", () => {
  test.each<[string, readonly string[]]>([
    ["unknown", ["200-ok"]],
    ["a second one", ["100-continue", "200-ok"]],
    ["twice the same", ["100-continue", "100-continue"]],
    ["empty", [""]],
  ])("%s", (_name, values) =>
    expectFate(
      [...target.request("/", "POST"), ...values.map((value): Field => ["expect", value])],
      "expectation_unsupported",
      END_HEADERS,
    ),
  );
});

describe("size", () => {
  test("more fields than the limit", () =>
    expectFate(more(...Array.from({ length: 290 }, (_, i): Field => [`x-${i}`, "a"])), "header_limit"));

  test("many more fields", () => expectFate(more(...TOO_MANY), ENHANCE_YOUR_CALM));
});
