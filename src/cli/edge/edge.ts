import { DeadlineSweep } from "../../core/deadline.ts";
import { ByteBudget } from "../../core/byte-budget.ts";
import type { SessionClaims } from "../../core/exchange.ts";
import { sessionKey } from "../../core/session-key.ts";
import { createAttachPort } from "../../attach/attach.ts";
import { AuditTrail } from "../../audit/trail.ts";
import { LeaseKeeper } from "../../custody/keeper.ts";
import type { GuestListener } from "../../guest/listener.ts";
import type { Line } from "../../line/line.ts";
import { AddressGuard } from "../../policy/guard.ts";
import { PolicyHolder } from "../../policy/holder.ts";
import { permitForParent } from "../../policy/parent-permit.ts";
import { createSyntheticPort } from "../../synthetic/synthetic.ts";
import { createResponseGuard } from "../../scrub/guard.ts";
import { ListenerSessions } from "../../session/listener-sessions.ts";
import { Account } from "../../telemetry/account.ts";
import { Log } from "../../telemetry/log.ts";
import { Metrics } from "../../telemetry/metrics.ts";
import { LeafCache } from "../../tls/leaf-cache.ts";
import { LeafMinter } from "../../tls/leaf-minter.ts";
import { Parents } from "../../upstream/parent.ts";
import { UpstreamPools } from "../../upstream/pools.ts";
import { UpstreamTrust } from "../../upstream/trust.ts";
import type { Ready } from "../read-config/prepare.ts";
import { startWhole, type Undo } from "../undo.ts";
import { openAdmin } from "./admin.ts";
import { loadCaOf } from "./ca.ts";
import { Custodies } from "./custodies.ts";
import { ListenerCertificates } from "./listener-tls.ts";
import { openListeners } from "./listeners.ts";
import { ownListenersOf } from "./own.ts";
import { EdgePolicy } from "./policy.ts";
import type { EdgeSystem } from "./system.ts";

/** How often deadlines are looked at, `ms`: the precision of every timeout. */
const SWEEP_MS = 250;
/** How long custodies are told of leases that an edge leaves behind, `ms`; what is left runs out by itself. */
const HAND_BACK_MS = 1_000;
/** Fields of a trailer section; its bytes have a limit of their own in the config. */
const TRAILER_FIELDS = 64;

/** A running edge. */
export interface Edge {
  /** Bound addresses of the guest listeners by name, as `127.0.0.1:3128` or `unix:/path`. */
  readonly listeners: ReadonlyMap<string, string>;
  /** Bound address of the admin listener, or `null`. */
  readonly admin: string | null;
  readonly log: Log;
  /** What guests have to trust, PEM; `null` without a CA. */
  readonly anchorPem: string | null;
  /** Takes over the destinations and embedded credentials of a new config; a bad one changes nothing. */
  readonly policy: EdgePolicy;
  /** Renewed certificates of its listeners are taken over by this. */
  readonly certificates: ListenerCertificates;
  /** Lets open exchanges finish within `drain_ms`, then ends everything. */
  drain(): Promise<void>;
}

/**
 * Joins the house: the only place where the folders meet.
 * @throws Error with a next step when anything that the edge relies on is not there; nothing is invented in its place, and
 * nothing stays open
 */
export async function startEdge(ready: Ready, system: EdgeSystem): Promise<Edge> {
  const { config } = ready;
  const log = new Log({
    level: config.log.level,
    clock: system.clock,
    ...(system.logDestination === null ? {} : { destination: system.logDestination }),
  });
  return await startWhole(log, (undo) => join(ready, system, log, undo));
}

/** @param undo is given what ends each part that was begun */
async function join(ready: Ready, system: EdgeSystem, log: Log, undo: Undo): Promise<Edge> {
  const { config } = ready;
  const { clock, randomBytes } = system;
  const { timeouts, limits } = config;
  const logger = log.logger;
  const ca = loadCaOf(config, system);
  for (const warning of ca?.warnings ?? []) logger.warn({ warning }, "CA");
  const audit = await AuditTrail.open({
    ...config.audit,
    instance: system.instance,
    clock,
    randomBytes,
    onAlarm: (alarm) => logger.error({ alarm }, "audit"),
    onAnchor: (head) => logger.info({ head }, "audit anchor"),
  });
  undo.add(() => audit.close());
  let draining = false;
  const sweep = new DeadlineSweep();
  const sweeper = setInterval(() => sweep.sweep(clock.monotonicMs()), SWEEP_MS);
  undo.add(() => clearInterval(sweeper));
  const leaves =
    ca === null
      ? null
      : new LeafCache({
          minter: new LeafMinter({
            ca,
            leafKey: "ec",
            lifetimeMs: config.tls.leafLifetimeHours * 3_600_000,
            clock,
            randomBytes,
          }),
          entries: config.tls.leafCacheEntries,
          clock,
        });
  const holder = new PolicyHolder();
  const custodies = new Custodies(system, audit, (text) => logger.warn({ warning: text }, "custody"));
  undo.add(() => custodies.close());
  const attach = createAttachPort({ clock, randomBytes, sign: (lease, input) => keeper.sign(lease, input) });
  const metrics = new Metrics({
    version: system.version,
    custodies: config.custodies.map(({ name }) => name),
    sources: {
      leases: () => keeper.size,
      custodies: () => keeper.state(),
      policy: () => holder.state,
      audit: () => audit.stats,
      logDropped: () => log.dropped,
      caNotAfterMs: () => ca?.notAfterMs ?? null,
      draining: () => draining,
      ...(leaves === null ? {} : { leaves: () => leaves }),
    },
  });
  const keeper = new LeaseKeeper({
    custodies: await custodies.open(config.custodies),
    clock,
    random: system.random,
    tickMs: 1000,
    events: metrics.keeper,
  });
  undo.add(() => keeper.close());
  const policy = new EdgePolicy({ holder, keeper, custodies, attach, audit, metrics, logger, clock, running: config });
  const listeners: GuestListener[] = [];
  const own = ownListenersOf(config, listeners);
  const account = new Account({
    audit,
    log: config.log.exchanges ? log : null,
    metrics,
    onFailure: (part, error) => {
      metrics.accountFailed(part);
      logger.error({ part, err: error }, "account");
    },
  });
  undo.add(() => account.flush());
  const addresses = new AddressGuard({
    lookup: system.lookup(config),
    clock,
    own: own.all,
    ttlMs: config.resolver.answerTtlMs,
    timeoutMs: config.resolver.timeoutMs,
  });
  const trust = new UpstreamTrust([...system.systemRoots(), ...config.upstream.extraRoots]);
  const parents = new Parents({
    clock,
    permitFor: permitForParent,
    addresses,
    leases: keeper,
    attach,
    trust,
    limits,
  });
  const line: Line = {
    clock,
    sessions: new ListenerSessions(
      new Map(config.listeners.map(({ name, session }): [string, SessionClaims] => [name, session.claims])),
    ),
    policy: holder,
    addresses,
    leases: keeper,
    attach,
    guard: createResponseGuard(),
    synthetic: createSyntheticPort({ wallMs: () => clock.wallMs(), newId: () => randomBytes(16).toString("hex") }),
    heldBodies: new ByteBudget(limits.heldBodyBytes),
    account,
    upstream: new UpstreamPools(
      trust,
      {
        clock,
        sweep,
        timeouts,
        limits: { ...limits, trailerFields: TRAILER_FIELDS },
        maxConnections: limits.upstreamConnectionsPerDestination,
        isShared: new Set(config.listeners.map(({ session }) => sessionKey(session.claims))).size > 1,
        events: metrics.upstream,
      },
      parents,
    ),
  };
  await policy.take(ready);
  const boot = randomBytes(6).toString("hex");
  let ids = 0;
  const certificates = new ListenerCertificates(logger);
  await openListeners(config.listeners, {
    environment: {
      line,
      sweep,
      timeouts,
      limits: { ...limits, trailerFields: TRAILER_FIELDS },
      leaves: leaves ?? NO_LEAVES,
      events: metrics.guest,
      nextId: () => `${boot}-${(++ids).toString(36)}`,
      isDraining: () => draining,
    },
    logger,
    opened: listeners,
    certificates,
    undo,
  });
  const admin = await openAdmin(config, {
    metrics,
    keeper,
    holder,
    audit,
    ca,
    clock,
    isDraining: () => draining,
    onError: (error) => logger.error({ err: error }, "admin"),
  });
  undo.add(() => admin?.close());
  own.add(admin);
  await audit.privileged({ type: "edge_started", facts: { version: system.version, config: ready.digest } });
  // Not the config: what stands in this scope lives as long as `drain`, and a long allow-list would with it.
  const names = config.listeners.map(({ name }) => name);
  return {
    listeners: new Map(listeners.map((listener, i) => [names[i] ?? "", listener.boundText])),
    admin: admin?.address ?? null,
    log,
    anchorPem: ca?.anchorPem ?? null,
    policy,
    certificates,
    drain: async () => {
      draining = true;
      policy.close();
      logger.info({ drain_ms: timeouts.drainMs }, "draining");
      await Promise.all(listeners.map((listener) => listener.drain()));
      account.flush();
      clearInterval(sweeper);
      await keeper.handBack(HAND_BACK_MS);
      keeper.close();
      await custodies.close();
      await admin?.close();
      await audit
        .privileged({ type: "edge_stopping", facts: {} })
        .catch((error: unknown) => logger.error({ err: error }, "audit"));
      await audit.close().catch((error: unknown) => logger.error({ err: error }, "audit"));
      logger.info("stopped");
      await log.close();
    },
  };
}

/** Without a CA there is no destination that is inspected over TLS: the config has made sure of that. */
const NO_LEAVES = { contextFor: noLeaf, prepare: noLeaf };

function noLeaf(): never {
  throw new Error("no CA is configured");
}
