import { createSecureContext, DEFAULT_CIPHERS, type SecureContext } from "node:tls";
import type { Authority } from "../core/authority.ts";
import type { Clock } from "../core/clock.ts";
import type { LeafMinter } from "./leaf-minter.ts";

const QUICKEST = "TLS_AES_128_GCM_SHA256";

/**
 * What Node offers, AES-128 first if it is there (`--tls-cipher-list` may have taken it out): a guest and its edge share a machine or a
 * rack, and SHA-256, which goes with it, is in hardware where SHA-384 is not. docs/decisions/0029-aes-128-towards-guests.md.
 * @param offered names, joined by colons
 */
export function quickestFirst(offered: string): string {
  const names = offered.split(":");
  return names.includes(QUICKEST) ? [QUICKEST, ...names.filter((name) => name !== QUICKEST)].join(":") : offered;
}

const CIPHERS = quickestFirst(DEFAULT_CIPHERS);

export interface LeafCacheOptions {
  readonly minter: LeafMinter;
  /** Contexts that are kept; each holds about 45 kB. */
  readonly entries: number;
  readonly clock: Clock;
}

/**
 * TLS server contexts by host, least recently used first out. Bounded: a guest that asks for ever new names makes leaves,
 * never memory.
 */
export class LeafCache {
  readonly #minter: LeafMinter;
  readonly #entries: number;
  readonly #clock: Clock;
  /** Iterates in order of use: a hit is taken out and put back at the end. */
  readonly #contexts = new Map<string, Entry>();
  #hits = 0;
  #mints = 0;
  #evictions = 0;

  constructor(options: LeafCacheOptions) {
    if (!Number.isInteger(options.entries) || options.entries < 1) throw new RangeError("entries: at least 1");
    this.#minter = options.minter;
    this.#entries = options.entries;
    this.#clock = options.clock;
  }

  /** Calls answered from memory. */
  get hits(): number {
    return this.#hits;
  }
  /** Leaves signed. */
  get mints(): number {
    return this.#mints;
  }
  /** Contexts given up for newer ones. */
  get evictions(): number {
    return this.#evictions;
  }
  /** Contexts held. */
  get size(): number {
    return this.#contexts.size;
  }

  /**
   * A context that serves leaf and intermediates for the host; the port does not matter. Synchronous, so that a handshake
   * never waits and two for one host never mint twice. Make the TLSSocket in the same turn of the event loop: an evicted
   * context is closed after it.
   * @throws CaError `ca_expired` when the CA has run out, `ca_name_constraints` when it may not sign for the host
   */
  contextFor(authority: Authority): SecureContext {
    const nowMs = this.#clock.wallMs();
    const held = this.#contexts.get(authority.host);
    if (held === undefined || !isInForce(held, nowMs)) return this.#replace(held, authority, nowMs).context;
    this.#contexts.delete(authority.host);
    this.#contexts.set(authority.host, held);
    this.#hits++;
    return held.context;
  }

  /** Mints for a host that has no leaf in force, so that its handshake will find one. @throws CaError as `contextFor` */
  prepare(authority: Authority): void {
    const nowMs = this.#clock.wallMs();
    const held = this.#contexts.get(authority.host);
    if (held === undefined || !isInForce(held, nowMs)) this.#replace(held, authority, nowMs);
  }

  #replace(held: Entry | undefined, authority: Authority, nowMs: number): Entry {
    if (held !== undefined) {
      this.#contexts.delete(authority.host);
      this.#retire(held);
    }
    const entry = this.#make(authority, nowMs);
    this.#contexts.set(authority.host, entry);
    if (this.#contexts.size > this.#entries) this.#evictOldest();
    return entry;
  }

  #make(authority: Authority, nowMs: number): Entry {
    const leaf = this.#minter.mint(authority);
    this.#mints++;
    const context = createSecureContext({
      key: this.#minter.keyPem.reveal(),
      cert: leaf.chainPem,
      // No roots: without them OpenSSL would append what it finds in the system's store to the chain that is served.
      ca: [],
      minVersion: "TLSv1.2",
      ciphers: CIPHERS,
      honorCipherOrder: true,
    });
    // Half of life left over: whoever was handed the leaf may keep its connection open that long.
    return { context, notBeforeMs: leaf.notBeforeMs, renewAtMs: nowMs + (leaf.notAfterMs - nowMs) / 2 };
  }

  #evictOldest(): void {
    const [oldest] = this.#contexts;
    if (oldest === undefined) return;
    this.#contexts.delete(oldest[0]);
    this.#evictions++;
    this.#retire(oldest[1]);
  }

  /**
   * V8 sees an empty object where OpenSSL holds 45 kB, so that it collects late: a guest that churns names took memory at
   * 20 kB a name. Connections hold the OpenSSL context by themselves and go on.
   */
  #retire({ context }: Entry): void {
    const native: unknown = context.context;
    if (isClosable(native)) setImmediate(() => native.close());
  }
}

interface Entry {
  readonly context: SecureContext;
  readonly notBeforeMs: number;
  /** Wall clock, ms: from then on the next call mints anew. */
  readonly renewAtMs: number;
}

function isInForce({ notBeforeMs, renewAtMs }: Entry, nowMs: number): boolean {
  return nowMs < renewAtMs && nowMs >= notBeforeMs;
}

/** `close()` of the native context is not in Node's documentation: without it memory is freed later, nothing else changes. */
function isClosable(native: unknown): native is { close(): void } {
  return typeof native === "object" && native !== null && "close" in native && typeof native.close === "function";
}
