import type { Clock } from "../core/clock.ts";
import { Denial } from "../core/denial.ts";
import type { PinnedAddress } from "../core/exchange.ts";
import { type IpBytes, type IpRange, parseIp } from "../core/ip.ts";
import type { Lookup } from "./resolver.ts";

/** What a name resolved to. */
export interface Answer {
  readonly addresses: readonly IpBytes[];
  /** Monotonic ms from which on it is not used any more. */
  readonly expiresAtMs: number;
  /** The last check that was passed with it, so that the next exchange need not repeat it. */
  last: { readonly ranges: readonly IpRange[]; readonly pinned: PinnedAddress } | null;
}

export interface AnswerCacheOptions {
  readonly lookup: Lookup;
  readonly clock: Clock;
  readonly ttlMs?: number;
  readonly timeoutMs?: number;
  readonly entries?: number;
  readonly lookups?: number;
}

/**
 * Lookups, one a name at a time, time-boxed and bounded in number; answers are kept for a few seconds. Failures are never kept.
 * `getaddrinfo` tells no TTL, so the time is a choice: docs/decisions/0008-address-guard.md.
 */
export class AnswerCache {
  readonly #lookup: Lookup;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #timeoutMs: number;
  readonly #entries: number;
  readonly #lookups: number;
  /** In order of insertion, which is the order of expiry. */
  readonly #answers = new Map<string, Answer>();
  readonly #flights = new Map<string, Promise<readonly IpBytes[]>>();
  /** Lookups that have not come back, abandoned ones included. */
  #running = 0;

  constructor({ lookup, clock, ttlMs = 5000, timeoutMs = 5000, entries = 10_000, lookups = 256 }: AnswerCacheOptions) {
    this.#lookup = lookup;
    this.#clock = clock;
    this.#ttlMs = ttlMs;
    this.#timeoutMs = timeoutMs;
    this.#entries = entries;
    this.#lookups = lookups;
  }

  fresh(host: string): Answer | null {
    const answer = this.#answers.get(host);
    return answer !== undefined && this.#clock.monotonicMs() < answer.expiresAtMs ? answer : null;
  }

  /** @throws Denial `name_unresolved`; `address_denied` for an answer that is no address */
  resolve(host: string): Promise<readonly IpBytes[]> {
    const answer = this.fresh(host);
    if (answer !== null) return Promise.resolve(answer.addresses);
    let flight = this.#flights.get(host);
    if (flight === undefined) {
      flight = this.#ask(host).finally(() => this.#flights.delete(host));
      this.#flights.set(host, flight);
    }
    return flight;
  }

  async #ask(host: string): Promise<readonly IpBytes[]> {
    if (this.#running >= this.#lookups) {
      throw new Denial("name_unresolved", { cause: `${this.#running} lookups are under way` });
    }
    // The age counts from the question: the answer may be as old as that.
    const askedAtMs = this.#clock.monotonicMs();
    const texts = await this.#timeBoxed(host);
    if (texts.length === 0) throw new Denial("name_unresolved", { cause: `${host} has no address` });
    const addresses = [...new Set(texts)].map((text) => addressOf(host, text));
    this.#keep(host, { addresses, expiresAtMs: askedAtMs + this.#ttlMs, last: null });
    return addresses;
  }

  async #timeBoxed(host: string): Promise<readonly string[]> {
    const abort = new AbortController();
    const timeout = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      timeout.reject(
        new Denial("name_unresolved", { cause: `looking ${host} up took longer than ${this.#timeoutMs} ms` }),
      );
      abort.abort();
    }, this.#timeoutMs);
    try {
      return await Promise.race([this.#run(host, abort.signal), timeout.promise]);
    } catch (cause) {
      throw cause instanceof Denial ? cause : new Denial("name_unresolved", { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  async #run(host: string, signal: AbortSignal): Promise<readonly string[]> {
    this.#running++;
    try {
      return await this.#lookup(host, signal);
    } finally {
      this.#running--;
    }
  }

  #keep(host: string, answer: Answer): void {
    this.#answers.delete(host);
    this.#answers.set(host, answer);
    if (this.#answers.size <= this.#entries) return;
    const oldest = this.#answers.keys().next();
    if (oldest.done !== true) this.#answers.delete(oldest.value);
  }
}

/** A zone id or anything else that is not one strict address is an answer that cannot be checked. */
function addressOf(host: string, text: string): IpBytes {
  const ip = parseIp(text);
  if (ip === null)
    throw new Denial("address_denied", { cause: `${host} answers "${text}", which is not a plain address` });
  return ip;
}
