import * as fc from "fast-check";
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bodyDecoder } from "../../src/http1/body.ts";
import { requestControl } from "../../src/http1/framing.ts";
import { Http1Error } from "../../src/http1/grammar.ts";
import { scanRequestHead } from "../../src/http1/head.ts";
import { chunkedBody, fieldLine, mutated } from "./arbitraries.ts";

/**
 * Against Node's own parser (llhttp): whatever the codec lets pass, Node must read as the same one message, since a parser
 * like it stands at the other end. The reverse does not hold: the codec is the stricter one.
 */
interface Seen {
  readonly method: string;
  readonly url: string;
  readonly raw: readonly string[];
  readonly body: string;
}

let seen: Seen[] = [];
const server = createServer({ maxHeaderSize: 65_536 }, (request, response) => take(request, () => response.end()));
server.on("checkContinue", (request: IncomingMessage, response) => take(request, () => response.end()));
server.on("connect", (_request, socket) => socket.destroy());
server.on("upgrade", (request: IncomingMessage, socket) => {
  seen.push({ method: request.method ?? "", url: request.url ?? "", raw: request.rawHeaders, body: "" });
  socket.destroy();
});

function take(request: IncomingMessage, done: () => void): void {
  let body = "";
  request.setEncoding("latin1");
  request.on("data", (chunk: string) => (body += chunk));
  request.on("error", () => undefined);
  request.on("end", () => {
    seen.push({ method: request.method ?? "", url: request.url ?? "", raw: request.rawHeaders, body });
    done();
  });
}

beforeAll(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)));
afterAll(
  () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
);

function nodeReads(text: string): Promise<readonly Seen[]> {
  seen = [];
  return new Promise((resolve) => {
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1", () =>
      socket.end(Buffer.from(text, "latin1")),
    );
    socket.resume();
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(seen));
  });
}

function codecReads(text: string): Seen | null {
  const bytes = Buffer.from(text, "latin1");
  try {
    const head = scanRequestHead(bytes, { headBytes: 65_536, headFields: 256 });
    if (head === null) return null;
    const { framing } = requestControl(head);
    const decoder = bodyDecoder(framing, { trailerBytes: 16_384, trailerFields: 64 });
    let body = "";
    decoder.push(bytes.subarray(head.bytes), { bodyData: (chunk) => (body += chunk.toString("latin1")) });
    if (!decoder.done) return null;
    return { method: head.method, url: head.target, raw: [...head.fields.pairs()].flat(), body };
  } catch (thrown) {
    if (thrown instanceof Http1Error) return null;
    throw thrown;
  }
}

const METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"];
const message = fc
  .tuple(
    fc.constantFrom(...METHODS),
    fc.constantFrom("/", "/a?b=c", "/%2e%2e/x", "http://h/x"),
    fc.array(fieldLine, { maxLength: 3 }),
    chunkedBody,
    fc.nat({ max: 3 }),
  )
  .map(([method, target, lines, chunked, kind]) => {
    const framing =
      ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 0\r\n"][kind] ?? "";
    const body = ["", "hello", chunked, ""][kind] ?? "";
    const plain = lines.filter(
      (line) => !/^(content-length|transfer-encoding|host|connection|expect|upgrade):/i.test(line),
    );
    return `${method} ${target} HTTP/1.1\r\nHost: h\r\n${plain.map((line) => `${line}\r\n`).join("")}${framing}\r\n${body}`;
  });

test("what the codec reads, Node reads as the same first message", { timeout: 120_000 }, async () => {
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(fc.oneof(message, mutated(message)), async (text) => {
      const ours = codecReads(text);
      // Methods that Node does not know are refused there; nothing can differ.
      if (ours === null || !METHODS.includes(ours.method)) return;
      const [theirs] = await nodeReads(text);
      if (theirs === undefined) return;
      compared++;
      expect({ ...theirs, raw: [...theirs.raw] }).toEqual(ours);
    }),
    { numRuns: 1500 },
  );
  expect(compared).toBeGreaterThan(300);
});

test.each([
  ["two Host fields", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
  ["gzip, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
  ["chunked on HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
])("Node lets %s through, the codec does not", async (_name, text) => {
  expect(await nodeReads(text)).toHaveLength(1);
  expect(codecReads(text)).toBeNull();
});
