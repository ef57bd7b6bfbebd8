import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Batch } from "../../src/http1/batch.ts";
import { ChunkedDecoder } from "../../src/http1/chunked.ts";
import { CHUNK_END, chunkStart } from "../../src/http1/writer.ts";

/** A body cut into crumbs costs its sender bytes; it must not cost the edge a write for each of them. */

class CountingSink {
  writes = 0;
  text = "";
  cork(): void {
    // Counted is what is handed over, corked or not.
  }
  uncork(): void {
    // Counted is what is handed over, corked or not.
  }
  write(chunk: string | Uint8Array): boolean {
    this.writes++;
    this.text += typeof chunk === "string" ? chunk : Buffer.from(chunk).toString("latin1");
    return true;
  }
}

test("a segment of chunks of one byte leaves in a few writes", () => {
  const segment = Buffer.from("1\r\na\r\n".repeat(10_922));
  const batch = new Batch();
  const sink = new CountingSink();
  new ChunkedDecoder({ trailerBytes: 100, trailerFields: 10 }).push(segment, {
    bodyData(chunk) {
      batch.text(chunkStart(chunk.length));
      batch.bytes(chunk);
      batch.text(CHUNK_END);
    },
  });
  batch.writeTo(sink);
  expect(sink.text).toBe(segment.toString("latin1"));
  expect(sink.writes).toBeLessThan(10);
});

test("whatever is gathered leaves in order, large pieces without a copy", () => {
  const piece = fc.oneof(
    fc.string({ maxLength: 20, unit: "binary-ascii" }),
    fc.nat(40_000).map((size) => Buffer.alloc(size + 1, "x")),
    fc.nat(10).map((size) => Buffer.alloc(size + 1, "y")),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      const batch = new Batch();
      for (const each of pieces) {
        if (typeof each === "string") batch.text(each);
        else batch.bytes(each);
      }
      const sink = new CountingSink();
      const written: unknown[] = [];
      batch.writeTo({
        cork: () => undefined,
        uncork: () => undefined,
        write(chunk) {
          written.push(chunk);
          return sink.write(chunk);
        },
      });
      expect(sink.text).toBe(pieces.map((each) => each.toString("latin1")).join(""));
      for (const each of pieces) if (typeof each !== "string" && each.length > 16_384) expect(written).toContain(each);
    }),
    { numRuns: 200, seed: 7 },
  );
});
