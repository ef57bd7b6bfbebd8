import type { Socket } from "node:net";
import { Denial } from "../core/denial.ts";
import type { Destination } from "../core/destination.ts";
import type { Permit } from "../core/exchange.ts";
import type { ExchangeRecord } from "../core/record.ts";
import { TOKEN } from "../http1/grammar.ts";
import { askAhead } from "../line/ask-ahead.ts";
import { runPassThrough } from "../line/pass-through.ts";
import type { TunnelGuest, TunnelRequest } from "./place.ts";
import type { GuestEnvironment } from "./environment.ts";
import { awaitFirstBytes, isHttp2Preface } from "./first-bytes.ts";
import { passHellos } from "./hello-gate.ts";
import { openTls, serveHttp2Inside, serveInside } from "./open-tls.ts";

const TLS_HANDSHAKE = 0x16;

/**
 * Serves one request for a tunnel: first check, then either a byte-exact tunnel or TLS ended on this very socket. Never rejects;
 * the record of the request is closed when the tunnel stands or is refused.
 * @param established what tells this guest that the tunnel stands, Latin-1
 */
export async function serveTunnel(
  environment: GuestEnvironment,
  guest: TunnelGuest,
  request: TunnelRequest,
  established: string,
): Promise<void> {
  const { line } = environment;
  const { record } = request;
  let released = false;
  const release = (watch: boolean): Socket => {
    if (guest.hasLeft) throw new Denial("request_malformed", { cause: "the guest went away" });
    released = true;
    const socket = guest.release(watch);
    socket.write(established, "latin1");
    record.status = 200;
    record.outcome = "completed";
    return socket;
  };
  try {
    if (environment.isDraining()) throw new Denial("draining");
    const session = line.sessions.identify(request.proof);
    record.tenant = session.tenant;
    record.session = session.id;
    const permit = line.policy.admit(session, request.authority);
    if (permit instanceof Denial) {
      refuse(environment, guest, record, permit);
      return;
    }
    record.destination = permit.destination.name;
    record.rule = permit.rule;
    if (permit.destination.tls === "passthrough") await passThrough(environment, permit, record, release);
    else await inspect(environment, guest, permit, request, release);
    if (guest.wasCut) record.outcome = "edge_aborted";
  } catch (thrown) {
    const denial = Denial.from(thrown);
    if (!released && !guest.wasCut) {
      refuse(environment, guest, record, denial);
      return;
    }
    // What stopped because the edge had ended the connection is nobody's refusal.
    if (guest.wasCut) record.outcome = "edge_aborted";
    else {
      record.denial = denial.code;
      record.detail = denial.detail;
      record.outcome = "denied";
      guest.socket.destroy();
    }
  }
  record.endedMs = line.clock.monotonicMs();
  line.account.close(record);
}

/** Before it was answered. */
function refuse({ line }: GuestEnvironment, guest: TunnelGuest, record: ExchangeRecord, denial: Denial): void {
  if (!guest.hasLeft) {
    guest.refuseTunnel(record, denial);
    return;
  }
  record.outcome = "guest_aborted";
  guest.cut();
  record.endedMs = line.clock.monotonicMs();
  line.account.close(record);
}

type Release = (watch: boolean) => Socket;

async function passThrough(
  environment: GuestEnvironment,
  permit: Permit,
  record: ExchangeRecord,
  release: Release,
): Promise<void> {
  await runPassThrough(environment.line, permit, record, async (upstream) => {
    const socket = release(true);
    await passHellos(socket, upstream, permit.authority, record, environment.timeouts.tlsHelloMs);
    return socket;
  });
}

/** Opens the tunnel: TLS is ended here, or cleartext HTTP is read, by the first bytes. */
async function inspect(
  environment: GuestEnvironment,
  guest: TunnelGuest,
  permit: Permit,
  request: TunnelRequest,
  release: Release,
): Promise<void> {
  const { place } = guest;
  const { authority, proof } = request;
  if (authority.ip !== null) {
    // An address literal can be judged at once: refuse at the CONNECT rather than inside.
    const pinning = environment.line.addresses.pin(permit);
    if (pinning instanceof Promise) await pinning;
  }
  const waitMs = guest.hasLeft ? 0 : environment.floods.turn(place.guest);
  if (waitMs > 0) {
    await environment.floods.wait(waitMs, guest.socket);
    if (environment.isDraining()) throw new Denial("draining");
  }
  const socket = release(false);
  // Names below a wildcard are the guest's to choose: nothing is resolved, leased or minted for one before it is asked for.
  if (environment.line.policy.spells(authority)) {
    askAhead(environment.line, permit);
    // The same for the leaf of a name that is new: it is minted while the guest makes its hello.
    if (permit.destination.scheme === "https") environment.leaves.prepare(authority);
  }
  const first = await awaitFirstBytes(socket, environment.timeouts.tlsHelloMs);
  if (first === null) return;
  if (first[0] === TLS_HANDSHAKE) {
    await openTls(environment, place, socket, authority, proof);
    return;
  }
  if (TOKEN[first[0] as number] !== 1) throw new Denial("tunnel_unsupported");
  const tunnel = { scheme: "http", authority, proof, refusal: null } as const;
  if (!isHttp2Preface(first)) serveInside(environment, place, socket, tunnel);
  else if (speaksHttp2InClear(permit.destination) && environment.limits.http2Streams > 0)
    serveHttp2Inside(environment, place, socket, tunnel);
  else throw new Denial("tunnel_unsupported", { cause: "HTTP/2 in cleartext" });
}

/** Only where the destination spells it: what follows was agreed on by nobody. */
function speaksHttp2InClear({ scheme, http }: Destination): boolean {
  return scheme === "http" && http === "h2c";
}
