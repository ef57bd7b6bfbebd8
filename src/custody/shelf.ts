import { sessionKey } from "../core/session-key.ts";
import { Denial } from "../core/denial.ts";
import type { Destination } from "../core/destination.ts";
import type { Permit, Session } from "../core/exchange.ts";
import { narrowKey } from "../core/narrow.ts";
import { Slot } from "./slot.ts";

interface SessionShelf {
  readonly key: string;
  readonly slots: Map<string, Slot>;
  readonly order: Set<Slot>;
  flights: number;
}

/**
 * The slots, bounded in all and for each session, so that a guest who walks through a wildcard's names neither grows the edge
 * nor pushes out what other sessions hold. Least recently used leaves first, by second chance: a hit costs one flag.
 */
export class Shelf {
  readonly #maxSlots: number;
  readonly #maxSlotsPerSession: number;
  readonly #sessions = new Map<string, SessionShelf>();
  readonly #order = new Set<Slot>();
  /** Straight from the proofs to the slot: two lookups by identity, no key is built. */
  readonly #shortcuts = new WeakMap<Session, WeakMap<Destination, Slot>>();
  /** Credentials, as `custody/name`, whose leases turned out to be bound to a class of methods: their slots are kept by class. */
  readonly #bound = new Set<string>();

  constructor(maxSlots: number, maxSlotsPerSession: number) {
    this.#maxSlots = maxSlots;
    this.#maxSlotsPerSession = maxSlotsPerSession;
  }

  find(permit: Permit): Slot | undefined {
    const near = this.#shortcuts.get(permit.session)?.get(permit.destination);
    // A wildcard destination has many authorities: the shortcut holds the one that was used last.
    const isNear = near !== undefined && near.gone === null && near.authority === permit.authority.text;
    if (isNear && near.serves(permit.methodClass)) return near;
    const slot = this.#sessions.get(sessionKey(permit.session))?.slots.get(this.#keyOf(permit));
    if (slot !== undefined) this.#remember(permit, slot);
    return slot;
  }

  /**
   * Makes room and adds a slot for a permit that has none.
   * @param evicted is told which slot had to leave
   * @throws Denial `custody_unavailable` when every slot that could leave is being fetched
   */
  add(permit: Permit, custody: string, credential: string, evicted: (slot: Slot) => void): Slot {
    const key = sessionKey(permit.session);
    const shelf = this.#sessions.get(key) ?? { key, slots: new Map(), order: new Set(), flights: 0 };
    if (shelf.order.size >= this.#maxSlotsPerSession) this.#evict(shelf.order, evicted);
    else if (this.#order.size >= this.#maxSlots) this.#evict(this.#order, evicted);
    const slot = new Slot(permit, custody, credential, this.isBound(custody, credential));
    // Eviction may have emptied and removed this very session.
    this.#sessions.set(key, shelf);
    shelf.slots.set(keyOfSlot(slot), slot);
    shelf.order.add(slot);
    this.#order.add(slot);
    this.#remember(permit, slot);
    return slot;
  }

  remove(slot: Slot, gone: Denial): void {
    if (slot.gone !== null) return;
    slot.gone = gone;
    this.#order.delete(slot);
    const shelf = this.#sessions.get(sessionKey(slot.session));
    if (shelf === undefined) return;
    shelf.order.delete(slot);
    if (shelf.slots.get(keyOfSlot(slot)) === slot) shelf.slots.delete(keyOfSlot(slot));
    this.#forgetIfEmpty(shelf);
  }

  /** Whether the leases of a credential are known to be bound to a class of methods. */
  isBound(custody: string, credential: string): boolean {
    return this.#bound.size > 0 && this.#bound.has(`${custody}/${credential}`);
  }

  /** What custody's answer told of a credential: how its slots are kept from now on. */
  learn({ custody, credential }: Slot, isBound: boolean): void {
    if (isBound) this.#bound.add(`${custody}/${credential}`);
    else this.#bound.delete(`${custody}/${credential}`);
  }

  /** A slot was answered with a bound lease: it serves its class alone. @returns the slot that had to make way, or `null` */
  bind(slot: Slot): Slot | null {
    this.learn(slot, true);
    const slots = this.#sessions.get(sessionKey(slot.session))?.slots;
    if (slot.bound || slots === undefined) return null;
    if (slots.get(keyOfSlot(slot)) === slot) slots.delete(keyOfSlot(slot));
    slot.bound = true;
    const other = slots.get(keyOfSlot(slot)) ?? null;
    slots.set(keyOfSlot(slot), slot);
    return other;
  }

  /** Counts a fetch against its session. `false` when the session has `maxFlights` of them already. */
  enter(slot: Slot, maxFlights: number): boolean {
    const shelf = this.#sessions.get(sessionKey(slot.session));
    if (shelf === undefined || shelf.flights >= maxFlights) return false;
    shelf.flights++;
    return true;
  }

  leave(slot: Slot): void {
    const shelf = this.#sessions.get(sessionKey(slot.session));
    if (shelf === undefined) return;
    shelf.flights--;
    this.#forgetIfEmpty(shelf);
  }

  slots(): IterableIterator<Slot> {
    return this.#order.values();
  }

  get size(): number {
    return this.#order.size;
  }

  #keyOf({ destination, authority, methodClass }: Permit): string {
    const { custody, name, narrow } = destination.credential ?? { custody: "", name: "" };
    const bound = this.isBound(custody, name) ? methodClass : "";
    return slotKey(custody, name, destination.name, authority.text, narrowKey(narrow), bound);
  }

  #forgetIfEmpty(shelf: SessionShelf): void {
    if (shelf.order.size === 0 && shelf.flights === 0) this.#sessions.delete(shelf.key);
  }

  #remember(permit: Permit, slot: Slot): void {
    const known = this.#shortcuts.get(permit.session);
    if (known === undefined) this.#shortcuts.set(permit.session, new WeakMap([[permit.destination, slot]]));
    else known.set(permit.destination, slot);
  }

  #evict(order: Set<Slot>, evicted: (slot: Slot) => void): void {
    const victim = pickVictim(order);
    if (victim === null) throw new Denial("custody_unavailable", { cause: "too many leases are being fetched" });
    this.remove(victim, new Denial("lease_unusable", { cause: "the lease was evicted" }));
    evicted(victim);
  }
}

/** Second chance: what was used since the last look goes to the back once. Two laps at most. */
function pickVictim(order: Set<Slot>): Slot | null {
  let looks = order.size * 2;
  for (const slot of order) {
    if (looks-- <= 0) return null;
    if (slot.flight === null && !slot.used) return slot;
    slot.used = false;
    order.delete(slot);
    order.add(slot);
  }
  return null;
}

function keyOfSlot({ custody, credential, destination, authority, narrow, bound, methodClass }: Slot): string {
  return slotKey(custody, credential, destination, authority, narrowKey(narrow), bound ? methodClass : "");
}

/** @param methodClass "" where it makes no difference */
function slotKey(
  ...parts: [
    custody: string,
    name: string,
    destination: string,
    authority: string,
    narrowing: string,
    methodClass: string,
  ]
) {
  return JSON.stringify(parts);
}
