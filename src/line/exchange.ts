import { sessionKey } from "../core/session-key.ts";
import { Denial } from "../core/denial.ts";
import { type Lease, NoLease, type Permit, type Pinned } from "../core/exchange.ts";
import type { GuestExchange } from "../core/wire.ts";
import { answerItself } from "./answer-itself.ts";
import { type Held, holdBody } from "./hold-body.ts";
import type { WholeBody } from "../core/whole-body.ts";
import { KeptBody } from "./kept-body.ts";
import type { Line } from "./line.ts";
import type { Verdict } from "./relay.ts";
import { send } from "./send.ts";

/** Each of them was undone by nobody but the upstream, or never sent; the last one goes out on a connection of its own. */
const MOST_UNTOUCHED = 2;
/** A custody that is started anew ends a lease, which it does not know, and then the next one, when it says that its feed begins anew. */
const MOST_GONE = 2;

/**
 * One exchange, top to bottom. Each stage hands its proof to the next; whatever is thrown on the way becomes a refusal, and
 * the account is closed whatever happened.
 */
export async function runExchange(line: Line, guest: GuestExchange): Promise<void> {
  const { record } = guest;
  try {
    const session = line.sessions.identify(guest.proof);
    record.tenant = session.tenant;
    record.session = session.id;
    const permit = line.policy.decide(session, guest);
    notePermit(guest, permit);
    if (permit.destination.synthetic !== null) {
      await answerItself(line, guest, permit);
      return;
    }
    const pinning = line.addresses.pin(permit);
    // An await costs a turn even for a value that is there; the warm path takes none.
    const pinned = pinning instanceof Promise ? await pinning : pinning;
    const holding = holdIfAsked(line, guest, permit);
    if (holding === null) await forward(line, guest, permit, pinned, null);
    else await forwardHeld(line, guest, permit, pinned, await holding);
  } catch (thrown) {
    refuse(guest, Denial.from(thrown));
  } finally {
    record.endedMs = line.clock.monotonicMs();
    line.account.close(record);
  }
}

/** Where what is attached depends on the whole body, and there is one; held before a lease is asked for, since the guest may be slow. */
function holdIfAsked(line: Line, guest: GuestExchange, permit: Permit): Promise<Held> | null {
  if (guest.body.length === "none" || !line.attach.demands(permit).body) return null;
  const mostBytes = line.attach.wholeBodyBytes(permit, guest, guest.body);
  if (mostBytes === null) return null;
  return holdBody(guest, mostBytes, line.heldBodies, sessionKey(permit.session));
}

async function forwardHeld(
  line: Line,
  guest: GuestExchange,
  permit: Permit,
  pinned: Pinned,
  held: Held,
): Promise<void> {
  try {
    await forward(line, guest, permit, pinned, held.body);
  } finally {
    held.release();
  }
}

/**
 * No async function of its own: that would be one more turn for each exchange.
 * @param held the guest's body, where it is held whole
 */
function forward(
  line: Line,
  guest: GuestExchange,
  permit: Permit,
  pinned: Pinned,
  held: WholeBody | null,
): Promise<void> {
  if (held !== null || guest.body.length === "none") return attempts(line, guest, permit, pinned, held, null);
  return forwardKept(line, guest, permit, pinned);
}

async function forwardKept(line: Line, guest: GuestExchange, permit: Permit, pinned: Pinned): Promise<void> {
  const kept = new KeptBody(guest.body, line.heldBodies, sessionKey(permit.session));
  try {
    await attempts(line, guest, permit, pinned, null, kept);
  } finally {
    kept.release();
  }
}

/** Leases and sends; again when the rules for a stale connection, an untouched request, a 401 or a challenge allow it. */
async function attempts(
  line: Line,
  guest: GuestExchange,
  permit: Permit,
  pinned: Pinned,
  held: WholeBody | null,
  kept: KeptBody | null,
): Promise<void> {
  let untouched = 0;
  let staleRetried = false;
  let gone = 0;
  let leaseRetried = false;
  let challengeMet = false;
  for (;;) {
    const leasing = leaseFor(line, permit);
    const proof = leasing instanceof Promise ? await leasing : leasing;
    if (guest.aborted !== null) {
      guest.record.outcome = guest.aborted;
      return;
    }
    const verdict: Verdict = await send(line, guest, permit, pinned, proof, {
      freshConnection: staleRetried || gone > 0 || untouched === MOST_UNTOUCHED,
      mayRetryUntouched: untouched < MOST_UNTOUCHED,
      mayRetryStale: !staleRetried,
      mayRetryGone: gone < MOST_GONE,
      mayRetryLease: !leaseRetried,
      mayMeetChallenge: !challengeMet,
      held,
      kept,
    });
    if (verdict === "settled") return;
    guest.record.retried = true;
    if (verdict === "untouched") untouched++;
    else if (verdict === "stale") staleRetried = true;
    else if (verdict === "gone") gone++;
    else if (verdict === "challenged") challengeMet = true;
    else leaseRetried = true;
  }
}

/** A live lease, or the proof that none is needed. */
export function leaseFor(line: Line, permit: Permit): Lease | NoLease | Promise<Lease> {
  return permit.needsCredential ? line.leases.lease(permit) : NoLease.for(permit);
}

function notePermit(guest: GuestExchange, permit: Permit): void {
  const { record } = guest;
  record.destination = permit.destination.name;
  record.rule = permit.rule;
  record.wouldDeny = permit.wouldDeny;
}

function refuse(guest: GuestExchange, denial: Denial): void {
  const { record } = guest;
  if (guest.aborted !== null) {
    record.outcome = guest.aborted;
    return;
  }
  record.denial = denial.code;
  record.detail = denial.detail;
  if (denial.destination !== null) record.destination = denial.destination;
  if (guest.answered) {
    record.outcome = "upstream_aborted";
    guest.breakOff(null);
    return;
  }
  record.outcome = "denied";
  record.status = denial.entry.status;
  guest.refuse(denial);
}
