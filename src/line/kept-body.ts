import type { ByteBudget } from "../core/byte-budget.ts";
import { Denial } from "../core/denial.ts";
import type { Fields } from "../core/fields.ts";
import { HeldBytes } from "../core/held-bytes.ts";
import type { BodyLength, BodySink, RequestBody } from "../core/wire.ts";

/** As much as a guest may send over HTTP/2 before anybody reads it (RFC 9113 §6.9.2). */
const MOST_BYTES = 65_535;

/**
 * A request body on its way, of which a copy is kept until the answer begins, so that it can be sent once more to an upstream that
 * did nothing of it. Once more of it has gone than there may be, or where there is no room, nothing is kept: it passes as it comes.
 */
export class KeptBody implements RequestBody, BodySink {
  readonly length: BodyLength;
  readonly expectContinue: boolean;
  readonly #body: RequestBody;
  readonly #held: HeldBytes;
  #sink: BodySink | null = null;
  #hasBegun = false;
  #isKept = true;
  #hasEnded = false;
  #trailers: Fields | null = null;
  #broken: Denial | null = null;

  /** @param owner whose share of the budget it is */
  constructor(body: RequestBody, budget: ByteBudget, owner: string) {
    this.length = body.length;
    this.expectContinue = body.expectContinue;
    this.#body = body;
    this.#held = new HeldBytes(MOST_BYTES, budget, owner, true);
  }

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** All that came is here: it may be started anew. */
  get isKept(): boolean {
    return this.#isKept;
  }

  /** Why it cannot be started anew, or `null`: then it can, or begins for the first time. */
  get loss(): Denial | null {
    if (!this.#hasBegun) return null;
    if (this.#broken !== null) return this.#broken;
    return this.#isKept
      ? null
      : new Denial("upstream_unreachable", { cause: "it was refused, and cannot be sent again" });
  }

  start(sink: BodySink): void {
    this.#sink = sink;
    if (this.#hasBegun) {
      this.#deliverAgain(sink);
      return;
    }
    this.#hasBegun = true;
    this.#body.start(this);
  }

  resume(): void {
    this.#body.resume();
  }

  /** Whoever took it is gone: what comes meanwhile is kept, and then the guest waits. */
  detach(): void {
    this.#sink = null;
  }

  /** It will not be sent again. */
  release(): void {
    this.#isKept = false;
    this.#held.release();
  }

  bodyData(chunk: Buffer): void {
    if (this.#isKept) this.#keep(chunk);
    this.#sink?.bodyData(chunk);
  }

  bodyEnd(trailers: Fields | null): void {
    this.#hasEnded = true;
    // Each delivery is cleansed of what may not go to its own destination.
    if (this.#isKept && trailers !== null) this.#trailers = trailers.clone();
    this.#sink?.bodyEnd(trailers);
  }

  bodyFlush(): boolean {
    return this.#sink?.bodyFlush() ?? false;
  }

  bodyBroken(denial: Denial): void {
    this.#broken = denial;
    this.#sink?.bodyBroken(denial);
  }

  #keep(chunk: Buffer): void {
    // What is left of a segment comes even when nobody is there to take it.
    const fits = this.#sink === null || this.#held.length + chunk.length <= MOST_BYTES;
    if (!fits || !this.#held.add(chunk)) this.release();
  }

  #deliverAgain(sink: BodySink): void {
    const { loss } = this;
    if (loss !== null) {
      sink.bodyBroken(loss);
      return;
    }
    // Written is not sent, and what is kept may be given back before it is.
    if (this.#held.length > 0) sink.bodyData(Buffer.from(this.#held.bytes));
    if (this.#hasEnded) sink.bodyEnd(this.#trailers?.clone() ?? null);
    const isFlowing = sink.bodyFlush();
    if (isFlowing && !this.#hasEnded) this.#body.resume();
  }
}
