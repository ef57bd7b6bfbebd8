import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createSecureContext } from "node:tls";
import { createAttachPort } from "../../../src/attach/attach.ts";
import type { Clock } from "../../../src/core/clock.ts";
import { ByteBudget } from "../../../src/core/byte-budget.ts";
import type { DeadlineSweep } from "../../../src/core/deadline.ts";
import type { Destination } from "../../../src/core/destination.ts";
import { Lease, Permit, PinnedAddress, Session } from "../../../src/core/exchange.ts";
import type { ExchangeRecord } from "../../../src/core/record.ts";
import { Secret } from "../../../src/core/secret.ts";
import { GuestListener, type ListenerOptions } from "../../../src/guest/listener.ts";
import type { GuestLimits } from "../../../src/guest/environment.ts";
import type { GuestTimeouts } from "../../../src/guest/states.ts";
import type { Line } from "../../../src/line/line.ts";
import { createSyntheticPort } from "../../../src/synthetic/synthetic.ts";
import { createResponseGuard } from "../../../src/scrub/guard.ts";
import type { AnswerLimits } from "../../../src/upstream/answer-reader.ts";
import { UpstreamPools } from "../../../src/upstream/pools.ts";
import type { UpstreamTimeouts } from "../../../src/upstream/states.ts";
import { UpstreamTrust } from "../../../src/upstream/trust.ts";
import { startFairSweep } from "../../core/support/fair-sweep.ts";
import type { TestLeaf } from "../../house/support/certificates.ts";

/** What every exchange of these tests carries upstream. */
export const TOKEN = "joined-token-51c8";

export interface JoinedOptions {
  readonly destination?: Partial<Destination>;
  readonly timeouts?: Partial<GuestTimeouts & UpstreamTimeouts>;
  readonly limits?: Partial<GuestLimits & AnswerLimits>;
  readonly maxConnections?: number;
  /** Uses of each lease. */
  readonly maxUses?: number;
  /** Certificate for opened tunnels. */
  readonly leaf?: TestLeaf;
  /** How guests come in; left out: HTTP without TLS. */
  readonly listener?: Partial<Pick<ListenerOptions, "address" | "protocol" | "tls" | "proxySenders">>;
  /** A port of the line in place of the joined one. */
  readonly ports?: (line: Line) => Partial<Line>;
}

/**
 * Guest listener, line and upstream pools joined as the edge joins them, in this process, with small ports of our own in
 * between: every name is permitted and leads to the loopback, every exchange carries a lease unless told otherwise.
 */
export interface Joined {
  readonly listener: GuestListener;
  readonly port: number;
  readonly sweep: DeadlineSweep;
  /** Records that were closed, in order; one that is closed twice is there twice. */
  readonly records: readonly ExchangeRecord[];
  /** How many records were opened. */
  readonly opened: () => number;
  /** Leases that were handed out. */
  readonly leases: readonly Lease[];
  /** Upstream connections that the pools hold. */
  readonly open: () => number;
  /** Faults that reached the process. */
  readonly faults: readonly unknown[];
  /** Resolves once `ms` have passed by the edge's clock. */
  passed(ms: number): Promise<void>;
  drain(): Promise<void>;
  stop(): Promise<void>;
}

export async function startJoined(options: JoinedOptions = {}): Promise<Joined> {
  const time = startFairSweep();
  const { clock, sweep } = time;
  const timeouts = { ...TIMEOUTS, ...options.timeouts };
  const limits = { ...LIMITS, ...options.limits };
  const records: ExchangeRecord[] = [];
  const leases: Lease[] = [];
  let open = 0;
  let draining = false;
  const faults: unknown[] = [];
  const onFault = (thrown: unknown): void => void faults.push(thrown);
  process.on("uncaughtException", onFault);
  process.on("unhandledRejection", onFault);
  const events = { opened: () => void open++, reused: () => undefined, closed: () => void open-- };
  const joined: Line = {
    ...portsFor({ ...DESTINATION, ...options.destination }, clock, records, leases, options.maxUses ?? null),
    clock,
    attach: createAttachPort({ clock, randomBytes }),
    guard: createResponseGuard(),
    synthetic: createSyntheticPort({ wallMs: () => clock.wallMs(), newId: () => "id" }),
    heldBodies: new ByteBudget(64 * 1024 * 1024),
    upstream: new UpstreamPools(new UpstreamTrust([]), {
      clock,
      sweep,
      timeouts,
      limits,
      maxConnections: options.maxConnections ?? 64,
      isShared: false,
      events,
    }),
  };
  let ids = 0;
  const secure =
    options.leaf === undefined ? null : createSecureContext({ cert: options.leaf.certificate, key: options.leaf.key });
  const listener = new GuestListener(
    {
      name: "guests",
      address: { host: "127.0.0.1", port: 0 },
      protocol: "http",
      tls: null,
      proxySenders: null,
      ...options.listener,
      onError: onFault,
    },
    {
      line: { ...joined, ...options.ports?.(joined) },
      sweep,
      limits,
      timeouts,
      leaves: {
        prepare: () => undefined,
        contextFor: () => {
          if (secure === null) throw new Error("this test opens no tunnel");
          return secure;
        },
      },
      events: {
        connectionOpened: () => undefined,
        connectionClosed: () => undefined,
        tunnelOpened: () => undefined,
        tunnelClosed: () => undefined,
      },
      nextId: () => `id-${++ids}`,
      isDraining: () => draining,
    },
  );
  await listener.listen();
  const drain = async (): Promise<void> => {
    draining = true;
    await listener.drain();
  };
  return {
    listener,
    port: listener.port,
    sweep,
    records,
    opened: () => ids,
    leases,
    open: () => open,
    faults,
    passed: (ms) => time.passed(ms),
    drain,
    async stop() {
      await drain();
      time.stop();
      process.off("uncaughtException", onFault);
      process.off("unhandledRejection", onFault);
    },
  };
}

export const TIMEOUTS: GuestTimeouts & UpstreamTimeouts = {
  requestHeadMs: 2000,
  tlsHelloMs: 2000,
  proxyProtocolMs: 2000,
  guestIdleMs: 2000,
  bodyIdleMs: 5000,
  afterFloodMs: 0,
  halfCloseMs: 2000,
  tunnelIdleMs: 5000,
  tunnelLifeMs: 20_000,
  drainMs: 300,
  upstreamConnectMs: 2000,
  upstreamHeadMs: 5000,
  upstreamKeepaliveMs: 5000,
};

export const LIMITS: GuestLimits & AnswerLimits = {
  headBytes: 65_536,
  headFields: 256,
  trailerBytes: 16_384,
  trailerFields: 64,
  interimResponses: 16,
  connections: 1000,
  connectionsPerGuest: 1000,
  http2Streams: 100,
};

export const DESTINATION: Destination = {
  name: "joined",
  scheme: "http",
  tls: "inspect",
  http: "auto",
  mode: "enforce",
  credential: { custody: "main", name: "api" },
  attachments: [{ as: "bearer" }],
  dropHeaders: [],
  addresses: [],
  trust: null,
  synthetic: null,
  parent: null,
};

function portsFor(
  destination: Destination,
  clock: Clock,
  records: ExchangeRecord[],
  leases: Lease[],
  maxUses: number | null,
): Pick<Line, "sessions" | "policy" | "addresses" | "leases" | "account"> {
  const session = Session.prove({ id: "s", tenant: "t", workspace: "w", subject: "u", roles: [] });
  return {
    sessions: { identify: () => session },
    policy: {
      admit: (who, authority) => Permit.grant(who, authority, destination, "connect"),
      spells: () => true,
      decide: (who, ask) => Permit.grant(who, ask.authority, destination, "allow[0]"),
    },
    addresses: { pin: (permit) => PinnedAddress.check(permit.authority, ["127.0.0.1"]) },
    leases: {
      fetchAhead: async () => undefined,
      lease(permit) {
        const now = clock.monotonicMs();
        const lease = Lease.grant({
          id: `lease-${leases.length}`,
          credential: "api",
          material: { kind: "token", token: Secret.of(TOKEN) },
          scope: { tenant: "t", session: "s", host: permit.authority.host, port: permit.authority.port },
          grantedAtMs: now,
          expiresAtMs: now + 60_000,
          maxUses,
          resourceRef: "ref",
        });
        leases.push(lease);
        return lease;
      },
      reject: () => true,
    },
    account: { admit: () => undefined, close: (record) => void records.push(record) },
  };
}

/** An upstream that does to each connection what the test says. */
export interface Scripted {
  readonly port: number;
  /** Accepted sockets in order, closed ones too. */
  readonly sockets: readonly Socket[];
  /** What each of them received, Latin-1. */
  readonly received: readonly string[];
  close(): Promise<void>;
}

/**
 * @param serve told of everything that came on connection `index` so far, segment by segment
 * @param onEnd the other side closed its sending side; by default this side does, too
 */
export async function startScripted(
  serve: (socket: Socket, received: string, index: number) => void,
  onEnd: (socket: Socket) => void = (socket) => socket.end(),
): Promise<Scripted> {
  const sockets: Socket[] = [];
  const received: string[] = [];
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const index = sockets.push(socket) - 1;
    received.push("");
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      received[index] += chunk.toString("latin1");
      serve(socket, received[index] as string, index);
    });
    socket.on("end", () => onEnd(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    received,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Looks again until `isDone`; @throws Error after `timeoutMs` */
export async function eventually(isDone: () => boolean, what: string, timeoutMs = 30_000): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!isDone()) {
    if (performance.now() > endMs) throw new Error(`${what} did not happen`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Looks again until `figure`, which is more than 0 by then, was the same ten times in a row. */
export function standstill(figure: () => number, what: string): Promise<void> {
  let before = 0;
  let same = 0;
  return eventually(() => {
    const now = figure();
    same = now === before && now > 0 ? same + 1 : 0;
    before = now;
    return same === 10;
  }, what);
}
