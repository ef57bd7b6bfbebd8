import type { Clock } from "../core/clock.ts";
import type { LeaseSession } from "../core/custody.ts";
import type { MethodClass } from "../core/method-class.ts";
import { reaches, type RevocationTarget } from "../core/revocation.ts";
import { DueWheel } from "./due-wheel.ts";

/** One lease as custody remembers it; never its material. Texts that many leases share are one object. */
export class LedgerLease {
  readonly id: string;
  readonly session: LedgerSession;
  readonly credential: LedgerCredential;
  readonly place: LedgerPlace;
  readonly caller: string;
  readonly subject: string;
  readonly resourceRef: string;
  readonly item: object;
  /** Whole ms of the ledger's own time: small integers cost no object of their own. */
  readonly issuedAt: number;
  /** No renewal leads past this. */
  readonly latest: number;
  expiresAt: number;
  state: "live" | "revoked" | "ended" = "live";
  release: (() => Promise<void>) | null;
  nextDue: LedgerLease | null = null;
  previousDue: LedgerLease | null = null;
  due = -1;

  constructor(terms: LedgerTerms, parts: LedgerParts, issuedAt: number) {
    this.id = terms.id;
    this.session = parts.session;
    this.credential = parts.credential;
    this.place = parts.place;
    this.caller = terms.caller;
    this.subject = terms.session.subject;
    this.resourceRef = terms.resourceRef;
    this.item = terms.item;
    this.issuedAt = issuedAt;
    this.expiresAt = issuedAt + terms.ttlMs;
    this.latest = issuedAt + Math.max(terms.ttlMs, terms.longestMs);
    this.release = terms.release;
  }
}

export interface LedgerTerms {
  readonly id: string;
  readonly caller: string;
  readonly session: LeaseSession;
  readonly credential: string;
  readonly destination: string;
  readonly host: string;
  readonly port: number;
  /** The class that it was approved for, or `null`. */
  readonly methodClass: MethodClass | null;
  readonly resourceRef: string;
  /** The entry that it was issued of, as it was then. */
  readonly item: object;
  readonly ttlMs: number;
  /** Longest life that renewals may lead to, from now, `ms`. */
  readonly longestMs: number;
  readonly release: (() => Promise<void>) | null;
}

interface LedgerParts {
  readonly session: LedgerSession;
  readonly credential: LedgerCredential;
  readonly place: LedgerPlace;
}

interface LedgerTenant {
  readonly name: string;
  readonly sessions: Map<string, LedgerSession>;
}

interface LedgerSession {
  readonly id: string;
  readonly tenant: LedgerTenant;
  readonly leases: Set<LedgerLease>;
}

interface LedgerCredential {
  readonly name: string;
  readonly leases: Set<LedgerLease>;
}

/** Where a lease may be used, and for what. */
interface LedgerPlace {
  readonly key: string;
  readonly destination: string;
  readonly host: string;
  readonly port: number;
  readonly methodClass: MethodClass | null;
  leases: number;
}

/** An expired lease is known by name for this long, so that a late renewal is told why, `ms`. */
const REMEMBERED_MS = 30_000;

/**
 * The leases that are out, by id, session, tenant and credential. A lease leaves when it ends, however it ends; what was minted
 * for it alone is then given back, once.
 */
export class Ledger {
  readonly #clock: Clock;
  readonly #originMs: number;
  readonly #byId = new Map<string, LedgerLease>();
  readonly #tenants = new Map<string, LedgerTenant>();
  readonly #credentials = new Map<string, LedgerCredential>();
  readonly #places = new Map<string, LedgerPlace>();
  readonly #wheel = new DueWheel<LedgerLease>();
  #live = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#originMs = clock.monotonicMs();
  }

  add(terms: LedgerTerms): LedgerLease {
    const now = this.#now();
    this.#sweep(now);
    const parts = this.#partsOf(terms);
    const lease = new LedgerLease(terms, parts, now);
    this.#byId.set(lease.id, lease);
    parts.session.leases.add(lease);
    parts.credential.leases.add(lease);
    parts.place.leases++;
    this.#wheel.add(lease, lease.expiresAt);
    this.#live++;
    return lease;
  }

  /** The lease of this id, while it is known: expired and revoked ones for a while as well. */
  find(id: string): LedgerLease | undefined {
    this.#sweep(this.#now());
    return this.#byId.get(id);
  }

  /** Whether it may be used right now. */
  isLive(lease: LedgerLease): boolean {
    return lease.state === "live" && this.#now() < lease.expiresAt;
  }

  /** Life that is left, `ms`; never negative. */
  leftMs({ expiresAt }: LedgerLease): number {
    return Math.max(0, expiresAt - this.#now());
  }

  /** @returns what its life would be from now on if it were renewed for `ttlMs`, `ms` */
  renewable(lease: LedgerLease, ttlMs: number): number {
    return Math.min(ttlMs, lease.latest - this.#now());
  }

  /** Prolongs by what `renewable` told; a lease that lives longer already is left as it is. @returns its life from now, `ms` */
  renew(lease: LedgerLease, ttlMs: number): number {
    const now = this.#now();
    lease.expiresAt = Math.max(lease.expiresAt, Math.min(now + ttlMs, lease.latest));
    return lease.expiresAt - now;
  }

  /** Ends one that was given back: nothing is remembered of it. */
  release(lease: LedgerLease): void {
    this.#end(lease, "ended");
    this.#forget(lease);
  }

  /** Ends what a revocation reaches. Each is known by name until it would have expired. @returns how many were live */
  revoke(target: RevocationTarget): number {
    this.#sweep(this.#now());
    let count = 0;
    for (const lease of this.#candidates(target)) {
      if (lease.state !== "live" || !reaches(target, revocableOf(lease))) continue;
      this.#end(lease, "revoked");
      count++;
    }
    return count;
  }

  /** Live leases that a target names, oldest first. */
  *live(target: RevocationTarget): Generator<LedgerLease> {
    this.#sweep(this.#now());
    for (const lease of this.#candidates(target))
      if (this.isLive(lease) && reaches(target, revocableOf(lease))) yield lease;
  }

  /** Leases that are out. */
  get size(): number {
    this.#sweep(this.#now());
    return this.#live;
  }

  /** Everything that is remembered, for tests of growth. */
  get held(): {
    readonly leases: number;
    readonly tenants: number;
    readonly credentials: number;
    readonly places: number;
  } {
    return {
      leases: this.#byId.size,
      tenants: this.#tenants.size,
      credentials: this.#credentials.size,
      places: this.#places.size,
    };
  }

  /** Ends and forgets what is due. Every other call does this as well; without any, somebody has to. */
  tick(): void {
    this.#sweep(this.#now());
  }

  /** Whole ms since the ledger began, rounded down: a lease ends at most 1 ms early. */
  #now(): number {
    return Math.floor(this.#clock.monotonicMs() - this.#originMs);
  }

  #sweep(now: number): void {
    for (const lease of this.#wheel.due(now)) {
      // Renewed meanwhile: it only comes up again later.
      if (lease.state === "live" && lease.expiresAt > now) {
        this.#wheel.add(lease, lease.expiresAt);
        continue;
      }
      if (lease.state === "live") this.#end(lease, "ended");
      if (now < lease.expiresAt + REMEMBERED_MS) this.#wheel.add(lease, lease.expiresAt + REMEMBERED_MS);
      else this.#forget(lease);
    }
  }

  #end(lease: LedgerLease, state: "ended" | "revoked"): void {
    if (lease.state !== "live") return;
    lease.state = state;
    this.#live--;
    const { release } = lease;
    lease.release = null;
    // It owns its outcome and never rejects.
    void release?.();
  }

  #forget(lease: LedgerLease): void {
    const { session, credential, place } = lease;
    this.#wheel.remove(lease);
    this.#byId.delete(lease.id);
    session.leases.delete(lease);
    if (session.leases.size === 0) {
      session.tenant.sessions.delete(session.id);
      if (session.tenant.sessions.size === 0) this.#tenants.delete(session.tenant.name);
    }
    credential.leases.delete(lease);
    if (credential.leases.size === 0) this.#credentials.delete(credential.name);
    if (--place.leases === 0) this.#places.delete(place.key);
  }

  #partsOf({ session, credential, destination, host, port, methodClass }: LedgerTerms): LedgerParts {
    const tenant = taken(this.#tenants, session.tenant, () => ({ name: session.tenant, sessions: new Map() }));
    const key = JSON.stringify([destination, host, port, methodClass]);
    return {
      session: taken(tenant.sessions, session.id, () => ({ id: session.id, tenant, leases: new Set() })),
      credential: taken(this.#credentials, credential, () => ({ name: credential, leases: new Set() })),
      place: taken(this.#places, key, () => ({ key, destination, host, port, methodClass, leases: 0 })),
    };
  }

  *#candidates({ scope, value, tenant }: RevocationTarget): Generator<LedgerLease> {
    switch (scope) {
      case "lease": {
        const lease = this.#byId.get(value);
        if (lease !== undefined) yield lease;
        return;
      }
      case "credential":
        yield* this.#credentials.get(value)?.leases ?? [];
        return;
      case "session": {
        const among = tenant === null ? this.#tenants.values() : [this.#tenants.get(tenant)];
        for (const one of among) yield* one?.sessions.get(value)?.leases ?? [];
        return;
      }
      case "tenant":
        for (const { leases } of this.#tenants.get(value)?.sessions.values() ?? []) yield* leases;
        return;
      case "all":
        yield* this.#byId.values();
    }
  }
}

function revocableOf({ id, credential, session }: LedgerLease) {
  return { lease: id, credential: credential.name, session: session.id, tenant: session.tenant.name };
}

function taken<T>(map: Map<string, T>, key: string, make: () => T): T {
  let found = map.get(key);
  if (found === undefined) map.set(key, (found = make()));
  return found;
}
