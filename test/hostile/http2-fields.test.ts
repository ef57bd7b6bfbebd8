import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { END_HEADERS, END_STREAM, frame, headers, reset, TYPE } from "../guest/support/h2-frames.ts";
import { eventually, TOKEN } from "../line/support/joined.ts";
import { type Field, startTarget, type Target } from "./support/h2-attacker.ts";

/** Field lines and trailers on their way from HTTP/2 to an HTTP/1.1 upstream: what cannot be one line there arrives in no form. */

let target: Target;

beforeAll(async () => {
  target = await startTarget({}, (socket, received) => {
    // The body as it is framed: an answer before its end would hide how it ends.
    const last = received.slice(received.lastIndexOf(" HTTP/1.1\r\n"));
    const isOver = /Transfer-Encoding: chunked/.test(last)
      ? /\r\n0\r\n(.*\r\n)*\r\n$/.test(last)
      : last.endsWith("\r\n\r\n");
    if (isOver) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  });
});

afterAll(async () => {
  await target.close();
  expect(target.joined.faults).toEqual([]);
  await eventually(() => target.joined.sweep.size === 0, "the end of every deadline");
});

async function heardOf(...frames: Uint8Array[]): Promise<{ readonly heard: string; readonly body: string }> {
  const guest = await target.attack();
  guest.send(...frames);
  await guest.answered(1);
  guest.socket.destroy();
  return { heard: await target.heard(), body: guest.body(1) };
}

const head = (...lines: string[]): string =>
  [`GET / HTTP/1.1`, `Host: ${target.authority}`, ...lines, `Authorization: Bearer ${TOKEN}`, "", ""].join("\r\n");

describe("a field that cannot be a line of HTTP/1.1 is left out whole", () => {
  test.each<[string, Field]>([
    ["CRLF and a field in the value", ["x-a", "b\r\nx-injected: 1"]],
    [
      "CRLF, an empty line and a request in the value",
      ["x-a", "b\r\n\r\nGET /second HTTP/1.1\r\nHost: other.test\r\n\r\n"],
    ],
    ["LF in the value", ["x-a", "b\nx-injected: 1"]],
    ["CR in the value", ["x-a", "b\rx-injected: 1"]],
    ["NUL in the value", ["x-a", "b\0c"]],
    ["DEL in the value", ["x-a", "b\x7fc"]],
    ["a blank before the value", ["x-a", " b"]],
    ["a tab behind the value", ["x-a", "b\t"]],
    ["a colon in the name", ["x-a:x-injected", "b"]],
    ["CRLF in the name", ["x-a: b\r\nx-injected", "c"]],
    ["NUL in the name", ["x-a\0", "b"]],
    ["a blank in the name", ["x-a ", "b"]],
    ["Latin-1 in the name", ["x-a\xe9", "b"]],
    ["an empty name", ["", "b"]],
  ])("%s", async (_name, field) => {
    const { heard } = await heardOf(headers(1, [...target.request(), field, ["x-last", "z"]]));
    expect([head("x-last: z"), ""]).toContain(heard);
  });

  test("a name in capitals is reset", async () => {
    expect(await heardOf(headers(1, [...target.request(), ["X-A", "b"]]))).toEqual({ heard: "", body: "" });
  });

  test.each<[string, readonly string[], string]>([
    ["crumbs with CRLF", ["a=1", "b=2\r\nx-injected: 1", "c=3"], "cookie: a=1; c=3"],
    ["crumbs with a semicolon", ["a=1; x=y", "b=2;"], "cookie: a=1; x=y; b=2;"],
    ["crumbs between which other fields stand", ["a=1", "|", "b=2"], "cookie: a=1; b=2\r\nx-between: |"],
  ])("cookies: %s", async (_name, crumbs, line) => {
    const fields = crumbs.map((crumb): Field => (crumb === "|" ? ["x-between", crumb] : ["cookie", crumb]));
    expect((await heardOf(headers(1, [...target.request(), ...fields]))).heard).toBe(head(line));
  });

  test("a value that looks like chunked framing is a value", async () => {
    const { heard } = await heardOf(
      headers(1, [...target.request(), ["x-a", "0 transfer-encoding: chunked"], ["trailer", "host"]]),
    );
    expect(heard).toBe(head("x-a: 0 transfer-encoding: chunked", "trailer: host"));
  });
});

describe("what the guest says in place of the edge", () => {
  test.each<[string, readonly Field[]]>([
    ["authorization", [["authorization", "Bearer mine"]]],
    [
      "authorization, three times",
      [
        ["authorization", "a"],
        ["authorization", "b"],
        ["authorization", ""],
      ],
    ],
    ["proxy-authorization", [["proxy-authorization", "Basic Zm9vOmJhcg=="]]],
    ["proxy-anything", [["proxy-x", "1"]]],
    [
      "te: trailers twice",
      [
        ["te", "trailers"],
        ["te", "trailers"],
      ],
    ],
  ])("%s: the upstream hears the credential once, and nothing of it", async (_name, fields) => {
    const { heard } = await heardOf(headers(1, [...target.request(), ...fields]));
    expect(heard.replace("Connection: TE\r\nTE: trailers\r\n", "")).toBe(head());
  });

  test("the credential of a WebSocket, whose key stays the guest's as it is over HTTP/1.1", async () => {
    const fields: Field[] = [
      [":method", "CONNECT"],
      [":protocol", "websocket"],
      [":scheme", "https"],
      [":path", "/"],
      [":authority", target.authority],
      ["sec-websocket-key", "bWluZW1pbmVtaW5lbWluZQ=="],
      ["sec-websocket-version", "13"],
      ["authorization", "Bearer mine"],
    ];
    const { heard } = await heardOf(headers(1, fields, END_HEADERS));
    expect(heard.match(/^sec-websocket-key: .*$/gim)).toEqual(["sec-websocket-key: bWluZW1pbmVtaW5lbWluZQ=="]);
    expect(heard).not.toMatch(/Bearer mine/);
    expect(heard).toContain(`Authorization: Bearer ${TOKEN}\r\n`);
  });
});

describe("bodies", () => {
  const post = (...fields: Field[]): Buffer => headers(1, [...target.request("/", "POST"), ...fields], END_HEADERS);
  const data = (text: string, flags = 0): Buffer => frame(TYPE.data, flags, 1, Buffer.from(text));

  test.each<[string, () => Uint8Array[]]>([
    ["fewer bytes than content-length", () => [post(["content-length", "9"]), data("hello", END_STREAM)]],
    ["fewer bytes, then trailers", () => [post(["content-length", "9"]), data("hello"), headers(1, [["x-a", "b"]])]],
    ["more bytes than content-length", () => [post(["content-length", "9"]), data("hello"), data("hello", END_STREAM)]],
    ["more bytes in one frame", () => [post(["content-length", "9"]), data("hello hello", END_STREAM)]],
    [
      "a second HEADERS that does not end the stream",
      () => [post(), data("hello"), headers(1, [["x-a", "b"]], END_HEADERS)],
    ],
    ["a second request head", () => [post(), data("hello"), headers(1, target.request("/second"))]],
    ["trailers with a pseudo-header field", () => [post(), data("hello"), headers(1, [[":path", "/x"]])]],
    ["trailers with capitals", () => [post(), data("hello"), headers(1, [["X-A", "b"]])]],
    ["trailers with transfer-encoding", () => [post(), data("hello"), headers(1, [["transfer-encoding", "chunked"]])]],
    ["trailers with connection", () => [post(), data("hello"), headers(1, [["connection", "close"]])]],
    [
      "trailers that are too many",
      () => [
        post(),
        data("hello"),
        headers(
          1,
          Array.from({ length: 65 }, (_, i): Field => [`x-${i}`, "a"]),
        ),
      ],
    ],
    [
      "trailers that are too long",
      () => [
        post(),
        data("hello"),
        headers(1, [
          ["x-a", "a".repeat(16_000)],
          ["x-b", "b".repeat(340)],
        ]),
      ],
    ],
    ["a reset with NO_ERROR", () => [post(), data("hello"), reset(1, 0)]],
    ["a reset with an unknown code", () => [post(), data("hello"), reset(1, 0xffffffff)]],
  ])("%s: the upstream never hears a whole one", async (_name, frames) => {
    const guest = await target.attack();
    guest.send(...frames());
    const isOver = (): boolean =>
      target.upstream.sockets.every(({ readableEnded, destroyed }) => readableEnded || destroyed);
    await eventually(isOver, "the end of the upstream connection");
    guest.socket.destroy();
    const heard = await target.heard();
    expect(heard).not.toMatch(/\r\n0\r\n|\/second/);
    if (heard.includes("content-length: 9")) expect(heard.slice(heard.indexOf("\r\n\r\n") + 4).length).toBeLessThan(9);
  });

  test("trailers: what routes, frames or proves is dropped, the rest is heard", async () => {
    const trailers: Field[] = [
      ["host", "other.test"],
      ["authorization", "Bearer mine"],
      ["proxy-authorization", "Basic x"],
      ["cookie", "a=1"],
      ["expect", "100-continue"],
      ["x-sum", "5"],
      ["x-crlf", "a\r\nb: c"],
    ];
    const { heard } = await heardOf(post(), data("hello"), headers(1, trailers));
    expect(heard).toMatch(/\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n$/);
  });

  test("padding is no content", async () => {
    const padded = frame(
      TYPE.data,
      8 | END_STREAM,
      1,
      Buffer.concat([Buffer.from([5]), Buffer.from("hello\0\0\0\0\0")]),
    );
    expect((await heardOf(post(), padded)).heard).toMatch(/\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/);
  });
});
