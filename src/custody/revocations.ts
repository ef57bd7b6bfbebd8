import type { Clock } from "../core/clock.ts";
import { LeaseRefusal, type LeaseRefusalReason } from "../core/custody.ts";
import {
  type Revocable,
  type RevocationChange,
  type RevocationPage,
  type RevocationScope,
  type RevocationTarget,
} from "../core/revocation.ts";
import { Journal } from "./journal.ts";
import { type ChangeRecord, type Contents, contentsOf, type Head, type Revocation } from "./revocation-record.ts";
import { RevocationFeed } from "./revocation-feed.ts";

/**
 * How long a revocation is in force unless it is lifted, `ms`; `null` = until then. Longer than what it is about can live: a lease
 * 15 minutes, a session 12 hours.
 */
export const REVOCATION_LASTS_MS: Record<RevocationScope, number | null> = {
  lease: 15 * 60_000,
  session: 12 * 3_600_000,
  credential: null,
  tenant: null,
  all: null,
};

const REASONS: Record<RevocationScope, LeaseRefusalReason> = {
  lease: "lease_revoked",
  session: "session_revoked",
  credential: "credential_revoked",
  tenant: "tenant_revoked",
  all: "custody_revoked",
};

/** More leases and sessions than this at a time are a case for `tenant` or `all`, for which there is room all the same. */
const MOST_IN_FORCE: Record<RevocationScope, number> = {
  lease: 20_000,
  session: 20_000,
  credential: 21_000,
  tenant: 21_000,
  all: 21_100,
};
/** Lines of the journal beside those in force before it is written anew. */
const MOST_SPARE_LINES = 1_000;

export interface RevocationsOptions {
  readonly clock: Clock;
  readonly randomBytes: (size: number) => Buffer;
}

interface InForce {
  readonly revocation: Revocation;
  /** Monotonic ms, or infinite. */
  readonly endsMs: number;
}

/**
 * What is revoked, in memory and in a journal: in force once it is durable, until it is lifted or has lasted. Time is counted
 * on the monotonic clock while custody runs. Across a restart the wall clock is all that there is: one that was set back makes
 * a timed revocation last longer, or come back, at most for its whole time again; one that was set forward ends it sooner by as much.
 */
export class Revocations {
  readonly #clock: Clock;
  readonly #newId: () => string;
  readonly #journal: Journal | null;
  readonly #inForce = new Map<string, InForce>();
  /** By scope and what it names, so that a lookup costs the same however many there are. */
  readonly #index = new Map<string, Set<string>>();
  readonly feed: RevocationFeed;
  #nextEndMs = Number.POSITIVE_INFINITY;
  #changing: Promise<unknown> = Promise.resolve();
  #journalIsBroken = false;

  private constructor(options: RevocationsOptions, journal: Journal | null, { head, kept, changes }: Contents) {
    this.#clock = options.clock;
    this.#newId = () => options.randomBytes(8).toString("hex");
    this.#journal = journal;
    this.feed = new RevocationFeed(head.epoch, head.sequence);
    for (const one of kept) this.#put(one);
    for (const change of changes) this.#replay(change);
  }

  /** Without a journal: for a custody that lives and dies with its edge. */
  static inMemory(options: RevocationsOptions): Revocations {
    return new Revocations(options, null, { head: newHead(options), kept: [], changes: [] });
  }

  /** @throws Error with a next step when the journal cannot be read */
  static async open(path: string, options: RevocationsOptions): Promise<Revocations> {
    const { journal, records } = await Journal.open(path, [newHead(options)]);
    try {
      return new Revocations(options, journal, contentsOf(records, path));
    } catch (error) {
      await journal.close();
      throw error;
    }
  }

  /** @returns why this gets no lease, or keeps none, or `null` */
  against(it: Revocable): LeaseRefusalReason | null {
    if (this.#inForce.size === 0) return null;
    this.#sweep();
    for (const target of targetsOf(it)) if (this.#index.has(keyOf(target))) return REASONS[target.scope];
    return null;
  }

  /**
   * Durable once it resolves, and in force from that very moment.
   * @param record is durable before anything else is; what it throws ends the matter
   * @throws LeaseRefusal `state_unavailable` when it cannot be kept, `overloaded` when there are too many: nothing has changed
   */
  make(
    target: RevocationTarget,
    reason: string,
    by: string,
    record: (revocation: Revocation) => Promise<void> = noRecord,
  ): Promise<Revocation> {
    return this.#inTurn(async () => {
      this.#sweep();
      if (this.#inForce.size >= MOST_IN_FORCE[target.scope])
        throw new LeaseRefusal("overloaded", "too many revocations are in force: lift some, or revoke the tenant");
      const madeAtMs = this.#clock.wallMs();
      const lastsMs = REVOCATION_LASTS_MS[target.scope];
      const untilMs = lastsMs === null ? null : madeAtMs + lastsMs;
      const { scope, value, tenant } = target;
      const revocation: Revocation = { id: this.#newId(), scope, value, tenant, reason, by, madeAtMs, untilMs };
      await record(revocation);
      await this.#keep({ made: revocation });
      this.#put(revocation);
      this.feed.add(changeOf("revoked", revocation));
      return revocation;
    });
  }

  /** @throws LeaseRefusal `nothing_of_this_id`, `state_unavailable`: nothing has changed */
  lift(id: string, record: (revocation: Revocation) => Promise<void> = noRecord): Promise<Revocation> {
    return this.#inTurn(async () => {
      this.#sweep();
      const found = this.#inForce.get(id);
      if (found === undefined) throw new LeaseRefusal("nothing_of_this_id");
      await record(found.revocation);
      await this.#keep({ lifted: id });
      this.#drop(id);
      this.feed.add(changeOf("lifted", found.revocation));
      return found.revocation;
    });
  }

  find(id: string): Revocation | undefined {
    this.#sweep();
    return this.#inForce.get(id)?.revocation;
  }

  /** What is in force, oldest first, and for how long yet, `ms`. */
  *list(): Generator<{ readonly revocation: Revocation; readonly leftMs: number | null }> {
    this.#sweep();
    const nowMs = this.#clock.monotonicMs();
    for (const { revocation, endsMs } of this.#inForce.values())
      yield { revocation, leftMs: Number.isFinite(endsMs) ? endsMs - nowMs : null };
  }

  /** As `RevocationFeed.after`. */
  page(
    after: string | null,
    waitMs: number,
    tenants: readonly string[] | null,
    signal: AbortSignal,
  ): Promise<RevocationPage> {
    return this.feed.after(after, waitMs, tenants, signal);
  }

  get size(): number {
    this.#sweep();
    return this.#inForce.size;
  }

  /** Ends waits; what was being kept is finished first. */
  async close(): Promise<void> {
    this.feed.close();
    await this.#inTurn(async () => await this.#journal?.close());
  }

  /** One change after the other: the journal has one order, and the feed the same. */
  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const made = this.#changing.then(change);
    this.#changing = made.catch(() => undefined);
    return made;
  }

  async #keep(record: ChangeRecord): Promise<void> {
    if (this.#journal === null) return;
    try {
      const isLong = this.#journal.lines > this.#inForce.size * 2 + MOST_SPARE_LINES;
      if (this.#journalIsBroken || isLong) await this.#journal.rewrite(this.#snapshot());
      this.#journalIsBroken = true;
      await this.#journal.append(record);
      this.#journalIsBroken = false;
    } catch (error) {
      throw new LeaseRefusal("state_unavailable", error instanceof Error ? error.message : "unknown error");
    }
  }

  #snapshot(): unknown[] {
    const { epoch, sequence } = this.feed;
    const head: Head = { format: 1, epoch, sequence };
    return [head, ...[...this.#inForce.values()].map(({ revocation }) => ({ kept: revocation }))];
  }

  #replay(change: ChangeRecord): void {
    if ("made" in change) {
      this.#put(change.made);
      this.feed.add(changeOf("revoked", change.made));
      return;
    }
    const found = this.#inForce.get(change.lifted)?.revocation;
    this.#drop(change.lifted);
    // Of one that has run out meanwhile there is nothing to tell; its place in the sequence stays.
    this.feed.add(found === undefined ? null : changeOf("lifted", found));
  }

  #put(revocation: Revocation): void {
    const { id, scope, untilMs } = revocation;
    const lastsMs = REVOCATION_LASTS_MS[scope];
    const leftMs = untilMs === null || lastsMs === null ? null : Math.min(lastsMs, untilMs - this.#clock.wallMs());
    const endsMs = leftMs === null ? Number.POSITIVE_INFINITY : this.#clock.monotonicMs() + leftMs;
    this.#inForce.set(id, { revocation, endsMs });
    this.#nextEndMs = Math.min(this.#nextEndMs, endsMs);
    const key = keyOf(revocation);
    const ids = this.#index.get(key);
    if (ids === undefined) this.#index.set(key, new Set([id]));
    else ids.add(id);
  }

  #drop(id: string): void {
    const found = this.#inForce.get(id);
    if (found === undefined) return;
    this.#inForce.delete(id);
    const key = keyOf(found.revocation);
    const ids = this.#index.get(key);
    ids?.delete(id);
    if (ids?.size === 0) this.#index.delete(key);
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#nextEndMs) return;
    this.#nextEndMs = Number.POSITIVE_INFINITY;
    for (const [id, { endsMs }] of this.#inForce) {
      if (nowMs >= endsMs) this.#drop(id);
      else this.#nextEndMs = Math.min(this.#nextEndMs, endsMs);
    }
  }
}

async function noRecord(): Promise<void> {}

function newHead({ randomBytes }: RevocationsOptions): Head {
  return { format: 1, epoch: randomBytes(8).toString("hex"), sequence: 0 };
}

function changeOf(type: RevocationChange["type"], { id, scope, value, tenant }: Revocation): RevocationChange {
  return { type, id, scope, value, tenant };
}

/** Every target that would reach it, the widest first: that is the reason to tell. */
function targetsOf({ lease, credential, session, tenant }: Revocable): RevocationTarget[] {
  const targets: RevocationTarget[] = [
    { scope: "all", value: "", tenant: null },
    { scope: "tenant", value: tenant, tenant: null },
    { scope: "credential", value: credential, tenant: null },
    { scope: "session", value: session, tenant: null },
    { scope: "session", value: session, tenant },
  ];
  if (lease !== null) targets.push({ scope: "lease", value: lease, tenant: null });
  return targets;
}

function keyOf({ scope, value, tenant }: RevocationTarget): string {
  return JSON.stringify([scope, value, tenant]);
}
