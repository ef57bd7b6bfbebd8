import type { Clock } from "../core/clock.ts";
import { LeaseRefusal, type LeaseRequest } from "../core/custody.ts";
import type { MethodClass } from "../core/method-class.ts";
import { narrowKey, type Narrowing } from "../core/narrow.ts";

/** How long a request waits for an operator, an approval for its lease, and a no is remembered, `ms`. */
export const APPROVAL_LASTS_MS = 10 * 60_000;

export interface ApprovalBounds {
  /** Entries of one session. */
  readonly session: number;
  /** Entries of one tenant. */
  readonly tenant: number;
  readonly all: number;
}

export const APPROVAL_BOUNDS: ApprovalBounds = { session: 8, tenant: 256, all: 1_024 };

/** One request for a lease that somebody has to say yes to, and what was said. */
export interface Approval {
  readonly id: string;
  readonly caller: string;
  readonly tenant: string;
  readonly session: string;
  readonly workspace: string;
  readonly subject: string;
  readonly credential: string;
  readonly destination: string;
  readonly host: string;
  readonly port: number;
  readonly methodClass: MethodClass;
  /** What the lease is narrowed to; `undefined`: as wide as the entry. */
  readonly narrow: Narrowing | undefined;
  readonly state: "pending" | "approved" | "denied";
  /** Monotonic ms. */
  readonly endsMs: number;
}

interface Entry extends Approval {
  readonly key: string;
  state: Approval["state"];
  endsMs: number;
  /** A lease is being issued on it: a second one needs another. */
  taken: boolean;
  /** What an operator said is being recorded. */
  deciding: boolean;
}

/** An approval that a lease is being issued on. */
export interface TakenApproval {
  /** The lease was issued: it is used up. */
  spend(): void;
  /** It was not: the next one may have it. */
  giveBack(): void;
}

/**
 * What waits for an operator. An approval is for one lease, of one caller, session and who it is said to be, destination, credential,
 * narrowing and class of methods, and lives ten minutes. All of it is in memory: after a restart it is asked for again.
 */
export class Approvals {
  readonly #clock: Clock;
  readonly #newId: () => string;
  readonly #bounds: ApprovalBounds;
  readonly #onOpen: (approval: Approval) => void;
  readonly #byKey = new Map<string, Entry>();
  readonly #byId = new Map<string, Entry>();

  /** @param onOpen one more waits for an operator */
  constructor(
    clock: Clock,
    newId: () => string,
    bounds: ApprovalBounds = APPROVAL_BOUNDS,
    onOpen: (approval: Approval) => void = () => {},
  ) {
    this.#clock = clock;
    this.#newId = newId;
    this.#bounds = bounds;
    this.#onOpen = onOpen;
  }

  /**
   * Takes the approval for a lease. Where there is none a request is opened, unless nobody waits for the answer.
   * @throws LeaseRefusal `approval_pending`, `approval_denied`, `overloaded` when too many wait
   */
  take(caller: string, request: LeaseRequest): TakenApproval {
    this.#sweep();
    const isWaitedFor = request.purpose === "request" || request.purpose === "rejected";
    const key = keyOf(caller, request);
    const entry = this.#byKey.get(key);
    if (entry === undefined) {
      if (isWaitedFor) this.#open(key, caller, request);
      throw new LeaseRefusal("approval_pending");
    }
    if (entry.state === "denied") throw new LeaseRefusal("approval_denied");
    if (entry.state === "pending" || entry.taken || !isWaitedFor) throw new LeaseRefusal("approval_pending");
    entry.taken = true;
    return {
      spend: () => this.#drop(entry),
      giveBack: () => {
        entry.taken = false;
      },
    };
  }

  /**
   * Holds one that waits while what is said to it is being recorded, so that no record tells what never took effect.
   * @returns `undefined` when there is none of this id, or somebody else decides or has decided it
   */
  hold(id: string): Approval | undefined {
    this.#sweep();
    const entry = this.#byId.get(id);
    if (entry?.state !== "pending" || entry.deciding) return undefined;
    entry.deciding = true;
    return entry;
  }

  /** It was not decided: the next one may. */
  letGo(id: string): void {
    const entry = this.#byId.get(id);
    if (entry !== undefined) entry.deciding = false;
  }

  /** @throws LeaseRefusal `nothing_of_this_id` when it does not wait any more */
  decide(id: string, yes: boolean): Approval {
    this.#sweep();
    const entry = this.#byId.get(id);
    if (entry?.state !== "pending") throw new LeaseRefusal("nothing_of_this_id");
    entry.deciding = false;
    entry.state = yes ? "approved" : "denied";
    entry.endsMs = this.#clock.monotonicMs() + APPROVAL_LASTS_MS;
    return entry;
  }

  /** Oldest first. */
  list(): readonly Approval[] {
    this.#sweep();
    return [...this.#byId.values()];
  }

  get size(): number {
    this.#sweep();
    return this.#byId.size;
  }

  /** What waits for a session that was revoked, or was approved for it, is gone. */
  dropWhere(matches: (approval: Approval) => boolean): void {
    for (const entry of this.#byId.values()) if (matches(entry)) this.#drop(entry);
  }

  #open(key: string, caller: string, request: LeaseRequest): void {
    const { session, credential, destination, host, port, methodClass, narrow } = request;
    this.#mustHaveRoom(session);
    const entry: Entry = {
      key,
      id: this.#newId(),
      caller,
      tenant: session.tenant,
      session: session.id,
      workspace: session.workspace,
      subject: session.subject,
      credential,
      destination,
      host,
      port,
      methodClass,
      narrow,
      state: "pending",
      endsMs: this.#clock.monotonicMs() + APPROVAL_LASTS_MS,
      taken: false,
      deciding: false,
    };
    this.#byKey.set(key, entry);
    this.#byId.set(entry.id, entry);
    this.#onOpen(entry);
  }

  #mustHaveRoom({ id, tenant }: LeaseRequest["session"]): void {
    let ofTenant = 0;
    let ofSession = 0;
    for (const entry of this.#byId.values()) {
      if (entry.tenant !== tenant) continue;
      ofTenant++;
      if (entry.session === id) ofSession++;
    }
    const { all, tenant: mostOfTenant, session: mostOfSession } = this.#bounds;
    if (this.#byId.size >= all || ofTenant >= mostOfTenant || ofSession >= mostOfSession)
      throw new LeaseRefusal("overloaded", "too many leases wait for an approval");
  }

  #drop(entry: Entry): void {
    if (this.#byKey.get(entry.key) === entry) this.#byKey.delete(entry.key);
    this.#byId.delete(entry.id);
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const entry of this.#byId.values())
      if (nowMs >= entry.endsMs && !entry.taken && !entry.deciding) this.#drop(entry);
  }
}

function keyOf(caller: string, request: LeaseRequest): string {
  const { session, credential, destination, host, port, methodClass, narrow } = request;
  const { tenant, id, workspace, subject } = session;
  // Workspace and subject may stand in what is minted: a yes to one is none to another.
  const who = [caller, tenant, id, workspace, subject];
  return JSON.stringify([...who, credential, destination, host, port, methodClass, narrowKey(narrow)]);
}
