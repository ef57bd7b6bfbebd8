import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Authority } from "../core/authority.ts";
import { Denial } from "../core/denial.ts";
import type { Permit } from "../core/exchange.ts";
import type { ExchangeRecord } from "../core/record.ts";
import type { SessionProof } from "../core/wire.ts";
import { TOKEN } from "../http1/grammar.ts";
import { askAhead } from "../line/ask-ahead.ts";
import { runPassThrough } from "../line/pass-through.ts";
import { GuestConnection } from "./connection.ts";
import type { ConnectionPlace, ConnectRequest } from "./place.ts";
import type { GuestEnvironment } from "./environment.ts";
import { awaitFirstBytes } from "./first-bytes.ts";
import { readClientHello } from "./hello-gate.ts";

/** RFC 9110 §9.3.6: a 2xx to CONNECT has no framing fields. */
const ESTABLISHED = "HTTP/1.1 200 Connection Established\r\n\r\n";

const TLS_HANDSHAKE = 0x16;

/**
 * Serves one CONNECT: first check, then either a byte-exact tunnel or TLS ended on this very socket. Never rejects; the record
 * of the CONNECT is closed when the tunnel stands or is refused.
 */
export async function serveConnect(
  environment: GuestEnvironment,
  connection: GuestConnection,
  request: ConnectRequest,
): Promise<void> {
  const { line } = environment;
  const { record } = request;
  let released = false;
  const release = (watch: boolean): Socket => {
    if (connection.hasLeft) throw new Denial("request_malformed", { cause: "the guest went away" });
    released = true;
    const socket = connection.release(watch);
    socket.write(ESTABLISHED, "latin1");
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
    record.destination = permit.destination.name;
    record.rule = permit.rule;
    if (permit.destination.tls === "passthrough") await passThrough(environment, permit, record, release);
    else await inspect(environment, connection.place, permit, request, release);
    if (connection.wasCut) record.outcome = "edge_aborted";
  } catch (thrown) {
    const denial = Denial.from(thrown);
    // What stopped because the edge had ended the connection is nobody's refusal.
    if (connection.wasCut) record.outcome = "edge_aborted";
    else if (!released && connection.hasLeft) {
      record.outcome = "guest_aborted";
      connection.cut();
    } else if (released) {
      record.denial = denial.code;
      record.detail = denial.detail;
      record.outcome = "denied";
      connection.socket.destroy();
    } else {
      connection.refuseConnect(record, denial);
      return;
    }
  }
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
  await runPassThrough(environment.line, permit, record, async () => {
    const socket = release(true);
    await readClientHello(socket, permit.authority, environment.timeouts.tlsHelloMs);
    return socket;
  });
}

/** Opens the tunnel: TLS is ended here, or cleartext HTTP is read, by the first byte. */
async function inspect(
  environment: GuestEnvironment,
  place: ConnectionPlace,
  permit: Permit,
  request: ConnectRequest,
  release: Release,
): Promise<void> {
  const { authority, proof } = request;
  if (authority.ip !== null) {
    // An address literal can be judged at once: refuse at the CONNECT rather than inside.
    const pinning = environment.line.addresses.pin(permit);
    if (pinning instanceof Promise) await pinning;
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
  socket.unshift(first);
  if (first[0] === TLS_HANDSHAKE) {
    await openTls(environment, place, socket, authority, proof);
    return;
  }
  if (TOKEN[first[0] as number] !== 1 || isHttp2Preface(first)) throw new Denial("tunnel_unsupported");
  const tunnel = { scheme: "http", authority, proof, refusal: null, transport: socket } as const;
  serveInside(environment, place, socket, tunnel);
}

/** RFC 9113 §3.4: prior-knowledge HTTP/2 begins with a line that looks like a request. */
function isHttp2Preface(first: Buffer): boolean {
  return first.toString("latin1", 0, 4) === "PRI ";
}

function openTls(
  environment: GuestEnvironment,
  place: ConnectionPlace,
  socket: Socket,
  authority: Authority,
  proof: SessionProof,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = {
      isServer: true,
      secureContext: environment.leaves.contextFor(authority),
      allowHalfOpen: true,
      ALPNCallback: chooseProtocol,
    };
    const secured = new TLSSocket(socket, options);
    const timer = setTimeout(() => {
      secured.destroy();
      reject(new Denial("request_timeout", { cause: "no TLS handshake in time" }));
    }, environment.timeouts.tlsHelloMs);
    const failed = (error?: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new Denial("tunnel_unsupported", { cause: error ?? "the guest closed during the TLS handshake" }));
    };
    const onClose = (): void => failed();
    secured.on("error", failed);
    secured.on("close", onClose);
    secured.once("secure", () => {
      clearTimeout(timer);
      secured.off("close", onClose);
      secured.off("error", failed);
      // Node tells a TLS socket that no tls.Server made of broken records by this event alone, and leaves it open.
      secured.on("_tlsError", () => secured.destroy());
      const refusal = serverNameProblem(secured, authority);
      const tunnel = { scheme: "https", authority, proof, refusal, transport: socket } as const;
      serveInside(environment, place, secured, tunnel);
      resolve();
    });
  });
}

/** The hello's name must be the tunnel's; only an address literal may come without one (RFC 6066 §3). */
function serverNameProblem(socket: TLSSocket, authority: Authority): "sni_missing" | "sni_mismatch" | null {
  const name: unknown = Reflect.get(socket, "servername");
  if (typeof name !== "string" || name === "") return authority.ip === null ? "sni_missing" : null;
  return name.toLowerCase() === authority.host ? null : "sni_mismatch";
}

/** HTTP/1.1 where it is offered; an unknown offer is echoed and answered inside; a client that only speaks h2 gets the alert. */
function chooseProtocol({ protocols }: { protocols: string[] }): string | undefined {
  if (protocols.includes("http/1.1")) return "http/1.1";
  return protocols.find((protocol) => protocol !== "h2" && protocol !== "h3");
}

function serveInside(
  environment: GuestEnvironment,
  place: ConnectionPlace,
  socket: Socket,
  tunnel: NonNullable<ConnectionPlace["tunnel"]>,
): void {
  const endsAtMs = environment.line.clock.monotonicMs() + environment.timeouts.tunnelLifeMs;
  environment.events.tunnelOpened();
  socket.once("close", () => environment.events.tunnelClosed());
  const inside = new GuestConnection(socket, { ...place, tunnel, endsAtMs }, environment, null);
  environment.onConnection(inside);
  socket.resume();
}
