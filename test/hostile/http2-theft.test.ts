import { createHash } from "node:crypto";
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openHttp2 } from "../guest/support/h2-guest.ts";
import { eventually, TOKEN } from "../line/support/joined.ts";
import { startTarget, type Target } from "./support/h2-attacker.ts";

/** The credential on its way back over HTTP/2: in no field, trailer, interim answer, refusal or reset does the guest find it. */

const FORMS = [
  TOKEN,
  TOKEN.replaceAll("-", "%2d"),
  ...(["base64", "base64url", "hex"] as const).map((form) => Buffer.from(TOKEN).toString(form)),
  // Of a shifted one only the middle is its own.
  Buffer.from(`x${TOKEN}`).toString("base64url").slice(4, -4),
];
const BEARER = `Bearer ${TOKEN}`;

let target: Target;
let guest: ClientHttp2Session;
/** What the upstream says to each request; nothing: the connection is cut. */
let answer = "";

beforeAll(async () => {
  target = await startTarget({}, (socket, received) => {
    if (!received.endsWith("\r\n\r\n")) return;
    const key = /Sec-WebSocket-Key: (\S+)\r\n(?!.*Sec-WebSocket-Key)/s.exec(received)?.[1] ?? "";
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.end(Buffer.from(answer.replace("{accept}", accept), "latin1"));
  });
  guest = await openHttp2(target.joined.port, target.authority);
});

afterAll(async () => {
  guest.destroy();
  await target.close();
  expect(target.joined.faults).toEqual([]);
  await eventually(() => target.joined.sweep.size === 0, "the end of every deadline");
});

/** Everything that came back on one stream, as text. */
async function everything(headers: OutgoingHttpHeaders = { ":path": "/" }): Promise<string> {
  const stream: ClientHttp2Stream = guest.request(headers, { endStream: headers[":protocol"] === undefined });
  const heard: unknown[] = [];
  for (const event of ["headers", "response", "trailers", "push"]) {
    stream.on(event, (_headers: unknown, _flags: unknown, raw: unknown) => void heard.push(event, raw));
  }
  stream.on("data", (chunk: Buffer) => void heard.push(chunk.toString("latin1")));
  stream.on("error", (error: Error) => void heard.push(error.message));
  await new Promise((resolve) => {
    stream.on("close", resolve);
    stream.on("end", () => stream.close());
  });
  return JSON.stringify([heard, stream.rstCode]);
}

function withoutCredential(text: string): void {
  for (const form of FORMS) expect(text.toLowerCase()).not.toContain(form.toLowerCase());
}

describe("an upstream that says it back", () => {
  const field = (value: string): string => `HTTP/1.1 200 OK\r\nX-Echo: ${value}\r\nContent-Length: 0\r\n\r\n`;
  const trailer = (line: string): string =>
    `HTTP/1.1 200 OK\r\nTrailer: X-Sum, X-${TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n${line}\r\n\r\n`;

  test.each<[string, () => string, RegExp]>([
    ["in a field", () => field(BEARER), /x-echo/],
    ["in a field in base64", () => field(Buffer.from(TOKEN).toString("base64")), /x-echo/],
    ["in a field in base64url, shifted by one", () => field(Buffer.from(`x${TOKEN}`).toString("base64url")), /x-echo/],
    ["in a field in hex", () => field(Buffer.from(TOKEN).toString("hex").toUpperCase()), /x-echo/],
    ["in a field, percent-encoded", () => field(TOKEN.replaceAll("-", "%2d")), /x-echo/],
    ["in a name", () => `HTTP/1.1 200 OK\r\nX-${TOKEN}: 1\r\nContent-Length: 0\r\n\r\n`, /"200"/],
    [
      "in a name in capitals",
      () => `HTTP/1.1 200 OK\r\nX-${TOKEN.toUpperCase()}: 1\r\nContent-Length: 0\r\n\r\n`,
      /"200"/,
    ],
    ["in the reason", () => `HTTP/1.1 200 ${TOKEN}\r\nContent-Length: 0\r\n\r\n`, /"200"/],
    ["in a cookie", () => `HTTP/1.1 200 OK\r\nSet-Cookie: t=${TOKEN}\r\nContent-Length: 0\r\n\r\n`, /"200"/],
    [
      "in a redirect",
      () => `HTTP/1.1 302 Found\r\nLocation: https://x.test/?t=${TOKEN}\r\nContent-Length: 0\r\n\r\n`,
      /"302"/,
    ],
    ["in an interim answer", () => `HTTP/1.1 103 Hints\r\nLink: <${TOKEN}>\r\n\r\n${field("x")}`, /"103"/],
    [
      "in a hundredth of interim fields",
      () => `HTTP/1.1 103 Hints\r\n${"Link: <x>\r\n".repeat(99)}Link: <${TOKEN}>\r\n\r\n${field("x")}`,
      /"103"/,
    ],
    ["in a trailer", () => trailer(`X-Sum: ${BEARER}`), /x-sum/],
    ["in a trailer's name", () => trailer(`X-${TOKEN}: 1`), /"200"/],
    ["in a line that breaks the grammar", () => `HTTP/1.1 200 OK\r\n${BEARER}\r\n\r\n`, /upstream_protocol/],
    ["in a status line that breaks the grammar", () => `HTTP/1.1 ${TOKEN}\r\n\r\n`, /upstream_protocol/],
    ["in a version that breaks the grammar", () => `${TOKEN}\r\n\r\n`, /upstream_protocol/],
    ["behind the answer", () => `${field("x")}${BEARER}`, /x-echo/],
  ])("%s", async (_name, say, isThere) => {
    answer = say();
    const text = await everything();
    expect(text).toMatch(isThere);
    withoutCredential(text);
  });

  test("in the trailers of an answer that breaks off: there is nothing but the reset", async () => {
    answer = trailer(`X-Sum: ${BEARER}`).slice(0, -4);
    const text = await everything();
    withoutCredential(text);
    expect(text).not.toMatch(/x-sum/);
  });

  test("in a line that breaks the grammar of an answer to gRPC: trailers alone, with fixed text", async () => {
    answer = `HTTP/1.1 200 OK\r\n${BEARER}\r\n\r\n`;
    const text = await everything({ ":path": "/a.B/C", "content-type": "application/grpc", te: "trailers" });
    expect(text).toMatch(/"grpc-status","14"/);
    withoutCredential(text);
  });

  test("in the answer to a WebSocket, with the key beside it", async () => {
    answer = `HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\nX-Echo: ${BEARER}\r\n\r\n`;
    const text = await everything({ ":method": "CONNECT", ":protocol": "websocket", ":path": "/" });
    expect(text).toMatch(/x-echo/);
    withoutCredential(text);
    expect(text).not.toMatch(/sec-websocket-(key|accept)/);
  });
});

test("what goes wrong before or while it is sent says nothing of it", async () => {
  answer = "";
  for (const headers of [{ ":path": "/" }, { ":path": "/", ":method": "TRACE" }, { ":path": "/", expect: "it" }]) {
    withoutCredential(await everything(headers));
  }
});

test("nothing of it is in any record", () => {
  withoutCredential(JSON.stringify(target.joined.records));
});
