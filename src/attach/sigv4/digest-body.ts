import { createHash, type Hash } from "node:crypto";
import { Denial } from "../../core/denial.ts";
import type { Fields } from "../../core/fields.ts";
import type { BodyLength, BodySink, RequestBody } from "../../core/wire.ts";

/**
 * A body whose digest is named ahead, checked while it is relayed. The last piece waits for the verdict: of a body with another
 * digest the upstream never sees the whole.
 */
export class DigestBody implements RequestBody, BodySink {
  readonly length: BodyLength;
  readonly expectContinue: boolean;
  readonly #body: RequestBody;
  readonly #sha256: string;
  #hash: Hash = createHash("sha256");
  #sink: BodySink | null = null;
  #last: Buffer | null = null;

  /** @param sha256 lower-case hex */
  constructor(body: RequestBody, sha256: string) {
    this.length = body.length;
    this.expectContinue = body.expectContinue;
    this.#body = body;
    this.#sha256 = sha256;
  }

  start(sink: BodySink): void {
    this.#sink = sink;
    this.#hash = createHash("sha256");
    this.#last = null;
    this.#body.start(this);
  }

  resume(): void {
    this.#body.resume();
  }

  bodyData(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#hash.update(chunk);
    if (this.#last !== null) this.#sink?.bodyData(this.#last);
    this.#last = chunk;
  }

  bodyFlush(): boolean {
    return this.#sink?.bodyFlush() ?? true;
  }

  bodyEnd(trailers: Fields | null): void {
    const sink = this.#sink;
    if (sink === null) return;
    if (this.#hash.digest("hex") !== this.#sha256) {
      this.bodyBroken(mismatch());
      return;
    }
    if (this.#last !== null) sink.bodyData(this.#last);
    this.#last = null;
    sink.bodyEnd(trailers);
  }

  bodyBroken(denial: Denial): void {
    const sink = this.#sink;
    this.#sink = null;
    this.#last = null;
    sink?.bodyBroken(denial);
  }
}

export function mismatch(): Denial {
  return new Denial("body_digest_mismatch", { cause: "the body has another SHA-256 than x-amz-content-sha256 says" });
}
