import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LeaseRefusal, type LeaseRefusalReason } from "../../src/core/custody.ts";
import type { MethodClass } from "../../src/core/method-class.ts";
import { reaches, type RevocationTarget } from "../../src/core/revocation.ts";
import type { Caller } from "../../src/custody/caller.ts";
import type { Issuer } from "../../src/custody/issuer.ts";
import { Revocations } from "../../src/custody/revocations.ts";
import { ManualClock } from "./support/clocks.ts";
import { entryOf, issuing, type MemoryAudit } from "./support/issuing.ts";
import { requestOf } from "./support/permits.ts";

/**
 * The whole lease API against a slow model that keeps everything in plain lists: issue, renew, release, revoke, lift, approve,
 * deny, time, a wall clock that is set, an audit that fails, and a restart over the same state file.
 */

const CREDENTIALS = ["plain", "short", "asked"] as const;
type Credential = (typeof CREDENTIALS)[number];
const TTL_MS: Record<Credential, number> = { plain: 900_000, short: 60_000, asked: 300_000 };
const LONGEST_MS = 900_000;
const TEN_MINUTES_MS = 600_000;

/** Mostly the same, so that what is asked twice is met. */
const mostly = <T>(usual: T, ...others: T[]) =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) });
const caller = mostly("edge-1", "edge-2");
const session = mostly("s1", "s2");
const tenant = mostly("acme", "globex");
const credential = fc.constantFrom(...CREDENTIALS, "asked" as const);
const methodClass = mostly<MethodClass>("read", "write");
const nth = fc.oneof(fc.nat(2), fc.nat(9));
const target = fc.oneof(
  fc.constant<RevocationTarget>({ scope: "all", value: "", tenant: null }),
  fc.record({ scope: fc.constant("tenant" as const), value: tenant, tenant: fc.constant(null) }),
  fc.record({ scope: fc.constant("credential" as const), value: credential, tenant: fc.constant(null) }),
  fc.record({ scope: fc.constant("session" as const), value: session, tenant: fc.option(tenant) }),
);

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant("issue" as const), caller, session, tenant, credential, methodClass }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("renew" as const), caller, session, tenant, nth }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("release" as const), caller, session, tenant, nth }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("revoke" as const), target }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("revoke_lease" as const), nth }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("lift" as const), nth }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("decide" as const), nth, yes: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.constantFrom(1, 999, 30_000, 59_999, 300_000, 700_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("set_wall" as const), ms: fc.constantFrom(-3_600_000, 3_600_000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("audit" as const), fails: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface ModelLease {
  readonly id: string;
  readonly caller: string;
  readonly session: string;
  readonly tenant: string;
  readonly credential: Credential;
  readonly issuedMs: number;
  endsMs: number;
  state: "live" | "revoked" | "released" | "lost";
}

interface ModelRevocation {
  readonly id: string;
  readonly target: RevocationTarget;
  readonly wallMs: number;
  endsMs: number;
}

interface ModelApproval {
  readonly key: string;
  readonly of: { readonly session: string; readonly tenant: string; readonly credential: string };
  state: "pending" | "approved" | "denied";
  endsMs: number;
}

class Model {
  leases: ModelLease[] = [];
  revocations: ModelRevocation[] = [];
  /** Everything that was made and not lifted. */
  kept: ModelRevocation[] = [];
  approvals: ModelApproval[] = [];
  auditFails = false;
  released = 0;

  against(
    it: { lease: string | null; credential: string; session: string; tenant: string },
    nowMs: number,
  ): LeaseRefusalReason | null {
    const scopes = ["all", "tenant", "credential", "session", "lease"] as const;
    const reasons = [
      "custody_revoked",
      "tenant_revoked",
      "credential_revoked",
      "session_revoked",
      "lease_revoked",
    ] as const;
    for (const [i, scope] of scopes.entries())
      if (
        this.revocations.some(({ target, endsMs }) => target.scope === scope && nowMs < endsMs && reaches(target, it))
      )
        return reasons[i] as LeaseRefusalReason;
    return null;
  }

  end(lease: ModelLease, state: "revoked" | "released"): void {
    if (lease.state !== "live") return;
    lease.state = state;
    this.released++;
  }
}

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-lease-model-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

let runs = 0;

class Bench {
  readonly clock = new ManualClock();
  readonly model = new Model();
  readonly path = join(directory, `${runs++}.state`);
  released = 0;
  issuer!: Issuer;
  audit!: MemoryAudit;
  revocations!: Revocations;

  async start(): Promise<void> {
    this.revocations = await Revocations.open(this.path, { clock: this.clock, randomBytes });
    const entries = CREDENTIALS.map((name) =>
      entryOf({ name, ttlSeconds: TTL_MS[name] / 1000, approval: name === "asked" }),
    );
    const parts = issuing({ clock: this.clock, entries, revocations: this.revocations });
    this.issuer = parts.issuer;
    this.audit = parts.audit;
    this.audit.failing = this.model.auditFails;
    for (const name of CREDENTIALS) {
      const item = this.issuer.catalogue.find(name);
      if (item === undefined) throw new Error("the catalogue has it");
      const mint = item.minter.mint.bind(item.minter);
      item.minter.mint = async (...args) => ({ ...(await mint(...args)), release: async () => void this.released++ });
    }
  }

  get nowMs(): number {
    return this.clock.monotonicMs();
  }
}

async function outcomeOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return "ok";
  } catch (thrown) {
    if (thrown instanceof LeaseRefusal) return thrown.reason;
    throw thrown;
  }
}

/** Expired leases end; what the ledger gives back at its own pace is waited for. */
function pass(bench: Bench): void {
  const { model, nowMs } = bench;
  for (const lease of model.leases) if (lease.state === "live" && nowMs >= lease.endsMs) model.end(lease, "released");
  model.approvals = model.approvals.filter(({ endsMs }) => nowMs < endsMs);
  model.revocations = model.revocations.filter(({ endsMs }) => nowMs < endsMs);
}

async function take(bench: Bench, one: Step): Promise<void> {
  const { model, clock, issuer } = bench;
  switch (one.do) {
    case "wait":
      clock.advance(one.ms);
      return pass(bench);
    case "set_wall":
      return clock.setWall(one.ms);
    case "audit":
      model.auditFails = one.fails;
      bench.audit.failing = one.fails;
      return;
    case "restart":
      // What ran out within the last second would be given back by nobody.
      clock.advance(1_000);
      issuer.ledger.tick();
      pass(bench);
      await bench.revocations.close();
      for (const lease of model.leases) lease.state = "lost";
      model.approvals = [];
      // One that had run out is back where the wall clock says so.
      model.revocations = model.kept.filter((revocation) => isBack(revocation, clock));
      pass(bench);
      return await bench.start();
    case "issue":
      return await issue(bench, one);
    case "renew":
    case "release":
      return await change(bench, one);
    case "revoke":
      return await revoke(bench, one.target);
    case "revoke_lease": {
      const lease = model.leases[one.nth];
      return lease === undefined ? undefined : await revoke(bench, { scope: "lease", value: lease.id, tenant: null });
    }
    case "lift": {
      const revocation = model.revocations[one.nth];
      const outcome = await outcomeOf(() => issuer.operations.lift("operator", revocation?.id ?? "none"));
      expect(outcome).toBe(
        revocation === undefined ? "nothing_of_this_id" : model.auditFails ? "audit_unavailable" : "ok",
      );
      if (outcome !== "ok") return;
      model.revocations = model.revocations.filter((other) => other !== revocation);
      model.kept = model.kept.filter((other) => other !== revocation);
      return;
    }
    case "decide":
      return await decide(bench, one.nth, one.yes);
  }
}

/** All that is known after a restart is the wall clock: what is left is never more than the whole. */
function isBack(revocation: ModelRevocation, clock: ManualClock): boolean {
  const lastsMs = { lease: 900_000, session: 43_200_000 }[revocation.target.scope as string] ?? null;
  if (lastsMs === null) return true;
  revocation.endsMs = clock.monotonicMs() + Math.min(lastsMs, revocation.wallMs + lastsMs - clock.wallMs());
  return clock.monotonicMs() < revocation.endsMs;
}

async function issue(bench: Bench, one: Extract<Step, { do: "issue" }>): Promise<void> {
  const { model, issuer, nowMs } = bench;
  const asker: Caller = { name: one.caller, tenants: null };
  const of = { session: one.session, tenant: one.tenant, credential: one.credential };
  const key = JSON.stringify([one.caller, of, one.methodClass]);
  const approval = one.credential === "asked" ? model.approvals.find((waiting) => waiting.key === key) : null;
  let leaseId = "";
  const outcome = await outcomeOf(async () => {
    const { id, tenant } = { id: one.session, tenant: one.tenant };
    const asked = requestOf({
      session: { id, tenant, workspace: "w", subject: "agent" },
      credential: one.credential,
      methodClass: one.methodClass,
    });
    const grant = await issuer.issue(asker, asked, new AbortController().signal);
    leaseId = grant.leaseId;
    expect(grant.ttlMs).toBe(TTL_MS[one.credential]);
    expect(grant.binding?.value ?? null).toBe(one.credential === "asked" ? one.methodClass : null);
  });
  const refused = model.against({ ...of, lease: null }, nowMs);
  if (refused !== null) return expect(outcome).toBe(refused);
  if (approval !== null && approval?.state !== "approved") {
    expect(outcome).toBe(approval?.state === "denied" ? "approval_denied" : "approval_pending");
    if (approval === undefined) model.approvals.push({ key, of, state: "pending", endsMs: nowMs + TEN_MINUTES_MS });
    return;
  }
  if (model.auditFails) {
    // Minted, and given back.
    model.released++;
    return expect(outcome).toBe("audit_unavailable");
  }
  expect(outcome).toBe("ok");
  if (approval !== null) model.approvals = model.approvals.filter((other) => other !== approval);
  const endsMs = nowMs + TTL_MS[one.credential];
  model.leases.push({
    id: leaseId,
    caller: one.caller,
    ...of,
    credential: one.credential,
    issuedMs: nowMs,
    endsMs,
    state: "live",
  });
}

async function change(bench: Bench, one: Extract<Step, { do: "renew" | "release" }>): Promise<void> {
  const { model, issuer, nowMs } = bench;
  const lease = model.leases[one.nth];
  const held = { leaseId: lease?.id ?? "none", session: one.session, tenant: one.tenant };
  const asker: Caller = { name: one.caller, tenants: null };
  let lifeMs = 0;
  const outcome = await outcomeOf(async () => {
    if (one.do === "renew") lifeMs = await issuer.renew(asker, held);
    else await issuer.release(asker, held);
  });
  const expected = expectedOf();
  // What is over is forgotten after a while: by which name it is refused depends on that.
  if (expected === "over") expect(outcome).not.toBe("ok");
  else expect(outcome).toBe(expected);
  if (outcome !== "ok" || lease === undefined) return;
  if (one.do === "release") return model.end(lease, "released");
  lease.endsMs = Math.max(lease.endsMs, Math.min(nowMs + TTL_MS[lease.credential], lease.issuedMs + LONGEST_MS));
  expect(lifeMs).toBe(lease.endsMs - nowMs);

  function expectedOf(): string {
    if (lease === undefined || lease.state === "lost" || lease.caller !== one.caller) return "lease_unknown";
    if (nowMs >= lease.endsMs) return "over";
    if (lease.state === "released") return "lease_unknown";
    if (lease.session !== one.session || lease.tenant !== one.tenant) return "session_mismatch";
    const reason = model.against({ ...lease, lease: lease.id }, nowMs);
    if (reason !== null) return reason;
    if (lease.state === "revoked") return "lease_revoked";
    if (one.do === "renew" && lease.credential === "asked") return "approval_pending";
    const latestMs = lease.issuedMs + LONGEST_MS;
    if (one.do === "renew" && (lease.endsMs === latestMs || latestMs - nowMs < 1_000)) return "lease_at_its_end";
    return model.auditFails ? "audit_unavailable" : "ok";
  }
}

async function revoke(bench: Bench, target: RevocationTarget): Promise<void> {
  const { model, issuer, clock, nowMs } = bench;
  let id = "";
  const outcome = await outcomeOf(async () => {
    id = (await issuer.operations.revoke("operator", target, "test")).made.id;
  });
  expect(outcome).toBe(model.auditFails ? "audit_unavailable" : "ok");
  if (outcome !== "ok") return;
  const lastsMs = { lease: 900_000, session: 43_200_000 }[target.scope as string] ?? Number.POSITIVE_INFINITY;
  const revocation = { id, target, wallMs: clock.wallMs(), endsMs: nowMs + lastsMs };
  model.revocations.push(revocation);
  model.kept.push(revocation);
  for (const lease of model.leases) if (reaches(target, { ...lease, lease: lease.id })) model.end(lease, "revoked");
  model.approvals = model.approvals.filter(({ of }) => !reaches(target, { ...of, lease: null }));
}

async function decide(bench: Bench, nth: number, yes: boolean): Promise<void> {
  const { model, issuer, nowMs } = bench;
  const listed = issuer.approvals.list();
  expect(listed.map(({ state }) => state)).toEqual(model.approvals.map(({ state }) => state));
  const waiting = model.approvals[nth];
  const outcome = await outcomeOf(() => issuer.operations.decide("operator", listed[nth]?.id ?? "none", yes));
  if (waiting?.state !== "pending") return expect(outcome).toBe("nothing_of_this_id");
  expect(outcome).toBe(model.auditFails ? "audit_unavailable" : "ok");
  if (outcome !== "ok") return;
  waiting.state = yes ? "approved" : "denied";
  waiting.endsMs = nowMs + TEN_MINUTES_MS;
}

test("does what the model does, whatever is asked in whatever order", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), async (script) => {
      const bench = new Bench();
      await bench.start();
      try {
        for (const one of script) {
          await take(bench, one);
          expect(bench.issuer.approvals.list().map(({ state }) => state)).toEqual(
            bench.model.approvals.map(({ state }) => state),
          );
          const all: RevocationTarget = { scope: "all", value: "", tenant: null };
          const live = [...bench.issuer.ledger.live(all)].map(({ id }) => id).sort();
          expect(live).toEqual(
            bench.model.leases
              .filter(({ state }) => state === "live")
              .map(({ id }) => id)
              .sort(),
          );
          expect([...bench.revocations.list()].map(({ revocation }) => revocation.id)).toEqual(
            bench.model.revocations.map(({ id }) => id),
          );
        }
        // What has run out is given back within a second; everything that ended was given back once.
        bench.clock.advance(1_000_000);
        bench.issuer.ledger.tick();
        pass(bench);
        expect(bench.released).toBe(bench.model.released);
        expect(bench.issuer.ledger.held.leases).toBe(0);
      } finally {
        await bench.revocations.close();
      }
    }),
    { numRuns: 200 },
  );
}, 60_000);
