import { connect as connectTcp, type Socket } from "node:net";
import {
  checkServerIdentity,
  type ConnectionOptions,
  connect as connectTls,
  type SecureContext,
  TLSSocket,
} from "node:tls";
import { Denial } from "../core/denial.ts";
import type { Authority } from "../core/authority.ts";
import type { Pinned } from "../core/exchange.ts";
import { certificateRefused } from "./tls-alerts.ts";

export interface DialTls {
  readonly context: SecureContext;
  /** What is offered in ALPN, best first. */
  readonly protocols: readonly string[];
  /** Session of an earlier connection under the same trust and name, for resumption. */
  readonly session: Buffer | null;
  onSession(session: Buffer): void;
}

export interface Dialled {
  readonly socket: Socket;
  readonly address: string;
  /** What was chosen in ALPN; `null` for nothing, or without TLS. */
  readonly protocol: string | null;
}

/** The upstream speaks none of the HTTP versions that were offered to it. */
export class ProtocolRefused extends Denial {
  /** @param cause what happened, for operators */
  constructor(cause: unknown) {
    super("upstream_protocol", { cause });
  }
}

/** Opens a connection for a pool: to one of its pinned addresses, or through a parent. */
export type Dial = (tls: DialTls | null, timeoutMs: number) => Promise<Dialled>;

/** Opens connections to one pinned address set or name, and keeps the TLS session for the next time. */
export class Dialler {
  readonly pinned: Pinned;
  readonly #way: Dial;
  readonly #context: SecureContext | null;
  readonly #timeoutMs: number;
  #session: Buffer | null = null;

  /** @param context `null` for plain HTTP */
  constructor(pinned: Pinned, way: Dial, context: SecureContext | null, timeoutMs: number) {
    this.pinned = pinned;
    this.#way = way;
    this.#context = context;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * @param protocols offered in ALPN, best first
   * @throws Denial as `dial` does; `ProtocolRefused` when the upstream says that it speaks none of them
   */
  async dial(protocols: readonly string[]): Promise<Dialled> {
    try {
      return await this.#way(this.#tls(protocols), this.#timeoutMs);
    } catch (thrown) {
      this.#session = null;
      throw thrown;
    }
  }

  #tls(protocols: readonly string[]): DialTls | null {
    if (this.#context === null) return null;
    const onSession = (session: Buffer): void => {
      this.#session = session;
    };
    return { context: this.#context, protocols, session: this.#session, onSession };
  }
}

/**
 * Dials the checked addresses in order until one answers; never a name, so that what was checked is what is dialled.
 * @param timeoutMs for all attempts together, TLS included
 * @throws Denial `upstream_unreachable`, `upstream_timeout`, `upstream_tls_invalid`, `upstream_protocol`
 */
export async function dial(
  authority: Authority,
  addresses: readonly string[],
  tls: DialTls | null,
  timeoutMs: number,
): Promise<Dialled> {
  let last: Denial | null = null;
  const share = Math.max(1, Math.floor(timeoutMs / addresses.length));
  for (const address of addresses) {
    try {
      const socket = await dialOne(authority, address, tls, share);
      return { socket, address, protocol: protocolOf(socket) };
    } catch (thrown) {
      last = Denial.from(thrown);
      // A certificate that does not verify is an answer, not an outage: another address must not paper over it.
      if (last.code === "upstream_tls_invalid" || last.code === "upstream_protocol") throw last;
    }
  }
  throw last ?? new Denial("upstream_unreachable");
}

function protocolOf(socket: Socket): string | null {
  return socket instanceof TLSSocket && socket.alpnProtocol ? socket.alpnProtocol : null;
}

function dialOne(authority: Authority, address: string, tls: DialTls | null, timeoutMs: number): Promise<Socket> {
  if (tls === null) return established(plain(authority, address), "connect", address, timeoutMs);
  const socket = secure(authority, tls, { host: address, port: authority.port });
  return established(socket, "secureConnect", address, timeoutMs);
}

/**
 * TLS to the authority on a stream that leads there already.
 * @param address for the cause of a denial
 * @throws Denial as `dial`
 */
export async function secureOver(
  authority: Authority,
  stream: Socket,
  tls: DialTls,
  address: string,
  timeoutMs: number,
): Promise<Dialled> {
  const secured = secure(authority, tls, { socket: stream });
  const socket = await established(secured, "secureConnect", address, timeoutMs);
  return { socket, address, protocol: protocolOf(socket) };
}

function established(
  socket: Socket,
  event: "connect" | "secureConnect",
  address: string,
  timeoutMs: number,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    // Whoever holds the socket has its own handler; this one is for the moments between two holders.
    socket.on("error", () => undefined);
    const settle = (): void => {
      clearTimeout(timer);
      socket.off("error", onError);
      socket.off("close", onClose);
    };
    const fail = (denial: Denial): void => {
      settle();
      socket.destroy();
      reject(denial);
    };
    const onError = (error: NodeJS.ErrnoException): void => fail(dialDenial(error));
    const onClose = (): void => fail(new Denial("upstream_unreachable", { cause: "closed while connecting" }));
    const timer = setTimeout(
      () => fail(new Denial("upstream_timeout", { cause: `no connection to ${address} in time` })),
      timeoutMs,
    );
    socket.on("error", onError);
    socket.on("close", onClose);
    socket.once(event, () => {
      settle();
      resolve(socket);
    });
  });
}

function plain(authority: Authority, address: string): Socket {
  return connectTcp({ host: address, port: authority.port, noDelay: true, keepAlive: true, allowHalfOpen: true });
}

/** @param over where to connect to, or the stream that is connected already */
function secure(
  authority: Authority,
  tls: DialTls,
  over: { readonly host: string; readonly port: number } | { readonly socket: Socket },
): TLSSocket {
  const options: ConnectionOptions & { readonly allowHalfOpen: boolean } = {
    ...over,
    // Left to itself Node holds the certificate to what was dialled where there is no SNI: here that may be a parent.
    checkServerIdentity: (_dialled, certificate) => checkServerIdentity(authority.host, certificate),
    secureContext: tls.context,
    // RFC 6066 §3: no SNI for IP literals; the certificate is then checked against the address itself.
    servername: authority.ip === null ? authority.host : "",
    ALPNProtocols: tls.protocols,
    rejectUnauthorized: true,
    allowHalfOpen: true,
    ...(tls.session === null ? {} : { session: tls.session }),
  };
  const socket = connectTls(options);
  socket.setNoDelay(true);
  socket.setKeepAlive(true);
  socket.on("session", (session: Buffer) => tls.onSession(session));
  return socket;
}

/** Verification and handshake failures are `upstream_tls_invalid`: never retried, never downgraded. */
function dialDenial(error: NodeJS.ErrnoException): Denial {
  const code = error.code ?? "";
  if (code === NO_PROTOCOL) return new ProtocolRefused(error);
  const refused = certificateRefused(error);
  if (refused !== null) return refused;
  if (code === "ETIMEDOUT") return new Denial("upstream_timeout", { cause: error });
  const tls =
    code.startsWith("ERR_TLS") ||
    code.startsWith("ERR_SSL") ||
    code.startsWith("ERR_OSSL") ||
    code === "EPROTO" ||
    CERTIFICATE_CODES.has(code);
  return new Denial(tls ? "upstream_tls_invalid" : "upstream_unreachable", { cause: error });
}

/** The alert of RFC 7301 §3.2. */
const NO_PROTOCOL = "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL";

/** OpenSSL X509_V_ERR_* as Node names them. */
const CERTIFICATE_CODES: ReadonlySet<string> = new Set([
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_REJECTED",
  "CERT_REVOKED",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "CERT_CHAIN_TOO_LONG",
  "CRL_HAS_EXPIRED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "HOSTNAME_MISMATCH",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNSPECIFIED",
]);
