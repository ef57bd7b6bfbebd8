import type { Authority } from "../core/authority.ts";
import { Denial } from "../core/denial.ts";
import type { Fields } from "../core/fields.ts";
import type { ExchangeRecord } from "../core/record.ts";
import type { Abort, AnswerHead, GuestExchange, GuestWatcher, RawStream, SessionProof } from "../core/wire.ts";
import { Batch } from "../http1/batch.ts";
import type { RequestControl } from "../http1/framing.ts";
import type { RequestHead } from "../http1/head.ts";
import { CHUNK_END, chunkedEnd, chunkStart, responseHeadText } from "../http1/writer.ts";
import type { GuestEnvironment } from "./environment.ts";
import { refusalText } from "./refusal.ts";
import type { Http1RequestBody } from "./request-body.ts";

/** What the connection does for an exchange. */
export interface ExchangeOwner {
  /** @returns the socket's back-pressure answer */
  write(batch: Batch): boolean;
  /** The answer has begun. */
  answerBegan(): void;
  /** 100 went out: the body may come. */
  continued(): void;
  /** Ends the connection so that the guest sees a broken answer. */
  destroyBroken(): void;
  /** Gives the socket away. */
  handOver(): RawStream;
}

export interface ExchangeTarget {
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  /** Origin-form: path and query as they were sent. */
  readonly path: string;
}

/** One HTTP/1.1 request of a guest and the writer of its answer. */
export class Http1GuestExchange implements GuestExchange {
  readonly record: ExchangeRecord;
  readonly proof: SessionProof;
  readonly method: string;
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  readonly target: string;
  readonly fields: Fields;
  readonly body: Http1RequestBody;
  readonly upgrade: "websocket" | null;
  readonly wantsTrailers: boolean;
  readonly needsHttp2 = false;
  /** The answer's head was written: from here on the guest can only be told by breaking off. */
  answered = false;
  aborted: Abort | null = null;
  watcher: GuestWatcher | null = null;
  /** The connection ends after this exchange. */
  closes: boolean;
  readonly #environment: GuestEnvironment;
  readonly #owner: ExchangeOwner;
  readonly #minor: 0 | 1;
  readonly #batch = new Batch();
  #chunked = false;

  constructor(
    head: RequestHead,
    control: RequestControl,
    target: ExchangeTarget,
    body: Http1RequestBody,
    record: ExchangeRecord,
    proof: SessionProof,
    environment: GuestEnvironment,
    owner: ExchangeOwner,
  ) {
    this.record = record;
    this.proof = proof;
    this.method = head.method;
    this.scheme = target.scheme;
    this.authority = target.authority;
    this.target = target.path;
    this.fields = head.fields;
    this.body = body;
    this.upgrade = control.upgrade.includes("websocket") ? "websocket" : null;
    this.wantsTrailers = control.wantsTrailers;
    this.closes = control.close;
    this.#minor = head.minor;
    this.#environment = environment;
    this.#owner = owner;
  }

  /** Which takes a turn of the event loop at least; an answer of the edge's own may take none. */
  get wasAnsweredUpstream(): boolean {
    return this.record.upstream !== "" && this.record.firstByteMs !== 0;
  }

  interim(head: AnswerHead): void {
    // RFC 9110 §15.2: no 1xx to an HTTP/1.0 client
    if (this.#minor === 0) return;
    this.#batch.text(responseHeadText(head.status, head.reason, head.fields, ""));
    this.#owner.write(this.#batch);
    if (head.status === 100) this.#owner.continued();
  }

  answer(head: AnswerHead): void {
    const streamed = head.length === "stream";
    this.#chunked = streamed && this.#minor === 1;
    // A request that is still on its way cannot be followed by another one on this connection.
    if (!this.body.done || this.#environment.isDraining() || (streamed && !this.#chunked)) this.closes = true;
    const lines = this.#hopLines() + (isUnframed(head, this.method) ? "Content-Length: 0\r\n" : "");
    this.#batch.text(responseHeadText(head.status, head.reason, head.fields, lines));
    this.#owner.answerBegan();
  }

  data(chunk: Buffer): void {
    if (this.#chunked) {
      this.#batch.text(chunkStart(chunk.length));
      this.#batch.bytes(chunk);
      this.#batch.text(CHUNK_END);
    } else this.#batch.bytes(chunk);
  }

  end(trailers: Fields | null): void {
    if (this.#chunked) this.#batch.text(chunkedEnd(trailers));
    this.flush();
  }

  flush(): boolean {
    if (!this.#batch.isEmpty) this.answered = true;
    return this.#owner.write(this.#batch);
  }

  breakOff(): void {
    this.#batch.clear();
    this.closes = true;
    this.#owner.destroyBroken();
  }

  passReset(): boolean {
    return false;
  }

  refuse(denial: Denial): void {
    if (!this.body.done || this.#environment.isDraining()) this.closes = true;
    this.#batch.clear();
    this.#batch.text(
      refusalText(denial, {
        correlationId: this.record.id,
        headOnly: this.method === "HEAD",
        close: this.closes,
        nowMs: this.#environment.line.clock.wallMs(),
      }),
    );
    this.#owner.answerBegan();
    this.flush();
  }

  switchProtocols(head: AnswerHead): RawStream {
    const lines = `Connection: Upgrade\r\nUpgrade: ${this.upgrade ?? ""}\r\n`;
    this.#batch.text(responseHeadText(head.status, head.reason, head.fields, lines));
    this.#owner.answerBegan();
    this.flush();
    return this.#owner.handOver();
  }

  /** The guest is gone, or is about to be: whoever relays is told once. */
  abort(by: Abort): void {
    if (this.aborted !== null) return;
    this.aborted = by;
    this.#batch.clear();
    // The relay first: to it a body that breaks off is a failure of the upstream's side.
    this.watcher?.guestAborted();
    this.body.break(new Denial("request_malformed", { cause: "the guest went away" }));
  }

  #hopLines(): string {
    return (this.#chunked ? "Transfer-Encoding: chunked\r\n" : "") + (this.closes ? "Connection: close\r\n" : "");
  }
}

/** An answer that ended with its head over HTTP/2 needs no Content-Length there; here its end would be the connection's. */
function isUnframed(head: AnswerHead, method: string): boolean {
  if (head.length !== "none" || method === "HEAD" || head.status === 204 || head.status === 304) return false;
  return !head.fields.has("content-length");
}
