import { createHash } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { LeaseRefusal, type LeaseRequest } from "../../core/custody.ts";
import { zeroMaterial } from "../../core/material.ts";
import { narrowKey } from "../../core/narrow.ts";
import { type CredentialSource, SourceError } from "../sources/source.ts";
import { materialFitsWire } from "../material-text.ts";
import { within } from "../within.ts";
import { BackOff } from "./back-off.ts";
import { copyOfMaterial } from "./copy-material.ts";
import { MintFailure } from "./mint-failure.ts";
import type { Minted, Minter } from "./minter.ts";
import { Releases } from "./releases.ts";

export interface KeptMintOptions {
  /** Of the catalogue entry, for errors. */
  readonly name: string;
  /** What is minted belongs to one session; else all sessions that ask for the same share it. */
  readonly perSession: boolean;
  /**
   * The root and what is read beside it, all of it for every lease as the root of any other credential is: without one of them
   * nothing that is kept goes out, and what was minted of others neither. Closed by their owner. Left out: what is kept stands
   * for itself.
   */
  readonly roots?: readonly CredentialSource[];
  readonly clock: Clock;
  /** In [0, 1); spreads renewals and retries. */
  readonly random: () => number;
  /** Results kept; the one that was asked for longest ago leaves first. */
  readonly mostKept?: number;
  /** Mints at one time. */
  readonly mostFlights?: number;
}

/** A result, on hold for the next lease that asks for the same. */
interface Kept {
  readonly minted: Minted;
  /** Of the roots as they were when its mint began; never leaves this class. */
  readonly rootDigest: string;
  /** Monotonic ms at which its mint began. */
  readonly startedAtMs: number;
  readonly renewAtMs: number;
  /** From here on there is too little life left to lease it. */
  readonly goodUntilMs: number;
  /** Monotonic ms at which a lease of it was given last, or `null`. */
  givenAtMs: number | null;
}

/** Everything about one narrowing, of one session where that matters. */
interface Line {
  kept: Kept | null;
  flight: Flight | null;
  readonly backOff: BackOff;
}

interface Flight {
  readonly landed: Promise<Kept>;
  /** As of what it yields. */
  readonly rootDigest: string;
}

/** An upstream that refuses what was just minted is not going to like the next one better, `ms`. */
const FRESH_EVERY_MS = 5_000;
/** What is left of a result must last a lease for a while; of a short one, a fifth of its life. */
const LEAST_LEFT_MS = 60_000;
/** Nothing is kept longer, whatever the issuer says, `ms`. */
const MOST_KEPT_MS = 24 * 3_600_000;

/**
 * Keeps what a minter yields, so that an issuer is asked once for many leases: every lease gets a copy while there is life
 * enough left, and from three quarters of it on, the next use renews it in the background. Mints of the same are one. After a
 * failure nothing is asked for a while, and whoever asks hears the last reason at once; nothing of a failure is kept but that.
 *
 * A mint goes on when those who wait for it have left: its result is for the next to come, and half an exchange with an issuer
 * that rotates roots would be worse than one too many.
 */
export class KeptMint implements Minter {
  readonly timeoutMs: number;
  readonly #inner: Minter;
  readonly #options: KeptMintOptions;
  readonly #lines = new Map<string, Line>();
  readonly #wide: BackOff;
  readonly #releases: Releases;
  readonly #closing = new AbortController();
  #flights = 0;

  constructor(inner: Minter, options: KeptMintOptions) {
    this.#inner = inner;
    this.#options = options;
    this.#wide = new BackOff(options.clock, options.random);
    this.#releases = new Releases(options.clock);
    this.timeoutMs = (options.roots ?? []).reduce((sum, { timeoutMs }) => sum + timeoutMs, inner.timeoutMs);
  }

  async mint(ask: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted> {
    if (this.#closing.signal.aborted) throw this.#closed();
    this.#releases.sweep();
    for (;;) {
      const rootDigest = await this.#rootDigest(fresh);
      const line = this.#lineOf(ask);
      const nowMs = this.#options.clock.monotonicMs();
      const { kept, flight } = line;
      const isGood = kept !== null && nowMs < kept.goodUntilMs && kept.rootDigest === rootDigest;
      if (isGood && !(fresh && nowMs - kept.startedAtMs >= FRESH_EVERY_MS)) {
        if (nowMs >= kept.renewAtMs) this.#renew(line, ask, rootDigest);
        return this.#copyOf(kept);
      }
      if (flight === null || flight.rootDigest === rootDigest)
        return this.#copyOf(await orAborted(this.#flightOf(line, ask, fresh, rootDigest), signal));
      // It yields what another root gives: that is for those who asked before the root was replaced.
      await orAborted(
        flight.landed.catch(() => null),
        signal,
      );
    }
  }

  close(): void {
    this.#closing.abort();
    for (const line of this.#lines.values()) this.#hold(line, null);
    this.#lines.clear();
    this.#releases.sweep();
    this.#inner.close();
  }

  /** Results that are held, for tests and metrics. */
  get size(): number {
    return [...this.#lines.values()].filter(({ kept }) => kept !== null).length;
  }

  /** The line of what is asked for, which is now the one that was used last. */
  #lineOf(ask: LeaseRequest): Line {
    const key = this.#keyOf(ask);
    const known = this.#lines.get(key);
    if (known === undefined) this.#makeRoom();
    const line = known ?? { kept: null, flight: null, backOff: new BackOff(this.#options.clock, this.#options.random) };
    this.#lines.delete(key);
    this.#lines.set(key, line);
    return line;
  }

  #keyOf({ narrow, session }: LeaseRequest): string {
    if (!this.#options.perSession) return narrowKey(narrow);
    return JSON.stringify([narrowKey(narrow), session.tenant, session.id, session.workspace, session.subject]);
  }

  #makeRoom(): void {
    if (this.#lines.size < (this.#options.mostKept ?? 1_000)) return;
    for (const [key, line] of this.#lines) {
      if (line.flight !== null) continue;
      this.#hold(line, null);
      this.#lines.delete(key);
      return;
    }
    throw new SourceError(`credential "${this.#options.name}": too many leases are being minted at once: ask later`);
  }

  async #rootDigest(fresh: boolean): Promise<string> {
    const whole = createHash("sha256");
    for (const root of this.#options.roots ?? []) {
      const { secret } = await root.read(fresh);
      whole.update(createHash("sha256").update(secret.reveal()).digest());
      secret.zero();
    }
    return whole.digest("base64");
  }

  #flightOf(line: Line, ask: LeaseRequest, fresh: boolean, rootDigest: string): Promise<Kept> {
    if (line.flight !== null) return line.flight.landed;
    const refusal = this.#wide.refusal ?? line.backOff.refusal;
    if (refusal !== null) throw refusal;
    if (this.#flights >= (this.#options.mostFlights ?? 64))
      throw new SourceError(`credential "${this.#options.name}": too many leases are being minted at once: ask later`);
    this.#flights++;
    const landed = this.#fly(line, ask, fresh, rootDigest).finally(() => {
      line.flight = null;
      this.#flights--;
    });
    line.flight = { landed, rootDigest };
    return landed;
  }

  /** Nobody waits for it: what goes wrong shows to those who come once the kept result is no longer good. */
  #renew(line: Line, ask: LeaseRequest, rootDigest: string): void {
    try {
      this.#flightOf(line, ask, false, rootDigest).catch(() => undefined);
    } catch {
      // Not yet time to try again, or too much at once: the next use does.
    }
  }

  async #fly(line: Line, ask: LeaseRequest, fresh: boolean, rootDigest: string): Promise<Kept> {
    const startedAtMs = this.#options.clock.monotonicMs();
    try {
      const minted = await within(
        this.#inner.timeoutMs,
        this.#closing.signal,
        (aborted) => this.#inner.mint(ask, fresh, aborted),
        (late) => discard(late),
      );
      if (this.#closing.signal.aborted) {
        discard(minted);
        throw this.#closed();
      }
      mustBeUsable(minted, this.#options.name);
      line.backOff.succeeded();
      this.#wide.succeeded();
      return this.#land(line, minted, startedAtMs, rootDigest);
    } catch (error) {
      if (this.#closing.signal.aborted) throw this.#closed();
      // What must not be minted costs the issuer nothing.
      if (error instanceof LeaseRefusal) throw error;
      const isNarrow = error instanceof MintFailure && !error.isWide;
      (isNarrow ? line.backOff : this.#wide).failed(error);
      throw error;
    }
  }

  #land(line: Line, minted: Minted, startedAtMs: number, rootDigest: string): Kept {
    const lifeMs = Math.min(MOST_KEPT_MS, minted.expiresAtMs === null ? 0 : minted.expiresAtMs - startedAtMs);
    const kept: Kept = {
      minted,
      rootDigest,
      startedAtMs,
      renewAtMs: startedAtMs + lifeMs * (0.7 + 0.1 * this.#options.random()),
      goodUntilMs: startedAtMs + lifeMs - Math.min(LEAST_LEFT_MS, lifeMs / 5),
      givenAtMs: null,
    };
    // Of what tells no end nobody knows how long it is good: it is for those who wait, who by then have made their copies.
    if (minted.expiresAtMs === null) setImmediate(() => this.#retire(kept));
    else this.#hold(line, kept);
    return kept;
  }

  #hold(line: Line, next: Kept | null): void {
    const before = line.kept;
    line.kept = next;
    if (before !== null) this.#retire(before);
  }

  #retire({ minted, givenAtMs }: Kept): void {
    zeroMaterial(minted.material);
    if (minted.release !== null) this.#releases.add(minted.release, givenAtMs);
  }

  /** What the lease owns is the copy; what was minted is given back once no lease of it can be alive. */
  #copyOf(kept: Kept): Minted {
    if (this.#closing.signal.aborted) throw this.#closed();
    kept.givenAtMs = this.#options.clock.monotonicMs();
    return { material: copyOfMaterial(kept.minted.material), expiresAtMs: kept.minted.expiresAtMs, release: null };
  }

  #closed(): SourceError {
    return new SourceError(`credential "${this.#options.name}" is no longer served: ask again`);
  }
}

/** What no lease could ever carry is not kept for the leases to come. */
function mustBeUsable(minted: Minted, name: string): void {
  if (materialFitsWire(minted.material)) return;
  discard(minted);
  throw new MintFailure(`credential "${name}": its issuer gives what no field can carry: check its URL`, {
    isWide: true,
  });
}

function discard({ material, release }: Minted): void {
  zeroMaterial(material);
  // It owns its outcome and never rejects.
  void release?.();
}

/** The result, unless nobody waits for it any more. What is waited for goes on. */
async function orAborted<T>(flight: Promise<T>, signal: AbortSignal): Promise<T> {
  const cut = Promise.withResolvers<never>();
  const onAbort = (): void => cut.reject(new SourceError("nobody waits for this lease any more: ask again"));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    // Both are looked after: whichever loses has somebody who hears of it.
    flight.catch(() => undefined);
    return await Promise.race([flight, cut.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
