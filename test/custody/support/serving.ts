import type { LeaseRefusalReason } from "../../../src/core/custody.ts";
import type { KnownCaller } from "../../../src/custody/callers.ts";
import { CustodyServer, type CustodyServerOptions } from "../../../src/custody/server.ts";
import type { CustodyTls } from "./custody-tls.ts";
import { realClock } from "./clocks.ts";
import { type Issuing, issuing, type IssuingOptions } from "./issuing.ts";

export interface Serving extends Issuing {
  readonly server: CustodyServer;
  readonly answers: { readonly caller: string; readonly status: number; readonly reason: LeaseRefusalReason | null }[];
  readonly broken: string[];
  /** Port of a TCP server. */
  readonly port: number;
  readonly stop: () => Promise<void>;
}

export interface ServingOptions extends Partial<IssuingOptions> {
  /** Over TCP with these certificates, else on this socket. */
  readonly on: CustodyTls | string;
  readonly callers?: readonly KnownCaller[];
}

/** A custody server with a whole issuer behind it, on loopback or on a unix socket. */
export async function serving({ on, callers, ...options }: ServingOptions): Promise<Serving> {
  const parts = issuing({ clock: realClock, ...options });
  const answers: Serving["answers"] = [];
  const broken: string[] = [];
  const place: Pick<CustodyServerOptions, "address" | "tls"> =
    typeof on === "string"
      ? { address: { kind: "unix", path: on }, tls: null }
      : {
          address: { kind: "tcp", host: "127.0.0.1", port: 0 },
          tls: { certificate: on.server.certificate, key: on.server.key, clientCa: on.ca.certificate },
        };
  const server = await CustodyServer.start({
    ...place,
    issuer: parts.issuer,
    callers: callers ?? [{ name: "edge-1.internal", tenants: null }],
    clock: options.clock ?? realClock,
    health: () => ({ catalogue: "v1", problem: null }),
    events: {
      answered: ({ caller, status, reason }) => {
        answers.push({ caller, status, reason });
      },
      broken: (code) => {
        broken.push(code);
      },
    },
  });
  return {
    ...parts,
    server,
    answers,
    broken,
    port: Number(/:(\d+)$/.exec(server.address)?.[1] ?? 0),
    stop: () => server.close(1_000),
  };
}
