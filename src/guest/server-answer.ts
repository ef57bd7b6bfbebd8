/** What a server does with a hello: it asks for a second one in the clear (HelloRetryRequest), or anything else. */
export type ServerAnswer = "retry" | "other";

const RECORD_HEADER_BYTES = 5;
const CONTENT_ALERT = 21;
const CONTENT_HANDSHAKE = 22;
/** RFC 8446 §6 */
const ALERT_FATAL = 2;
const HANDSHAKE_SERVER_HELLO = 2;
/** Type and length of the message, then legacy_version. */
const RANDOM_AT = 4 + 2;
/** RFC 8446 §4.1.3: SHA-256 of "HelloRetryRequest". */
const RETRY_RANDOM = Buffer.from("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c", "hex");
const TOLD_BYTES = RANDOM_AT + RETRY_RANDOM.length;
/** More comes of no TLS server before its hello. */
const LIMIT_BYTES = 16_384;

/**
 * Reads a server's first bytes until they tell how it answers a hello. Versions and lengths are taken as they come, as clients
 * take them, and warnings ahead of the answer are skipped: before TLS 1.3 the handshake could go on after one. A server that
 * is the guest's accomplice can hide its answer, and gains nothing: whatever the guest is allowed to send goes to it anyway.
 */
export class ServerAnswerReader {
  readonly #header: number[] = [];
  readonly #message: number[] = [];
  /** Of the record that is being read. */
  #left = 0;
  /** Nothing of it has been read. */
  #isNew = false;
  #bytes = 0;

  /** @param segment what came next, however it was cut. @returns `null` while nothing is told */
  take(segment: Uint8Array): ServerAnswer | null {
    this.#bytes += segment.length;
    for (let at = 0; at < segment.length;) {
      if (this.#left === 0) {
        this.#header.push(segment[at++] as number);
        const [type] = this.#header;
        if (type !== CONTENT_HANDSHAKE && type !== CONTENT_ALERT) return "other";
        if (this.#header.length < RECORD_HEADER_BYTES) continue;
        this.#left = ((this.#header[3] as number) << 8) | (this.#header[4] as number);
        this.#isNew = true;
        if (this.#left === 0) this.#header.length = 0;
        continue;
      }
      const fragment = segment.subarray(at, at + this.#left);
      // Nothing follows it, and the guest's own end has to get through.
      if (this.#header[0] === CONTENT_ALERT && this.#isNew && fragment[0] === ALERT_FATAL) return "other";
      this.#isNew = false;
      if (this.#header[0] === CONTENT_HANDSHAKE) {
        this.#message.push(...fragment.subarray(0, TOLD_BYTES - this.#message.length));
        const answer = answerIn(this.#message);
        if (answer !== null) return answer;
      }
      at += fragment.length;
      this.#left -= fragment.length;
      if (this.#left === 0) this.#header.length = 0;
    }
    return this.#bytes > LIMIT_BYTES ? "other" : null;
  }
}

/** @param message the first bytes of the server's first handshake message */
function answerIn(message: readonly number[]): ServerAnswer | null {
  if (message.length > 0 && message[0] !== HANDSHAKE_SERVER_HELLO) return "other";
  if (message.length < TOLD_BYTES) return null;
  return RETRY_RANDOM.equals(Uint8Array.from(message.slice(RANDOM_AT))) ? "retry" : "other";
}
