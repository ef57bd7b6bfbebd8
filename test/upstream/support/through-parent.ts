import { randomBytes } from "node:crypto";
import { createAttachPort } from "../../../src/attach/attach.ts";
import { Authority } from "../../../src/core/authority.ts";
import type { Clock } from "../../../src/core/clock.ts";
import { DeadlineSweep } from "../../../src/core/deadline.ts";
import { Denial, type DenialCode } from "../../../src/core/denial.ts";
import type { Destination, UpstreamParent } from "../../../src/core/destination.ts";
import { Lease, Permit, type Pinned, PinnedAddress, PinnedName, Session } from "../../../src/core/exchange.ts";
import { Fields } from "../../../src/core/fields.ts";
import { Secret } from "../../../src/core/secret.ts";
import type { UpstreamChannel } from "../../../src/core/wire.ts";
import { permitForParent } from "../../../src/policy/parent-permit.ts";
import { Parents } from "../../../src/upstream/parent.ts";
import { UpstreamPools } from "../../../src/upstream/pools.ts";
import { UpstreamTrust } from "../../../src/upstream/trust.ts";
import { DESTINATION, LIMITS, TIMEOUTS } from "../../line/support/joined.ts";

/** What the parent knows a session by. */
export const secretOf = (session: string): string => `corp-secret-of-${session}`;

export interface WayOptions {
  readonly parentPort: number;
  readonly connectBy?: "address" | "name";
  readonly tls?: boolean;
  readonly serverName?: string;
  readonly parentHost?: string;
  readonly authenticated?: boolean;
  readonly target?: { readonly host: string; readonly port: number };
  readonly scheme?: "http" | "https";
  readonly http?: Destination["http"];
  /** Addresses of the target. */
  readonly addresses?: readonly string[];
  readonly roots?: readonly string[];
  readonly connectMs?: number;
  readonly keepaliveMs?: number;
  readonly maxConnections?: number;
}

/** Pools and parents on real sockets, between ports of the test's own. */
export interface Way {
  readonly pools: UpstreamPools;
  /** Leases that were dropped. */
  readonly rejected: Lease[];
  /** Leases that were handed out. */
  readonly leases: Lease[];
  /** While it is set no lease is to be had. */
  leaseDenial: DenialCode | null;
  /** While it is set the parent's own address is not to be had. */
  pinDenial: DenialCode | null;
  permit(session?: string): Permit;
  pinned(): Pinned;
  connect(session?: string, fresh?: boolean): Promise<UpstreamChannel>;
  /** One exchange; the answer as text. */
  get(session?: string): Promise<string>;
  open(): number;
  sweep(): void;
}

export function wayThrough(options: WayOptions): Way {
  const clock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };
  const { host, port } = options.target ?? { host: "api.test", port: 443 };
  const parent: UpstreamParent = {
    name: "corp",
    address: `${options.parentHost ?? "proxy.corp.test"}:${options.parentPort}`,
    connectBy: options.connectBy ?? "address",
    serverName: options.serverName ?? "proxy.corp.test",
    destination: {
      ...DESTINATION,
      name: "corp",
      scheme: options.tls === true ? "https" : "http",
      credential: options.authenticated === true ? { custody: "main", name: "corp-proxy" } : null,
      attachments: options.authenticated === true ? [{ as: "bearer" }] : [],
    },
  };
  const destination: Destination = {
    ...DESTINATION,
    name: "api",
    scheme: options.scheme ?? "http",
    http: options.http ?? "auto",
    credential: null,
    attachments: [],
    parent,
  };
  const authority = Authority.parse(host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`, null);
  if (authority === null) throw new Error("the target is no authority");
  const sessions = new Map<string, Session>();
  const sweep = new DeadlineSweep();
  const held = new Map<string, Lease>();
  let open = 0;
  const leaseFor = (permit: Permit): Lease => {
    if (way.leaseDenial !== null) throw new Denial(way.leaseDenial);
    const { id, tenant } = permit.session;
    let lease = held.get(`${tenant} ${id}`);
    if (lease?.isLive(clock.monotonicMs()) !== true) {
      lease = Lease.grant({
        id: `lease-${id}`,
        credential: permit.destination.credential?.name ?? "",
        material: { kind: "token", token: Secret.of(secretOf(id)) },
        scope: { tenant, session: id, host: permit.authority.host, port: permit.authority.port },
        grantedAtMs: clock.monotonicMs(),
        expiresAtMs: clock.monotonicMs() + 60_000,
        maxUses: null,
        resourceRef: "ref",
      });
      held.set(`${tenant} ${id}`, lease);
    }
    return lease;
  };
  const trust = new UpstreamTrust(options.roots ?? []);
  const limits = { ...LIMITS };
  const parents = new Parents({
    clock,
    permitFor: permitForParent,
    trust,
    limits,
    attach: createAttachPort({ clock, randomBytes }),
    addresses: {
      async pin(permit) {
        if (way.pinDenial !== null) throw new Denial(way.pinDenial, { cause: "said by the test" });
        return PinnedAddress.check(permit.authority, ["127.0.0.1"]);
      },
    },
    leases: {
      async lease(permit) {
        const lease = leaseFor(permit);
        way.leases.push(lease);
        return lease;
      },
      async fetchAhead(permit) {
        leaseFor(permit);
      },
      reject(lease) {
        way.rejected.push(lease);
        return true;
      },
    },
  });
  const pools = new UpstreamPools(
    trust,
    {
      clock,
      sweep,
      timeouts: {
        ...TIMEOUTS,
        upstreamConnectMs: options.connectMs ?? 5000,
        upstreamKeepaliveMs: options.keepaliveMs ?? 60_000,
      },
      limits,
      maxConnections: options.maxConnections ?? 16,
      isShared: false,
      events: { opened: () => void open++, reused: () => undefined, closed: () => void open-- },
    },
    parents,
  );
  const way: Way = {
    pools,
    rejected: [],
    leases: [],
    leaseDenial: null,
    pinDenial: null,
    permit(id = "s1") {
      let session = sessions.get(id);
      if (session === undefined) {
        session = Session.prove({ id, tenant: "acme", workspace: "w", subject: "u", roles: [] });
        sessions.set(id, session);
      }
      return Permit.grant(session, authority, destination, "allow[0]");
    },
    pinned: () =>
      options.connectBy === "name" && authority.ip === null
        ? PinnedName.check(authority)
        : PinnedAddress.check(authority, options.addresses ?? ["127.0.0.1"]),
    connect: async (id, fresh = false) =>
      await pools.connect(way.permit(id), way.pinned(), { fresh, http2: false, identity: null }),
    get: async (id) => await exchange(await way.connect(id)),
    open: () => open,
    sweep: () => sweep.sweep(Number.MAX_SAFE_INTEGER),
  };
  return way;
}

/** Sends a bodiless GET and waits for the end of the answer. */
export function exchange(channel: UpstreamChannel): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const sent = channel.send(
      { method: "GET", target: "/", fields: Fields.of([["Host", "api.test"]]) },
      {
        body: { length: "none", expectContinue: false, start: () => undefined, resume: () => undefined },
        upgrade: null,
        filter: null,
        wantsTrailers: false,
        cleanseTrailers: () => undefined,
      },
      {
        interim: () => undefined,
        head: (head) => void (text += `${head.status} ${head.reason}\n`),
        data: (chunk) => void (text += chunk.toString("latin1")),
        end: () => resolve(text),
        flush: () => true,
        upgraded: () => reject(new Error("upgraded")),
        failed: (denial) => reject(denial),
      },
    );
    if (!sent) reject(new Error("the connection was not usable"));
  });
}

/** The denial that something ends with. */
export async function denialOf(work: Promise<unknown>): Promise<Denial> {
  try {
    await work;
  } catch (thrown) {
    if (thrown instanceof Denial) return thrown;
    throw thrown;
  }
  throw new Error("it was not refused");
}
