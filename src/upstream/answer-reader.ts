import type { Fields } from "../core/fields.ts";
import type { AnswerHead, AnswerSink, BodyLength } from "../core/wire.ts";
import { type BodyConsumer, type BodyDecoder, type BodyLimits, bodyDecoder } from "../http1/body.ts";
import { type Control, type Framing, responseControl } from "../http1/framing.ts";
import { Http1Error } from "../http1/grammar.ts";
import { type HeadLimits, type ResponseHead, scanResponseHead } from "../http1/head.ts";
import { cutResponseHopByHop } from "../http1/hop-by-hop.ts";
import { filterTrailers } from "../http1/trailers.ts";

export interface AnswerLimits extends HeadLimits, BodyLimits {
  /** 1xx answers before the final one. */
  readonly interimResponses: number;
}

/** Takes the bytes of one upstream connection apart: interim heads, the final head, the body, and what must not follow. */
export class AnswerReader implements BodyConsumer {
  readonly #limits: AnswerLimits;
  #method = "";
  #mayUpgrade = false;
  #pending: Buffer | null = null;
  #interims = 0;
  #control: Control | null = null;
  #body: BodyDecoder | null = null;
  #sink: AnswerSink | null = null;
  #beyond = false;
  /** Any byte of an answer has come. */
  hasBytes = false;
  /** Milliseconds after which the upstream says it may close (`Keep-Alive: timeout=`), a second early. */
  keepAliveHintMs = Number.POSITIVE_INFINITY;
  /** A 100 came: leave to send what the request's head announced (RFC 9110 §10.1.1). */
  hasContinued = false;
  /** The head of a 101 and the bytes that came behind it. */
  upgraded: { readonly head: AnswerHead; readonly rest: Buffer } | null = null;

  constructor(limits: AnswerLimits) {
    this.#limits = limits;
  }

  /** Makes ready for the answer to the next request. */
  begin(method: string, mayUpgrade: boolean): void {
    this.#method = method;
    this.#mayUpgrade = mayUpgrade;
    this.#pending = null;
    this.#interims = 0;
    this.hasContinued = false;
    this.#control = null;
    this.#body = null;
    this.#beyond = false;
    this.hasBytes = false;
    this.keepAliveHintMs = Number.POSITIVE_INFINITY;
  }

  get hasHead(): boolean {
    return this.#body !== null;
  }

  get done(): boolean {
    return this.#body?.done ?? false;
  }

  /** The answer left the connection in a state that the next one can start from. */
  get reusable(): boolean {
    return this.done && !this.#beyond && this.#control !== null && !this.#control.close;
  }

  /** Whether an orderly close now completes the answer. */
  get endsAtClose(): boolean {
    return this.#body?.endsAtClose() ?? false;
  }

  /** Trailers that may pass, or `null`. */
  get trailers(): Fields | null {
    const trailers = this.#body?.trailers ?? null;
    if (trailers !== null) filterTrailers(trailers);
    return trailers;
  }

  /** @throws Http1Error when the upstream breaks the grammar */
  push(segment: Buffer, sink: AnswerSink): void {
    this.hasBytes = true;
    this.#sink = sink;
    let rest = this.#pending === null ? segment : Buffer.concat([this.#pending, segment]);
    this.#pending = null;
    while (this.#body === null) {
      const head = scanResponseHead(rest, this.#limits);
      if (head === null) {
        this.#pending = rest;
        return;
      }
      rest = rest.subarray(head.bytes);
      if (this.#head(head, sink, rest)) return;
    }
    const taken = this.#body.push(rest, this);
    if (this.#body.done && taken < rest.length) this.#beyond = true;
  }

  bodyData(chunk: Buffer): void {
    this.#sink?.data(chunk);
  }

  /** @returns whether the connection was upgraded, so that no HTTP follows */
  #head(head: ResponseHead, sink: AnswerSink, rest: Buffer): boolean {
    const control = responseControl(head, this.#method);
    if (head.status === 101) {
      if (!this.#mayUpgrade || !control.upgrade.includes("websocket")) throw new Http1Error("upgrade");
      this.upgraded = { head: answerHead(head, control, "none"), rest };
      return true;
    }
    if (head.status < 200) {
      if (++this.#interims > this.#limits.interimResponses) throw new Http1Error("interim_count");
      if (head.status === 100) this.hasContinued = true;
      sink.interim(answerHead(head, control, "none"));
      return false;
    }
    const hint = head.fields.get("keep-alive");
    if (hint !== null) this.keepAliveHintMs = hintMs(hint);
    this.#control = control;
    this.#body = bodyDecoder(control.framing, this.#limits);
    sink.head(answerHead(head, control, bodyLength(control.framing)));
    return false;
  }
}

function answerHead(head: ResponseHead, control: Control, length: BodyLength): AnswerHead {
  cutResponseHopByHop(head.fields, control.nominated);
  if (head.status < 200 || head.status === 204) head.fields.dropAll("content-length");
  return { status: head.status, reason: head.reason, fields: head.fields, length };
}

function bodyLength(framing: Framing): BodyLength {
  switch (framing.kind) {
    case "none":
      return "none";
    case "length":
      return framing.length;
    case "chunked":
    case "close":
      return "stream";
  }
}

/** `timeout=N` of a Keep-Alive field, less one second for the race; `Infinity` when it says none. */
function hintMs(value: string): number {
  const match = /(?:^|[,;\s])timeout=(\d{1,6})(?:$|[,;\s])/i.exec(value);
  return match === null ? Number.POSITIVE_INFINITY : Math.max(0, Number(match[1]) * 1000 - 1000);
}
