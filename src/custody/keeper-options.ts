import type { Clock } from "../core/clock.ts";
import type { CustodyPort } from "../core/custody.ts";
import type { Denial } from "../core/denial.ts";

/** What happened, for metrics and logs. Called in passing: they must not throw. No argument is ever secret. */
export interface KeeperEvents {
  /** A lease was fetched. `waitMs` is how long custody took. */
  granted(custody: string, waitMs: number): void;
  /** A fetch ended without a lease; `background` when no exchange waited for it. */
  failed(custody: string, denial: Denial, background: boolean): void;
  /** The breaker of a custody opened or closed. */
  breaker(custody: string, open: boolean): void;
  /** A slot left to make room for another. */
  evicted(custody: string): void;
  /** The upstream answered 401: `true` when the lease was dropped, `false` when a fresh one was refused as well. */
  rejected(custody: string, dropped: boolean): void;
  /** Leases were dropped because custody revoked them. */
  revoked(custody: string, leases: number): void;
}

export interface KeeperOptions {
  /** Custodies by the name that destinations use. */
  readonly custodies: ReadonlyMap<string, CustodyPort>;
  readonly clock: Clock;
  /** In [0, 1); spreads refreshes and probes. */
  readonly random: () => number;
  /** Leases held in all; default 10,000. */
  readonly maxEntries?: number;
  /** Leases held for one session; default a quarter of all. */
  readonly maxEntriesPerSession?: number;
  /** Fetches at one time in all; default 1,024. */
  readonly maxFlights?: number;
  /** Fetches at one time for one session; default 128. */
  readonly maxFlightsPerSession?: number;
  /** Failures in a row that open the breaker of a custody; default 5. */
  readonly breakerFailures?: number;
  /** How long a breaker stays open before a probe, at most, `ms`; default 800. */
  readonly breakerOpenMs?: number;
  /** How long a replaced lease is kept for an exchange that holds it already, `ms`; default 10,000. */
  readonly graceMs?: number;
  /** Whether to follow what custodies revoke; default: unless `tickMs` is 0. */
  readonly follow?: boolean;
  /** How often secrets of the dead are zeroed and health is looked at, `ms`; default 1,000, 0 = only when `tick()` is called. */
  readonly tickMs?: number;
  readonly events?: Partial<KeeperEvents>;
}
