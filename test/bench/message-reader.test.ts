import { describe, expect, it } from "vitest";
import { MessageReader } from "../../bench/wire/message-reader.ts";

interface Seen {
  readonly heads: string[];
  body: string;
  ends: number;
}

function readerOf(seen: Seen): MessageReader {
  return new MessageReader({
    head: (head) => seen.heads.push(head),
    body: (chunk, start, end) => {
      seen.body += chunk.toString("latin1", start, end);
    },
    end: () => {
      seen.ends++;
    },
  });
}

function readInPieces(text: string, size: number): Seen {
  const seen: Seen = { heads: [], body: "", ends: 0 };
  const reader = readerOf(seen);
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
  return seen;
}

const BY_LENGTH = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world";
const CHUNKED =
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nx-trailer: 1\r\n\r\n";

describe("the bench's message reader", () => {
  for (const size of [1, 2, 3, 7, 1000]) {
    it(`reads a body by its length, in pieces of ${size}`, () => {
      const seen = readInPieces(BY_LENGTH + BY_LENGTH, size);
      expect(seen).toMatchObject({ body: "hello worldhello world", ends: 2 });
      expect(seen.heads).toHaveLength(2);
    });

    it(`takes chunked framing off, in pieces of ${size}`, () => {
      expect(readInPieces(CHUNKED + BY_LENGTH, size)).toMatchObject({ body: "hello worldhello world", ends: 2 });
    });
  }

  it("does not end before the last byte has come", () => {
    expect(readInPieces(BY_LENGTH.slice(0, -1), 1000).ends).toBe(0);
    expect(readInPieces(CHUNKED.slice(0, -1), 1000).ends).toBe(0);
  });

  it("refuses what frames a body in two ways, in no way, or without an end", () => {
    const both = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n";
    expect(() => readInPieces(both, 1000)).toThrow("both");
    expect(() => readInPieces(CHUNKED.replace("5\r\n", "five\r\n"), 1000)).toThrow("no chunk size");
    expect(() => readInPieces(CHUNKED.replace("hello", "hellooo"), 1000)).toThrow("longer than its size");
    expect(() => readInPieces(`HTTP/1.1 200 OK\r\nx: ${"x".repeat(20_000)}`, 5000)).toThrow("no end");
  });
});
