import type { Fields } from "../core/fields.ts";
import type { AnswerHead, BodyLength } from "../core/wire.ts";
import { Http1Error } from "../http1/grammar.ts";
import type { AnswerLimits } from "./answer-reader.ts";
import { isLast } from "../http2/codes.ts";
import { answerHead, answerTrailers } from "./http2-head.ts";

/** Holds one answer to the rules as its parts come: interim heads, the final head, the bytes that it promised, trailers. */
export class Http2Answer {
  readonly #method: string;
  readonly #limits: AnswerLimits;
  #interims = 0;
  #length: BodyLength = "stream";
  #received = 0;
  /** Anything of an answer has come. */
  hasBytes = false;
  hasHead = false;
  trailers: Fields | null = null;

  /** @param method of the request */
  constructor(method: string, limits: AnswerLimits) {
    this.#method = method;
    this.#limits = limits;
  }

  /** @throws Http1Error */
  interim(raw: readonly string[], flags: number): AnswerHead {
    this.hasBytes = true;
    // Behind the final head this is a second one.
    if (this.hasHead || isLast(flags)) throw new Http1Error("status_line");
    if (++this.#interims > this.#limits.interimResponses) throw new Http1Error("interim_count");
    const head = answerHead(raw, this.#method, false, this.#limits);
    if (head.status >= 200) throw new Http1Error("status_line");
    return head;
  }

  /** @throws Http1Error */
  head(raw: readonly string[], flags: number): AnswerHead {
    this.hasBytes = true;
    const head = answerHead(raw, this.#method, isLast(flags), this.#limits);
    if (head.status < 200 || this.hasHead) throw new Http1Error("status_line");
    this.hasHead = true;
    this.#length = head.length === "none" ? 0 : head.length;
    return head;
  }

  /** @throws Http1Error for bytes that were not promised: to a guest of HTTP/1.1 they would be the next answer */
  data(bytes: number): void {
    this.#received += bytes;
    if (typeof this.#length === "number" && this.#received > this.#length) throw new Http1Error("content_length");
  }

  /** @throws Http1Error */
  trailer(raw: readonly string[]): void {
    this.trailers = answerTrailers(raw, this.#limits);
  }

  /** @throws Http1Error when bytes are missing */
  end(): void {
    if (typeof this.#length === "number" && this.#received !== this.#length) throw new Http1Error("content_length");
  }
}
