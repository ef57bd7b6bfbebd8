import { Denial } from "../core/denial.ts";
import { Lease, type NoLease, type OutboundHead, type Permit, type Pinned } from "../core/exchange.ts";
import { CertificateRefused, LeaseGone } from "../core/lease-denials.ts";
import type { AttachDemands, Injected } from "../core/ports.ts";
import type { ExchangeRecord } from "../core/record.ts";
import type { ConnectWant, GuestExchange, OutboundRequest, RequestBody, UpstreamChannel } from "../core/wire.ts";
import type { Line } from "./line.ts";
import { noteParent } from "./note-parent.ts";
import { type AttemptsLeft, Relay, type Verdict } from "./relay.ts";

export interface SendOptions extends AttemptsLeft {
  /** Do not take a connection that is there: the last one turned out to be stale, or its upstream refuses what comes on it. */
  readonly freshConnection: boolean;
}

const NOTHING_INJECTED: Injected = { values: Object.freeze([]) };

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
  const demands = line.attach.demands(permit);
  const want = wantOf(line, guest, permit, proof, demands, options);
  let channel: UpstreamChannel;
  try {
    const connecting = line.upstream.connect(permit, pinned, want);
    channel = connecting instanceof Promise ? await connecting : connecting;
  } catch (thrown) {
    if (want.identity === null) throw thrown;
    return unconnected(line, proof, options, thrown);
  }
  record.upstream = channel.address;
  const request = outboundRequest(line, guest, permit, bodyFor(guest, channel, options));
  let relay: Relay;
  const { body } = request;
  try {
    stopIfAborted(guest);
    let lease = proof instanceof Lease ? proof : null;
    // Waiting for a connection may have outlived it.
    if (lease?.isLive(line.clock.monotonicMs()) === false) {
      // The connection was authorized by it, too.
      if (want.identity !== null) return again(channel, options);
      lease = await freshLease(line, permit);
    }
    if (lease !== null) {
      record.lease = lease.id;
      record.resourceRef = lease.resourceRef;
      const admitted = line.account.admit(record);
      if (admitted instanceof Promise) {
        await admitted;
        if (!lease.isLive(line.clock.monotonicMs())) throw new LeaseGone("the lease died while it was written down");
      }
    }
    const head: OutboundHead = { method: guest.method, target: guest.target, fields: guest.fields.clone() };
    line.attach.cleanse(permit, head);
    let injected = NOTHING_INJECTED;
    if (lease !== null) {
      const injecting = inject(line, permit, lease, head, request);
      injected = injecting instanceof Promise ? await unlessLost(line, lease, injecting) : injecting;
    }
    // From here to the write nothing is awaited: what was checked is what is sent, and to a guest that is there.
    const lost = options.kept?.loss ?? null;
    if (guest.aborted !== null || lost !== null) {
      lease?.returnUse();
      stopIfAborted(guest);
      if (lost !== null) throw lost;
    }
    if (request.body !== body || options.held !== null) sayLength(head, request.body);
    relay = new Relay(line, guest, channel, permit, lease, injected, options, request, demands);
    // Whatever the request is: nothing of it was sent.
    if (!sendOn(channel, head, request, relay, lease, record)) return again(channel, options);
  } catch (thrown) {
    giveBack(channel);
    request.body.abandon?.();
    if (thrown instanceof LeaseGone && options.mayRetryGone) return "gone";
    throw thrown;
  }
  try {
    // Awaited here: to hand a promise on from an async function costs three turns, not one.
    return await relay.verdict;
  } finally {
    // The answer may have come, or its connection gone, in the middle of it.
    request.body.abandon?.();
  }
}

/** What is asked of the upstream side; the same few objects for all exchanges without a certificate. */
function wantOf(
  line: Line,
  { needsHttp2 }: GuestExchange,
  permit: Permit,
  proof: Lease | NoLease,
  demands: AttachDemands,
  { freshConnection }: SendOptions,
): ConnectWant {
  if (demands.identity && proof instanceof Lease) {
    const identity = line.attach.identity(permit, proof, line.clock.monotonicMs());
    return { fresh: freshConnection, http2: needsHttp2, identity };
  }
  if (freshConnection) return needsHttp2 ? FRESH_HTTP2 : FRESH;
  return needsHttp2 ? HTTP2 : ANY;
}

const ANY: ConnectWant = Object.freeze({ fresh: false, http2: false, identity: null });
const FRESH: ConnectWant = Object.freeze({ fresh: true, http2: false, identity: null });
const HTTP2: ConnectWant = Object.freeze({ fresh: false, http2: true, identity: null });
const FRESH_HTTP2: ConnectWant = Object.freeze({ fresh: true, http2: true, identity: null });

/** @returns `false` when nothing was sent, as when this throws a Denial: then no use of the lease is counted, and no credential left. */
function sendOn(
  channel: UpstreamChannel,
  head: OutboundHead,
  request: OutboundRequest,
  relay: Relay,
  lease: Lease | null,
  record: ExchangeRecord,
): boolean {
  const before = record.injected;
  record.injected ||= lease !== null;
  try {
    if (channel.send(head, request, relay)) return true;
  } catch (thrown) {
    // Anything else may have been thrown in the middle of it.
    if (thrown instanceof Denial) takeBack(lease, record, before);
    throw thrown;
  }
  takeBack(lease, record, before);
  return false;
}

function takeBack(lease: Lease | null, record: ExchangeRecord, injected: boolean): void {
  record.injected = injected;
  lease?.returnUse();
}

/** Nothing was sent: one attempt more. @throws Denial; the connection is still to be given back then */
function again(channel: UpstreamChannel, { mayRetryUntouched }: SendOptions): Verdict {
  if (mayRetryUntouched) {
    giveBack(channel);
    return "untouched";
  }
  throw new Denial("upstream_unreachable", { cause: "the connection closed before it was used" });
}

/** No connection was to be had with a certificate. What the upstream refuses is leased anew for the next exchange. */
function unconnected(line: Line, proof: Lease | NoLease, { mayRetryGone }: SendOptions, thrown: unknown): Verdict {
  if (thrown instanceof LeaseGone && mayRetryGone) return "gone";
  if (thrown instanceof CertificateRefused && proof instanceof Lease) line.leases.reject(proof);
  throw thrown;
}

/** A proof was waited for: the lease may have died meanwhile. */
async function unlessLost(line: Line, lease: Lease, injecting: Promise<Injected>): Promise<Injected> {
  try {
    const injected = await injecting;
    // Its use is counted already: whether it is used up says nothing here.
    if (lease.isRevoked || line.clock.monotonicMs() >= lease.expiresAtMs)
      throw new LeaseGone("the lease died while its proof was made");
    return injected;
  } catch (thrown) {
    lease.returnUse();
    throw thrown;
  }
}

/** Another body goes out than the guest's: the head says how long it is. Whoever waited for leave to send has been given it. */
function sayLength({ fields }: OutboundHead, { length, expectContinue }: RequestBody): void {
  fields.dropAll("content-length");
  if (!expectContinue) fields.dropAll("expect");
  if (length !== "stream") fields.append("Content-Length", length === "none" ? "0" : String(length));
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

function inject(
  line: Line,
  permit: Permit,
  lease: Lease,
  head: OutboundHead,
  request: OutboundRequest,
): Injected | Promise<Injected> {
  if (!lease.reserveUse()) throw new Denial("lease_unusable", { cause: "lease is used up" });
  try {
    return line.attach.attach(permit, lease, head, request, line.clock.monotonicMs());
  } catch (thrown) {
    lease.returnUse();
    throw thrown;
  }
}

/** The copy is worth its while only where the upstream may ask for it, or has. */
function bodyFor(guest: GuestExchange, channel: UpstreamChannel, { held, kept }: SendOptions): RequestBody {
  if (held !== null) return held;
  return kept !== null && (channel.tellsUntouched || kept.hasBegun) ? kept : guest.body;
}

function outboundRequest(line: Line, guest: GuestExchange, permit: Permit, body: RequestBody): OutboundRequest {
  const { upgrade, wantsTrailers } = guest;
  return {
    body,
    upgrade,
    filter: null,
    wantsTrailers,
    cleanseTrailers: (trailers) => line.attach.cleanseTrailers(permit, trailers),
  };
}

/** Nothing was sent: an attachment or an audit failure must not cost a good connection. */
function giveBack(channel: UpstreamChannel): void {
  channel.release();
}
