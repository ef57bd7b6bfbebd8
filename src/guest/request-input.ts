import { requestControl } from "../http1/framing.ts";
import { type HeadLimits, scanRequestHead } from "../http1/head.ts";
import type { ConnectionPlace } from "./place.ts";
import { readRequest, type ReadRequest } from "./request.ts";

/** Of requests that wait for others of their connection; one segment may come on top. */
const ENOUGH_BYTES = 65_536;

/** What has come on an HTTP/1.1 connection and was not taken yet: heads, and what follows them. */
export class RequestInput {
  readonly #limits: HeadLimits;
  readonly #place: ConnectionPlace;
  #bytes: Buffer | null = null;

  constructor(limits: HeadLimits, place: ConnectionPlace) {
    this.#limits = limits;
    this.#place = place;
  }

  get isEmpty(): boolean {
    return this.#bytes === null;
  }

  /** A guest that sends on without being answered would pile it up. */
  get isEnough(): boolean {
    return this.#bytes !== null && this.#bytes.length >= ENOUGH_BYTES;
  }

  add(segment: Buffer): void {
    this.#bytes = this.#bytes === null ? segment : Buffer.concat([this.#bytes, segment]);
  }

  /** @returns all of it, or `null` for nothing; it is empty then */
  takeAll(): Buffer | null {
    const bytes = this.#bytes;
    this.#bytes = null;
    return bytes;
  }

  /**
   * Takes the request whose head comes first; its body, if it has one, is what follows.
   * @returns `null` while its head is not whole
   * @throws what `grammarDenial` makes a denial of; nothing that follows means anything then
   */
  next(): ReadRequest | null {
    const bytes = this.#bytes;
    const head = bytes === null ? null : scanRequestHead(bytes, this.#limits);
    if (bytes === null || head === null) return null;
    this.#bytes = head.bytes === bytes.length ? null : bytes.subarray(head.bytes);
    return readRequest(head, requestControl(head), this.#place);
  }
}
