import { constants } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from "node:tls";
import { Denial } from "../core/denial.ts";
import type { ClientCertificate } from "../core/wire.ts";
import { clientCertificateOf } from "./client-certificate.ts";

/** TLS of a listener: PEM texts. */
export interface ListenerTls {
  /** The listener's own certificate, then its intermediates. */
  readonly certificate: string;
  readonly key: string;
  readonly clients: {
    /** Roots that client certificates must chain to. */
    readonly ca: string;
    /** No guest gets in without one; else one that is not there, or does not verify, just proves nothing. */
    readonly required: boolean;
  } | null;
}

export interface SecuredGuest {
  readonly socket: TLSSocket;
  readonly certificate: ClientCertificate | null;
}

interface Handshake {
  succeeded(socket: TLSSocket): void;
  failed(why: string): void;
}

/**
 * Ends the TLS in which guests come to the listener itself, on the very socket that was accepted. A `tls.Server` that never
 * listens is given the sockets (its documented use of `connection`): a handshake costs what it costs on a TLSSocket made by
 * hand, and certificates are verified, errors after the handshake seen and renewed files taken over by Node's own code.
 */
export class TlsEntrance {
  readonly #server: Server;
  readonly #handshakes = new Map<unknown, Handshake>();
  readonly #handshakeMs: number;

  /** @param handshakeMs for a whole handshake @throws Error when certificate and key do not fit or do not parse */
  constructor(tls: ListenerTls, handshakeMs: number) {
    this.#handshakeMs = handshakeMs;
    this.#server = createServer({
      ...contextOf(tls),
      requestCert: tls.clients !== null,
      rejectUnauthorized: tls.clients?.required === true,
      ALPNCallback: chooseProtocol,
    });
    this.#server.on("secureConnection", (socket: TLSSocket) => this.#of(socket)?.succeeded(socket));
    this.#server.on("tlsClientError", (error: Error, socket: TLSSocket) =>
      this.#of(socket)?.failed(certificateProblem(socket) ?? error.message),
    );
  }

  /** For connections from now on. @throws Error when certificate and key do not fit or do not parse; the old ones then stay */
  renew(tls: ListenerTls): void {
    this.#server.setSecureContext(contextOf(tls));
  }

  /**
   * @param transport accepted; bytes that were put back are the first of the hello
   * @returns `null` when the guest left before a byte of its hello came
   * @throws Denial `tls_handshake_failed`, `request_timeout`
   */
  secure(transport: Socket): Promise<SecuredGuest | null> {
    const before = transport.bytesRead - transport.readableLength;
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        this.#handshakes.delete(transport);
      };
      const fail = (denial: Denial): void => {
        settle();
        if (transport.bytesRead === before) resolve(null);
        else reject(denial);
      };
      const timer = setTimeout(() => {
        const late = new Denial("request_timeout", { cause: "no TLS handshake in time" });
        fail(late);
      }, this.#handshakeMs);
      this.#handshakes.set(transport, {
        succeeded: (socket) => {
          settle();
          try {
            resolve({ socket, certificate: clientCertificateOf(socket) });
          } catch (error) {
            reject(new Denial("tls_handshake_failed", { cause: error }));
          }
        },
        failed: (why) => fail(new Denial("tls_handshake_failed", { cause: why })),
      });
      this.#server.emit("connection", transport);
    });
  }

  /** Node has no public way from a TLS socket down to the one below it. Not found, it is nobody's: it never gets in. */
  #of(socket: TLSSocket): Handshake | undefined {
    const handshake = this.#handshakes.get(Reflect.get(socket, "_parent"));
    if (handshake === undefined) socket.destroy();
    return handshake;
  }
}

function contextOf({ certificate: cert, key, clients }: ListenerTls): SecureContextOptions {
  const { SSL_OP_NO_RENEGOTIATION, SSL_OP_NO_TICKET } = constants;
  const base = { cert, key, minVersion: "TLSv1.2" as const };
  if (clients === null) return { ...base, secureOptions: SSL_OP_NO_RENEGOTIATION };
  // Nothing is resumed: a certificate is looked at, its dates too, on each connection that it proves something for.
  return { ...base, ca: clients.ca, secureOptions: SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET };
}

/** HTTP/1.1 where it is offered; an unknown offer is echoed and answered inside; who speaks h2 alone gets the alert. */
function chooseProtocol({ protocols }: { protocols: string[] }): string | undefined {
  if (protocols.includes("http/1.1")) return "http/1.1";
  return protocols.find((protocol) => protocol !== "h2" && protocol !== "h3");
}

/** Node closes such a connection by itself and says of it only that it hung up. */
function certificateProblem(socket: TLSSocket): string | null {
  // Declared as an error, and OpenSSL's name for it in fact.
  const problem: unknown = socket.authorizationError;
  return typeof problem === "string" ? `client certificate: ${problem}` : null;
}
