import { createServer as createHttpServer, type RequestListener, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { SecureContextOptions } from "node:tls";

/** Mutual TLS of a custody server: PEM texts. */
export interface CustodyServerTls {
  readonly certificate: string;
  readonly key: string;
  readonly clientCa: string;
}

/** How long a handshake may take, `ms`. */
export const HANDSHAKE_MS = 5_000;

const LIMITS = {
  connectionsCheckingInterval: 1_000,
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  keepAliveTimeout: 65_000,
  maxHeaderSize: 8 * 1024,
};

/** The server under the API, not listening yet. @param tls `null` = plain, for a unix socket */
export function makeServer(tls: CustodyServerTls | null, handler: RequestListener): Server {
  if (tls === null) return createHttpServer(LIMITS, handler);
  return createHttpsServer(
    {
      ...LIMITS,
      ...secureContextOf(tls),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_MS,
    },
    handler,
  );
}

export function secureContextOf({ certificate: cert, key, clientCa: ca }: CustodyServerTls): SecureContextOptions {
  return { cert, key, ca, minVersion: "TLSv1.3" };
}
