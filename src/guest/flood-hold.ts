import { Denial } from "../core/denial.ts";
import { networkOf } from "../core/ip.ts";

/** Between two tunnels of a guest after its second offence, in `ms`; doubled with each further one. */
const FIRST_MS = 100;
/** An offence counts for so long, in `ms`. */
const COUNTS_MS = 60_000;
/** Nobody is let wait for longer, in `ms`: clients give up, and what they hold open counts. */
const LONGEST_WAIT_MS = 10_000;
/** Guests that are remembered; whoever has that many addresses is not stopped by a memory of them. */
const MOST_GUESTS = 10_000;

interface Suspect {
  readonly offences: number;
  readonly offendedMs: number;
  /** When the next of its tunnels may begin. */
  turnMs: number;
}

/** What ends when a guest leaves. */
interface Leaving {
  on(event: "end" | "close", listener: () => void): unknown;
  off(event: "end" | "close", listener: () => void): unknown;
}

/**
 * Keeps guests apart in time whose connections were ended for floods. Ending one costs a TLS handshake and what was flooded until
 * then, and a guest that comes back at once could have the edge pay that all the time. Its first offence is forgiven, as a client
 * with a fault may commit it; after that its tunnels begin one by one. A guest is an IPv4 address or a /64 of IPv6, as it is counted.
 */
export class FloodHold {
  readonly #longestMs: number;
  readonly #nowMs: () => number;
  /** The last offender is the last. */
  readonly #suspects = new Map<string, Suspect>();
  readonly #waiting = new Set<() => void>();
  #isDraining = false;

  /**
   * @param longestMs most time between two tunnels of one guest; 0: nobody is held
   * @param nowMs monotonic clock
   */
  constructor(longestMs: number, nowMs: () => number) {
    this.#longestMs = longestMs;
    this.#nowMs = nowMs;
  }

  /**
   * A connection of this guest was a flood.
   * @param address of the guest
   * @param weight below 1 where it may have been something else
   */
  blame(address: string, weight: number): void {
    if (this.#longestMs === 0) return;
    const guest = networkOf(address);
    const nowMs = this.#nowMs();
    const before = this.#suspects.get(guest);
    const offences = before === undefined || isForgiven(before, nowMs) ? weight : before.offences + weight;
    this.#suspects.delete(guest);
    this.#suspects.set(guest, {
      offences,
      offendedMs: nowMs,
      turnMs: Math.max(before?.turnMs ?? 0, nowMs + this.#spacingMs(offences)),
    });
    for (const [name, suspect] of this.#suspects) {
      if (this.#suspects.size <= MOST_GUESTS && !isForgiven(suspect, nowMs)) break;
      this.#suspects.delete(name);
    }
  }

  /**
   * Gives a new tunnel of this guest its turn.
   * @param address of the guest
   * @returns how long it has to wait for it, in `ms`
   * @throws Denial `guest_held_off` when that would be too long
   */
  turn(address: string): number {
    if (this.#suspects.size === 0) return 0;
    const suspect = this.#suspects.get(networkOf(address));
    if (suspect === undefined || suspect.offences < 2) return 0;
    const nowMs = this.#nowMs();
    if (isForgiven(suspect, nowMs)) return 0;
    const turnMs = Math.max(suspect.turnMs, nowMs);
    if (turnMs - nowMs > LONGEST_WAIT_MS) {
      const cause = `${Math.floor(suspect.offences)} of its connections were floods, and as many tunnels wait as may`;
      throw new Denial("guest_held_off", { cause });
    }
    suspect.turnMs = turnMs + this.#spacingMs(suspect.offences);
    return turnMs - nowMs;
  }

  /**
   * Resolves after `waitMs`, when the guest leaves, or when the edge drains. The turn of one that left is not given to another:
   * those behind it have theirs, and whoever begins and leaves could gather many at one time.
   * @param guest its socket, not ended yet
   */
  async wait(waitMs: number, guest: Leaving): Promise<void> {
    if (this.#isDraining) return;
    const over = Promise.withResolvers<void>();
    const resolve = (): void => over.resolve();
    const timer = setTimeout(resolve, waitMs);
    this.#waiting.add(resolve);
    guest.on("end", resolve);
    guest.on("close", resolve);
    await over.promise;
    clearTimeout(timer);
    this.#waiting.delete(resolve);
    guest.off("end", resolve);
    guest.off("close", resolve);
  }

  /** Nobody waits any more: there is nothing left to wait for. */
  drain(): void {
    this.#isDraining = true;
    for (const resolve of this.#waiting) resolve();
  }

  #spacingMs(offences: number): number {
    return offences < 2 ? 0 : Math.min(FIRST_MS * 2 ** Math.floor(offences - 2), this.#longestMs);
  }
}

function isForgiven({ offendedMs }: Suspect, nowMs: number): boolean {
  return nowMs - offendedMs > COUNTS_MS;
}
