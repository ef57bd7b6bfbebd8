import { requestControl } from "../http1/framing.ts";
import { type HeadLimits, scanRequestHead } from "../http1/head.ts";
import type { ConnectionPlace } from "./place.ts";
import { readRequest, type ReadRequest } from "./request.ts";

/** Of requests that wait for others of their connection; one segment may come on top. */
const ENOUGH_BYTES = 65_536;

/**
 * What has come on an HTTP/1.1 connection and was not taken yet: heads, and what follows them. A head may come in segments, or
 * records of TLS, of one byte each: none of it is copied or looked at for each of them anew.
 */
export class RequestInput {
  readonly #limits: HeadLimits;
  readonly #place: ConnectionPlace;
  #bytes: Buffer | null = null;
  /** Begins with `#bytes`, and has room for more; nobody else has seen any of it. */
  #store: Buffer | null = null;
  /** How many of `#bytes` were looked at, and are no whole head. */
  #scanned = 0;

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
    const before = this.#bytes;
    if (before === null) {
      this.#bytes = segment;
      return;
    }
    const length = before.length + segment.length;
    if (this.#store === null || this.#store.length < length) {
      this.#store = Buffer.allocUnsafe(Math.max(length, 2 * before.length));
      this.#store.set(before);
    }
    this.#store.set(segment, before.length);
    this.#bytes = this.#store.subarray(0, length);
  }

  /** @returns all of it, or `null` for nothing; it is empty then */
  takeAll(): Buffer | null {
    const bytes = this.#bytes;
    this.#leave(null);
    return bytes;
  }

  /**
   * Takes the request whose head comes first; its body, if it has one, is what follows.
   * @returns `null` while its head is not whole
   * @throws what `grammarDenial` makes a denial of; nothing that follows means anything then
   */
  next(): ReadRequest | null {
    const bytes = this.#bytes;
    if (bytes === null) return null;
    const head = scanRequestHead(bytes, this.#limits, this.#scanned);
    if (head === null) {
      this.#scanned = bytes.length;
      return null;
    }
    this.#leave(head.bytes === bytes.length ? null : bytes.subarray(head.bytes));
    return readRequest(head, requestControl(head), this.#place);
  }

  #leave(rest: Buffer | null): void {
    this.#bytes = rest;
    this.#store = null;
    this.#scanned = 0;
  }
}
