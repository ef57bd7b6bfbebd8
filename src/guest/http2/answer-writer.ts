import type { ServerHttp2Stream, ServerStreamResponseOptions } from "node:http2";
import { Denial } from "../../core/denial.ts";
import type { Fields } from "../../core/fields.ts";
import type { AnswerHead } from "../../core/wire.ts";
import { appendFieldLines, fieldObject } from "../../http2/field-lines.ts";

/** `sendDate` is missing in the types: a Date that the upstream did not send is nothing of its answer. */
interface AnswerOptions extends ServerStreamResponseOptions {
  readonly sendDate: false;
}

/** What the exchange does for its answer. */
export interface AnswerOwner {
  /** The guest said `te: trailers`. */
  readonly wantsTrailers: boolean;
  /** The final head is about to leave. */
  answerBegan(): void;
  /** Runs a step of an event; what it throws is the owner's to deal with. */
  guarded(step: () => void): void;
}

const CONTENT_LENGTH: ReadonlySet<string> = new Set(["content-length"]);

/**
 * Writes one answer to a stream. What comes waits for `write`, head and first bytes together, so that an answer that fails in its
 * first segment can still be dropped for a refusal.
 */
export class AnswerWriter {
  readonly #stream: ServerHttp2Stream;
  readonly #owner: AnswerOwner;
  #head: AnswerHead | null = null;
  #chunks: Buffer[] = [];
  #trailers: Fields | null = null;

  constructor(stream: ServerHttp2Stream, owner: AnswerOwner) {
    this.#stream = stream;
    this.#owner = owner;
  }

  /** @throws Denial `upstream_protocol` */
  head(head: AnswerHead): void {
    // node:http2 knows no other final status (RFC 9110 §15: one above 599 is invalid).
    if (head.status > 599) throw new Denial("upstream_protocol", { cause: "a status above 599" });
    this.#head = head;
  }

  data(chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  /** Forgets what was not written yet. */
  drop(): void {
    this.#head = null;
    this.#chunks = [];
  }

  /** Hands over what has come. */
  write(): void {
    if (this.#head !== null) this.#writeHead(this.#head);
    const chunks = this.#chunks;
    if (chunks.length === 0) return;
    this.#chunks = [];
    // 205 has no content (RFC 9110 §15.3.6): node:http2 has ended the stream with its head.
    if (this.#stream.writableEnded) return;
    if (chunks.length > 1) this.#stream.cork();
    for (const chunk of chunks) this.#stream.write(chunk);
    if (chunks.length > 1) this.#stream.uncork();
  }

  /** Writes what is left, and the end. */
  end(trailers: Fields | null): void {
    this.#trailers = trailers;
    this.write();
    if (!this.#stream.writableEnded) this.#stream.end();
  }

  /** @param list names and values in turn, `:status` first */
  respond(list: readonly string[], endStream: boolean, waitForTrailers = false): void {
    const options: AnswerOptions = { endStream, waitForTrailers, sendDate: false };
    this.#stream.respond(list, options);
  }

  #writeHead(head: AnswerHead): void {
    this.#head = null;
    this.#owner.answerBegan();
    const endStream = head.length === "none";
    // Asking for trailers costs a frame more; where the length is known hardly anybody sends any.
    const mayTrail = head.length === "stream" || this.#trailers !== null || this.#owner.wantsTrailers;
    const waitForTrailers = !endStream && mayTrail;
    if (waitForTrailers) this.#stream.once("wantTrailers", this.#onWantTrailers);
    // A length without the content that it tells of would make the answer malformed (RFC 9113 §8.1.1).
    const left = head.status === 205 ? CONTENT_LENGTH : undefined;
    this.respond(appendFieldLines([":status", String(head.status)], head.fields, left), endStream, waitForTrailers);
  }

  readonly #onWantTrailers = (): void =>
    this.#owner.guarded(() => {
      this.#stream.sendTrailers(this.#trailers === null ? {} : fieldObject(this.#trailers));
    });
}
