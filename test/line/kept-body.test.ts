import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteBudget } from "../../src/core/byte-budget.ts";
import { Denial } from "../../src/core/denial.ts";
import { Fields } from "../../src/core/fields.ts";
import type { BodySink, RequestBody } from "../../src/core/wire.ts";
import { KeptBody } from "../../src/line/kept-body.ts";

/** The copy of a request body that lets it be sent once more: byte for byte, whenever the first attempt ended, and bounded. */

const MOST = 65_535;

/** A guest's body that gives a piece whenever the test says so. */
class Source implements RequestBody {
  readonly length = "stream";
  readonly expectContinue = false;
  resumed = 0;
  #sink: BodySink | null = null;

  start(sink: BodySink): void {
    if (this.#sink !== null) throw new Error("a guest's body is delivered once");
    this.#sink = sink;
  }

  resume(): void {
    this.resumed++;
  }

  /** @returns whether more may come */
  give(...pieces: Buffer[]): boolean {
    for (const piece of pieces) this.#sink?.bodyData(piece);
    return this.#sink?.bodyFlush() ?? true;
  }

  end(trailers: Fields | null): void {
    this.#sink?.bodyEnd(trailers);
    this.#sink?.bodyFlush();
  }

  break(): void {
    this.#sink?.bodyBroken(new Denial("request_malformed"));
  }
}

class Taker implements BodySink {
  readonly #chunks: Buffer[] = [];
  isFull = false;
  ends = 0;
  trailers: Fields | null = null;
  broken: Denial | null = null;

  get text(): string {
    return Buffer.concat(this.#chunks).toString("latin1");
  }

  bodyData(chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  bodyEnd(trailers: Fields | null): void {
    this.ends++;
    this.trailers = trailers;
  }

  bodyFlush(): boolean {
    return !this.isFull;
  }

  bodyBroken(denial: Denial): void {
    this.broken = denial;
  }
}

function kept(source: Source, budget = new ByteBudget(10_000_000)): KeptBody {
  return new KeptBody(source, budget, "s");
}

describe("sent once more", () => {
  test("it is the same, wherever the first attempt ended", () => {
    const piece = fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), fc.nat(22), fc.boolean(), (pieces, at, withTrailers) => {
        const source = new Source();
        const body = kept(source);
        const first = new Taker();
        const second = new Taker();
        const trailers = (): Fields | null => (withTrailers ? Fields.of([["x-sum", "1"]]) : null);
        const change = (): void => {
          body.detach();
          body.start(second);
        };
        body.start(first);
        pieces.forEach((each, i) => {
          if (i === at) change();
          expect(source.give(each)).toBe(true);
        });
        if (at === pieces.length) change();
        source.end(trailers());
        if (at > pieces.length) change();
        expect(second.text).toBe(Buffer.concat(pieces).toString("latin1"));
        expect(second.text.startsWith(first.text)).toBe(true);
        expect([second.ends, second.trailers?.get("x-sum")]).toEqual([1, withTrailers ? "1" : undefined]);
      }),
    );
  });

  test("trailers that the first attempt cut are there again", () => {
    const source = new Source();
    const body = kept(source);
    const first = new Taker();
    body.start(first);
    source.end(Fields.of([["x-sum", "1"]]));
    first.trailers?.dropAll("x-sum");
    const second = new Taker();
    body.start(second);
    expect(second.trailers?.get("x-sum")).toBe("1");
  });

  test("what comes in between is kept, and then the guest waits", () => {
    const source = new Source();
    const body = kept(source);
    body.start(new Taker());
    source.give(Buffer.from("a"));
    body.detach();
    // The rest of a segment comes in any case.
    expect(source.give(Buffer.from("b"), Buffer.alloc(MOST, "c"))).toBe(false);
    const second = new Taker();
    body.start(second);
    expect(second.text).toBe(`ab${"c".repeat(MOST)}`);
    expect(source.resumed).toBe(1);
    expect(source.give(Buffer.from("d"))).toBe(true);
    expect(second.text.at(-1)).toBe("d");
  });

  test("to somebody who is full the guest waits on", () => {
    const source = new Source();
    const body = kept(source);
    body.start(new Taker());
    source.give(Buffer.from("a"));
    body.detach();
    const second = new Taker();
    second.isFull = true;
    body.start(second);
    expect(source.resumed).toBe(0);
    body.resume();
    expect(source.resumed).toBe(1);
  });

  test("a body that broke in between is broken", () => {
    const source = new Source();
    const body = kept(source);
    body.start(new Taker());
    body.detach();
    expect(body.loss).toBeNull();
    source.break();
    expect(body.loss?.code).toBe("request_malformed");
    const second = new Taker();
    body.start(second);
    expect(second.broken?.code).toBe("request_malformed");
  });
});

describe("nothing is kept", () => {
  test("of more than there may be, and none of it comes too short", () => {
    const budget = new ByteBudget(10_000_000);
    const source = new Source();
    const body = kept(source, budget);
    const first = new Taker();
    body.start(first);
    source.give(Buffer.alloc(MOST, "a"));
    expect(body.isKept).toBe(true);
    source.give(Buffer.from("b"));
    expect([body.isKept, budget.heldBytes]).toEqual([false, 0]);
    source.end(null);
    expect([first.text.length, first.ends]).toEqual([MOST + 1, 1]);
    expect(body.loss?.code).toBe("upstream_unreachable");
    const second = new Taker();
    body.start(second);
    expect([second.broken?.code, second.text]).toEqual(["upstream_unreachable", ""]);
  });

  test("once the answer begins", () => {
    const budget = new ByteBudget(10_000_000);
    const source = new Source();
    const body = kept(source, budget);
    body.start(new Taker());
    source.give(Buffer.from("a"));
    expect(budget.heldBytes).toBeGreaterThan(0);
    body.release();
    source.give(Buffer.from("b"));
    body.release();
    expect([body.isKept, budget.heldBytes]).toEqual([false, 0]);
  });

  test("where that would take more than half of what is left to bodies that must be held", () => {
    const budget = new ByteBudget(400_000);
    let count = 0;
    for (;;) {
      const source = new Source();
      const body = kept(source, budget);
      body.start(new Taker());
      source.give(Buffer.alloc(8192));
      if (!body.isKept) break;
      count++;
    }
    expect(count).toBeGreaterThan(1);
    expect(budget.heldBytes).toBeLessThanOrEqual(50_000);
    expect(budget.take("s", 40_000)).toBe(true);
  });
});
