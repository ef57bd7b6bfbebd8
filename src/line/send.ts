import { Denial } from "../core/denial.ts";
import { Lease, type NoLease, type OutboundHead, type Permit, type Pinned } from "../core/exchange.ts";
import type { Injected } from "../core/ports.ts";
import type { GuestExchange, OutboundRequest, UpstreamChannel } from "../core/wire.ts";
import type { Line } from "./line.ts";
import { noteParent } from "./note-parent.ts";
import { Relay, type RetryRules, type Verdict } from "./relay.ts";

export interface SendOptions {
  /** Do not take an idle connection: the last one turned out to be stale. */
  readonly freshConnection: boolean;
  readonly mayRetryStale: boolean;
  readonly mayRetryLease: boolean;
}

const NOTHING_INJECTED: Injected = { values: Object.freeze([]) };

/** Methods that may be sent twice without harm (RFC 9110 §9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

/**
 * Sends one exchange upstream: takes a connection on the pinned address, attaches the lease and relays the answer.
 * @param proof a lease, or `NoLease` for a permit that needs none; it is checked again after the connection was awaited,
 *   so that no byte leaves with a credential that died in between
 * @throws Denial before any answer byte reached the guest
 */
export async function send(
  line: Line,
  guest: GuestExchange,
  permit: Permit,
  pinned: Pinned,
  proof: Lease | NoLease,
  options: SendOptions,
): Promise<Verdict> {
  const { record } = guest;
  const { parent } = permit.destination;
  if (parent !== null) {
    const noted = noteParent(line, record, parent);
    if (noted instanceof Promise) await noted;
  }
  const connecting = line.upstream.connect(permit, pinned, {
    fresh: options.freshConnection,
    http2: guest.needsHttp2,
  });
  const channel = connecting instanceof Promise ? await connecting : connecting;
  record.upstream = channel.address;
  let relay: Relay;
  try {
    stopIfAborted(guest);
    let lease = proof instanceof Lease ? proof : null;
    // Waiting for a connection may have outlived it.
    if (lease?.isLive(line.clock.monotonicMs()) === false) lease = await freshLease(line, permit);
    if (lease !== null) {
      record.lease = lease.id;
      record.resourceRef = lease.resourceRef;
      const admitted = line.account.admit(record);
      if (admitted instanceof Promise) await admitted;
    }
    // From here to the write nothing is awaited: what was checked is what is sent, and to a guest that is there.
    stopIfAborted(guest);
    const head: OutboundHead = { method: guest.method, target: guest.target, fields: guest.fields.clone() };
    line.attach.cleanse(permit, head);
    const injected = lease === null ? NOTHING_INJECTED : inject(line, permit, lease, head);
    relay = new Relay(line, guest, channel, permit, lease, injected, retryRules(guest, options));
    const before = record.injected;
    record.injected ||= lease !== null;
    if (!channel.send(head, outboundRequest(line, guest, permit), relay)) {
      record.injected = before;
      lease?.returnUse();
      giveBack(channel);
      // Whatever the request is: nothing of it was sent.
      if (options.mayRetryStale) return "stale";
      throw new Denial("upstream_unreachable", { cause: "the connection closed before it was used" });
    }
  } catch (thrown) {
    giveBack(channel);
    throw thrown;
  }
  // Awaited here: to hand a promise on from an async function costs three turns, not one.
  return await relay.verdict;
}

/** @throws Denial that nobody will read: the record says who ended the exchange */
function stopIfAborted(guest: GuestExchange): void {
  if (guest.aborted !== null) throw new Denial("request_malformed", { cause: "the guest went away" });
}

/** One lease more, in place of the one that died. */
async function freshLease(line: Line, permit: Permit): Promise<Lease> {
  const fresh = await line.leases.lease(permit);
  if (!fresh.isLive(line.clock.monotonicMs()))
    throw new Denial("lease_unusable", { cause: "lease died before it was used" });
  return fresh;
}

function inject(line: Line, permit: Permit, lease: Lease, head: OutboundHead): Injected {
  if (!lease.reserveUse()) throw new Denial("lease_unusable", { cause: "lease is used up" });
  try {
    return line.attach.attach(permit, lease, head, line.clock.monotonicMs());
  } catch (thrown) {
    lease.returnUse();
    throw thrown;
  }
}

function outboundRequest(line: Line, guest: GuestExchange, permit: Permit): OutboundRequest {
  const { body, upgrade, wantsTrailers } = guest;
  return { body, upgrade, wantsTrailers, cleanseTrailers: (trailers) => line.attach.cleanseTrailers(permit, trailers) };
}

function retryRules(guest: GuestExchange, options: SendOptions): RetryRules {
  // An upgrade is such a request as well: no byte of what follows it is sent before the upstream has agreed.
  const replayable = guest.body.length === "none" && IDEMPOTENT.has(guest.method);
  return { stale: replayable && options.mayRetryStale, lease: replayable && options.mayRetryLease };
}

/** Nothing was sent: an attachment or an audit failure must not cost a good connection. */
function giveBack(channel: UpstreamChannel): void {
  channel.release();
}
