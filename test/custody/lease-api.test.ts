import { randomBytes } from "node:crypto";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { HeldLease, LeaseRequest } from "../../src/core/custody.ts";
import type { MintSpec } from "../../src/core/mint.ts";
import { RemoteCustody } from "../../src/custody/remote.ts";
import { Revocations } from "../../src/custody/revocations.ts";
import { CustodyServer, type CustodyServerOptions } from "../../src/custody/server.ts";
import { encodeLeaseRequest } from "../../src/custody/wire.ts";
import { ManualClock, realClock } from "./support/clocks.ts";
import { type CustodyTls, makeCustodyTls } from "./support/custody-tls.ts";
import { denialOf } from "./support/denials.ts";
import { gate } from "./support/fake-custody.ts";
import { entryOf, issuing, type Issuing, type IssuingOptions } from "./support/issuing.ts";
import { templateOf } from "./support/minting.ts";
import { requestOf } from "./support/permits.ts";

/** The lease API over real sockets: who may do what, and what becomes of a lease. */

let tls: CustodyTls;
let directory = "";
beforeAll(async () => {
  tls = await makeCustodyTls();
  directory = await mkdtemp(join(tmpdir(), "postern-lease-api-"));
});
afterAll(async () => {
  await tls.remove();
  await rm(directory, { recursive: true, force: true });
});

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const calm = () => new AbortController().signal;
const events = { answered: () => undefined, broken: () => undefined };
const health = () => ({ catalogue: "v1", problem: null });
let sockets = 0;
const socketPath = () => join(directory, `s${sockets++}.sock`);

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly json: Record<string, unknown>;
}

/** Asks with any bytes; over TLS with the certificate of an edge. */
function ask(on: string | number, method: string, path: string, body?: unknown, who = tls.edge): Promise<Answer> {
  const text = body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body);
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const headers =
    text === null ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
  const common = { method, path, agent: false as const, headers };
  const call =
    typeof on === "string" ? httpRequest({ ...common, socketPath: on }) : httpsRequest({ ...common, ...tlsOf(on) });
  function tlsOf(port: number) {
    const { certificate: cert, key } = who;
    return { host: "127.0.0.1", port, ca: tls.ca.certificate, cert, key, servername: "custody.internal" };
  }
  call.on("error", reject);
  call.on("response", (response) => {
    let received = "";
    response.on("data", (chunk: Buffer) => (received += chunk.toString("utf8")));
    response.on("error", reject);
    response.on("end", () =>
      resolve({ status: response.statusCode ?? 0, headers: response.headers, json: JSON.parse(received || "{}") }),
    );
  });
  call.end(text ?? undefined);
  return promise;
}

interface Bench extends Issuing {
  /** Socket of the edges. */
  readonly edges: string;
  /** Socket of the operators. */
  readonly operators: string;
  readonly custody: RemoteCustody;
}

async function bench(options: Partial<IssuingOptions & CustodyServerOptions> = {}): Promise<Bench> {
  const parts = issuing({ clock: realClock, ...options });
  const edges = socketPath();
  const operators = socketPath();
  const { limits } = options;
  const common = { issuer: parts.issuer, tls: null, callers: [], clock: options.clock ?? realClock, events, health };
  const server = await CustodyServer.start({
    ...common,
    ...(limits === undefined ? {} : { limits }),
    address: { kind: "unix", path: edges },
  });
  const desk = await CustodyServer.start({
    ...common,
    address: { kind: "unix", path: operators },
    socketMode: 0o600,
    socketCaller: { name: "operator", tenants: null, may: ["operate"] },
  });
  const custody = new RemoteCustody({ address: { kind: "unix", path: edges }, tls: null, timeoutMs: 10_000 });
  closers.push(
    () => server.close(1_000),
    () => desk.close(1_000),
    () => custody.close(),
  );
  return { ...parts, edges, operators, custody };
}

async function waiting(operators: string): Promise<{ readonly id: string }[]> {
  return (await ask(operators, "GET", "/v1/approvals")).json["approvals"] as { readonly id: string }[];
}

const held = (leaseId: string): HeldLease => ({ leaseId, session: "s1", tenant: "acme" });
const leaseBody = (change: Partial<LeaseRequest> = {}) => encodeLeaseRequest(requestOf(change));

describe("who may do what", () => {
  const OPERATOR_ASKS: [string, string, unknown?][] = [
    ["POST", "/v1/revocations", { scope: "all", reason: "test" }],
    ["GET", "/v1/revocations"],
    ["DELETE", "/v1/revocations/0011223344556677"],
    ["GET", "/v1/leases"],
    ["GET", "/v1/approvals"],
    ["POST", "/v1/approvals/001122334455/approve"],
    ["POST", "/v1/approvals/001122334455/deny"],
  ];
  const EDGE_ASKS: [string, string, unknown?][] = [
    ["POST", "/v1/leases", leaseBody()],
    ["POST", "/v1/leases/x/renew", { session: "s1", tenant: "acme" }],
    ["POST", "/v1/leases/x/release", { session: "s1", tenant: "acme" }],
    ["GET", "/v1/revocations/feed"],
  ];

  test.each(OPERATOR_ASKS)("an edge does not operate: %s %s", async (method, path, body) => {
    const { edges, audit, issuer } = await bench();
    expect(await ask(edges, method, path, body)).toMatchObject({ status: 403, json: { reason: "caller_not_allowed" } });
    expect([audit.operations, issuer.revocations.size]).toEqual([[], 0]);
  });

  test.each(EDGE_ASKS)("an operator does not lease: %s %s", async (method, path, body) => {
    const { operators, audit } = await bench();
    expect(await ask(operators, method, path, body)).toMatchObject({
      status: 403,
      json: { reason: "caller_not_allowed" },
    });
    expect(audit.events).toEqual([]);
  });

  test("health is told to both", async () => {
    const { edges, operators } = await bench();
    expect([
      (await ask(edges, "GET", "/v1/health")).status,
      (await ask(operators, "GET", "/v1/health")).status,
    ]).toEqual([200, 200]);
  });

  test("the operators' socket is its owner's alone, the edges' its group's as well", async () => {
    const { edges, operators } = await bench();
    expect([(await stat(edges)).mode & 0o777, (await stat(operators)).mode & 0o777]).toEqual([0o660, 0o600]);
  });

  test("over TLS it is the name in the certificate: lease by default, operate where it is spelled", async () => {
    const { issuer } = issuing({ clock: realClock, entries: [entryOf({ ttlSeconds: 60 })] });
    const server = await CustodyServer.start({
      issuer,
      address: { kind: "tcp", host: "127.0.0.1", port: 0 },
      tls: { certificate: tls.server.certificate, key: tls.server.key, clientCa: tls.ca.certificate },
      callers: [
        { name: "edge-1.internal", tenants: null },
        { name: "edge-9.internal", tenants: null, may: ["operate"] },
      ],
      clock: realClock,
      events,
      health,
    });
    closers.push(() => server.close(1_000));
    const port = Number(server.address.split(":")[1]);
    const lease = await ask(port, "POST", "/v1/leases", leaseBody());
    expect(lease.status).toBe(200);
    expect((await ask(port, "GET", "/v1/leases")).status).toBe(403);
    expect((await ask(port, "GET", "/v1/leases", undefined, tls.unknownEdge)).json).toMatchObject({ total: 1 });
    expect((await ask(port, "POST", "/v1/leases", leaseBody(), tls.unknownEdge)).status).toBe(403);
    // Another edge neither renews nor releases what is not its own, and is not told that it is there.
    server.useCallers([
      { name: "edge-1.internal", tenants: null },
      { name: "edge-9.internal", tenants: null, may: ["lease", "operate"] },
    ]);
    for (const what of ["renew", "release"]) {
      const path = `/v1/leases/${lease.json["lease_id"] as string}/${what}`;
      const body = { session: "s1", tenant: "acme" };
      expect(await ask(port, "POST", path, body, tls.unknownEdge)).toMatchObject({
        status: 404,
        json: { reason: "lease_unknown" },
      });
      expect((await ask(port, "POST", path, body)).status).toBe(200);
    }
  });
});

describe("what becomes of a lease", () => {
  test("renewed within 15 minutes of its issue in all, and recorded", async () => {
    const clock = new ManualClock();
    const { custody, audit } = await bench({ clock, entries: [entryOf({ ttlSeconds: 600 })] });
    const { leaseId } = await custody.lease(requestOf(), calm());
    clock.advance(500_000);
    expect(await custody.renew(held(leaseId), calm())).toBe(400_000);
    expect(audit.events.map(({ type, ttlMs }) => [type, ttlMs])).toEqual([
      ["lease_issued", 600_000],
      ["lease_renewed", 400_000],
    ]);
    expect(await denialOf(() => custody.renew(held(leaseId), calm()))).toMatchObject({ reason: "lease_at_its_end" });
    clock.advance(400_000);
    expect(await denialOf(() => custody.renew(held(leaseId), calm()))).toMatchObject({ reason: "lease_expired" });
    clock.advance(120_000);
    expect(await denialOf(() => custody.renew(held(leaseId), calm()))).toMatchObject({ reason: "lease_unknown" });
  });

  test("neither set back nor forward does the wall clock change the life of one", async () => {
    const clock = new ManualClock();
    const { custody, issuer } = await bench({ clock, entries: [entryOf({ ttlSeconds: 600 })] });
    const { leaseId, ttlMs } = await custody.lease(requestOf(), calm());
    expect(ttlMs).toBe(600_000);
    clock.setWall(-3_600_000);
    expect((await custody.lease(requestOf(), calm())).ttlMs).toBe(600_000);
    clock.advance(300_000);
    expect(await custody.renew(held(leaseId), calm())).toBe(600_000);
    clock.setWall(7_200_000);
    clock.advance(599_999);
    expect(issuer.ledger.size).toBe(1);
    clock.advance(1_001);
    expect(issuer.ledger.size).toBe(0);
  });

  test.each(["renew", "release"] as const)(
    "%s: of another session it is refused, and nothing happens",
    async (what) => {
      const { custody, audit } = await bench({ entries: [entryOf({ ttlSeconds: 60 })] });
      const { leaseId } = await custody.lease(requestOf(), calm());
      for (const other of [{ session: "s2" }, { tenant: "globex" }])
        expect(await denialOf(() => custody[what]({ ...held(leaseId), ...other }, calm()))).toMatchObject({
          reason: "session_mismatch",
        });
      expect(audit.events).toHaveLength(1);
      await custody[what](held(leaseId), calm());
    },
  );

  test("not renewed past what its material is good for, however long its record took", async () => {
    const clock = new ManualClock();
    const { custody, issuer, audit } = await bench({ clock, entries: [entryOf({ ttlSeconds: 60 })] });
    const item = issuer.catalogue.find("key");
    if (item === undefined) throw new Error("the catalogue has it");
    const mint = item.minter.mint.bind(item.minter);
    item.minter.mint = async (...args) => ({ ...(await mint(...args)), expiresAtMs: clock.monotonicMs() + 100_000 });
    const record = audit.record.bind(audit);
    audit.record = async (event) => {
      if (event.type === "lease_issued") clock.advance(5_000);
      await record(event);
    };
    const { leaseId } = await custody.lease(requestOf(), calm());
    clock.advance(50_000);
    expect(await custody.renew(held(leaseId), calm())).toBe(45_000);
  });

  test("of a helper's credential ends when the helper said, whatever the wall clock says by then", async () => {
    const clock = new ManualClock();
    const at = new Date(clock.wallMs() + 300_000).toISOString();
    const told = JSON.stringify({ token: "t", expires_at: at });
    const command = [process.execPath, "-e", `process.stdout.write(${JSON.stringify(told)})`];
    const entries = [entryOf({ source: { from: "exec", command, timeoutMs: 20_000 } })];
    const { custody } = await bench({ clock, entries, environment: { ...process.env } });
    expect((await custody.lease(requestOf(), calm())).ttlMs).toBe(300_000);
    clock.advance(100_000);
    for (const ms of [-3_600_000, 7_200_000]) {
      clock.setWall(ms);
      // What the helper said is held until half of its time, on the monotonic clock.
      expect((await custody.lease(requestOf(), calm())).ttlMs).toBe(200_000);
    }
  });

  test("released: over at once, given back once, recorded, and unknown afterwards", async () => {
    const { custody, issuer, audit } = await bench();
    let released = 0;
    const item = issuer.catalogue.find("key");
    if (item === undefined) throw new Error("the catalogue has it");
    const mint = item.minter.mint.bind(item.minter);
    item.minter.mint = async (...args) => ({ ...(await mint(...args)), release: async () => void released++ });
    const { leaseId } = await custody.lease(requestOf(), calm());
    await custody.release(held(leaseId), calm());
    expect(await denialOf(() => custody.release(held(leaseId), calm()))).toMatchObject({ reason: "lease_unknown" });
    expect(await denialOf(() => custody.renew(held(leaseId), calm()))).toMatchObject({ reason: "lease_unknown" });
    expect([released, issuer.ledger.size]).toEqual([1, 0]);
    expect(audit.events.map(({ type }) => type)).toEqual(["lease_issued", "lease_released"]);
  });

  test.each(["renew", "release"] as const)("%s: without a record nothing happens", async (what) => {
    const clock = new ManualClock();
    const { custody, issuer, audit } = await bench({ clock, entries: [entryOf({ ttlSeconds: 60 })] });
    const { leaseId } = await custody.lease(requestOf(), calm());
    clock.advance(30_000);
    audit.failing = true;
    expect(await denialOf(() => custody[what](held(leaseId), calm()))).toMatchObject({ reason: "audit_unavailable" });
    audit.failing = false;
    const lease = issuer.ledger.find(leaseId);
    expect(lease === undefined ? null : [issuer.ledger.isLive(lease), issuer.ledger.leftMs(lease)]).toEqual([
      true,
      30_000,
    ]);
  });

  test("not renewed once the catalogue gives it no longer", async () => {
    const { custody, issuer, environment } = await bench();
    const { leaseId } = await custody.lease(requestOf(), calm());
    const context = { clock: realClock, environment, uid: null, warn: () => undefined };
    issuer.useCatalogue(issuer.catalogue.succeededBy([entryOf({ tenants: ["globex"] })], context));
    expect(await denialOf(() => custody.renew(held(leaseId), calm()))).toMatchObject({ reason: "tenant_not_allowed" });
    issuer.useCatalogue(issuer.catalogue.succeededBy([], context));
    expect(await denialOf(() => custody.renew(held(leaseId), calm()))).toMatchObject({ reason: "credential_unknown" });
  });

  test("not renewed once its entry is another one, which may give less, or from another root", async () => {
    const { custody, issuer, environment } = await bench({ entries: [entryOf({ ttlSeconds: 60 })] });
    const { leaseId } = await custody.lease(requestOf(), calm());
    const context = { clock: realClock, environment, uid: null, warn: () => undefined };
    const other = entryOf({ ttlSeconds: 60, source: { from: "env", variable: "OTHER" } });
    issuer.useCatalogue(issuer.catalogue.succeededBy([other], context));
    expect(await denialOf(() => custody.renew(held(leaseId), calm()))).toMatchObject({ reason: "lease_at_its_end" });
    await custody.release(held(leaseId), calm());
  });

  test("of material that is about to end lives no longer than that, however long its record took", async () => {
    const clock = new ManualClock();
    const { custody, issuer, audit } = await bench({ clock });
    const item = issuer.catalogue.find("key");
    if (item === undefined) throw new Error("the catalogue has it");
    const mint = item.minter.mint.bind(item.minter);
    const released: string[] = [];
    item.minter.mint = async (...args) => ({
      ...(await mint(...args)),
      expiresAtMs: clock.monotonicMs() + 60_000,
      release: async () => void released.push("minted"),
    });
    const record = audit.record.bind(audit);
    let tookMs = 20_000;
    audit.record = async (event) => {
      if (event.type === "lease_issued") clock.advance(tookMs);
      await record(event);
    };
    const { leaseId, ttlMs } = await custody.lease(requestOf(), calm());
    expect(ttlMs).toBe(40_000);
    clock.advance(20_000);
    expect(await denialOf(() => custody.renew(held(leaseId), calm()))).toMatchObject({ reason: "lease_at_its_end" });
    tookMs = 59_500;
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ reason: "source_unavailable" });
    expect(issuer.ledger.size).toBe(0);
    expect(released).toHaveLength(2);
  });

  test("a rotated root leaves it alone: it is renewed and released as before, and the next one is of the new root", async () => {
    const { custody, issuer, environment } = await bench({ entries: [entryOf({ ttlSeconds: 60 })] });
    const { leaseId } = await custody.lease(requestOf(), calm());
    environment["ROOT"] = "another-root-after-rotation";
    expect(await custody.renew(held(leaseId), calm())).toBeGreaterThan(50_000);
    expect(issuer.ledger.size).toBe(1);
    const next = await custody.lease(requestOf(), calm());
    expect(next.material.kind === "token" && next.material.token.reveal()).toBe("another-root-after-rotation");
    await custody.release(held(leaseId), calm());
  });

  test("one whose edge went away while it was issued is over", async () => {
    const { custody, issuer, audit } = await bench();
    const door = gate();
    const entered = gate();
    const record = audit.record.bind(audit);
    audit.record = async (event) => {
      if (event.type === "lease_issued") {
        entered.open();
        await door.opened;
      }
      await record(event);
    };
    let isGone = (): boolean => false;
    const issue = issuer.issue.bind(issuer);
    issuer.issue = (caller, request, signal) => {
      isGone = () => signal.aborted;
      return issue(caller, request, signal);
    };
    const leaving = new AbortController();
    const asked = custody.lease(requestOf(), leaving.signal);
    await entered.opened;
    leaving.abort();
    await expect(asked).rejects.toThrow();
    // The server hears of it on its own time.
    await expect.poll(() => isGone()).toBe(true);
    door.open();
    await expect.poll(() => audit.events.map(({ type }) => type)).toEqual(["lease_issued", "lease_released"]);
    expect(issuer.ledger.size).toBe(0);
  });
});

describe("a revocation", () => {
  const revoke = (on: string, scope: string, value?: string) =>
    ask(on, "POST", "/v1/revocations", { scope, ...(value === undefined ? {} : { value }), reason: "found in a log" });

  test.each([
    ["session", "s1", "session_revoked"],
    ["tenant", "acme", "tenant_revoked"],
    ["credential", "key", "credential_revoked"],
    ["all", undefined, "custody_revoked"],
  ])("of %s ends what is out, refuses what is new, until it is lifted", async (scope, value, reason) => {
    const { custody, operators, audit, issuer } = await bench();
    const { leaseId } = await custody.lease(requestOf(), calm());
    const made = await revoke(operators, scope, value);
    expect(made).toMatchObject({ status: 200, json: { scope, leases_ended: 1, by: "operator" } });
    expect(issuer.ledger.size).toBe(0);
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ reason, code: "lease_denied" });
    for (const what of ["renew", "release"] as const)
      expect(await denialOf(() => custody[what](held(leaseId), calm()))).toMatchObject({ reason });
    const id = made.json["id"] as string;
    expect((await ask(operators, "GET", "/v1/revocations")).json).toMatchObject({
      total: 1,
      revocations: [{ id, scope }],
    });
    expect((await ask(operators, "DELETE", `/v1/revocations/${id}`)).json).toMatchObject({ id });
    expect((await ask(operators, "DELETE", `/v1/revocations/${id}`)).status).toBe(404);
    await custody.lease(requestOf(), calm());
    // What was ended stays ended.
    expect(await denialOf(() => custody.renew(held(leaseId), calm()))).toMatchObject({ reason: "lease_revoked" });
    expect(audit.operations.map(({ type }) => type)).toEqual(["revocation_made", "revocation_lifted"]);
  });

  test("of one lease leaves the others alone", async () => {
    const { custody, operators } = await bench({ entries: [entryOf({ ttlSeconds: 60 })] });
    const [a, b] = [await custody.lease(requestOf(), calm()), await custody.lease(requestOf(), calm())];
    expect((await revoke(operators, "lease", a.leaseId)).json).toMatchObject({ leases_ended: 1 });
    expect(await denialOf(() => custody.renew(held(a.leaseId), calm()))).toMatchObject({ reason: "lease_revoked" });
    await custody.renew(held(b.leaseId), calm());
  });

  test("without a record nothing is revoked, and nothing is lifted", async () => {
    const { custody, operators, audit } = await bench();
    audit.failing = true;
    expect(await revoke(operators, "all")).toMatchObject({ status: 503, json: { reason: "audit_unavailable" } });
    audit.failing = false;
    await custody.lease(requestOf(), calm());
    const { json } = await revoke(operators, "all");
    audit.failing = true;
    expect((await ask(operators, "DELETE", `/v1/revocations/${json["id"] as string}`)).status).toBe(503);
    audit.failing = false;
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ reason: "custody_revoked" });
  });

  test("without a state file to write nothing is revoked", async () => {
    const path = join(directory, "closed.state");
    const revocations = await Revocations.open(path, { clock: realClock, randomBytes });
    const { custody, operators, issuer } = await bench({ revocations });
    await revocations.close();
    expect(await revoke(operators, "all")).toMatchObject({ status: 503, json: { reason: "state_unavailable" } });
    expect(issuer.revocations.size).toBe(0);
    await custody.lease(requestOf(), calm());
  });

  test.each(["while it is minted", "while it is recorded"])("that comes %s stops the lease", async (when) => {
    const { custody, operators, issuer, audit } = await bench();
    const door = gate();
    const entered = gate();
    const wait = async (): Promise<void> => {
      entered.open();
      await door.opened;
    };
    let released = 0;
    const item = issuer.catalogue.find("key");
    if (item === undefined) throw new Error("the catalogue has it");
    const mint = item.minter.mint.bind(item.minter);
    item.minter.mint = async (...args) => {
      if (when === "while it is minted") await wait();
      return { ...(await mint(...args)), release: async () => void released++ };
    };
    const record = audit.record.bind(audit);
    audit.record = async (event) => {
      if (when === "while it is recorded" && event.type === "lease_issued") await wait();
      await record(event);
    };
    const asked = denialOf(() => custody.lease(requestOf(), calm()));
    await entered.opened;
    await revoke(operators, "session", "s1");
    door.open();
    expect(await asked).toMatchObject({ reason: "session_revoked" });
    expect([released, issuer.ledger.size]).toEqual([1, 0]);
    expect(audit.events.at(-1)).toMatchObject({ type: "lease_refused", reason: "session_revoked" });
  });

  test.each(["renew", "release"] as const)("that comes while a %s is recorded is what counts", async (what) => {
    const { custody, operators, issuer, audit } = await bench({ entries: [entryOf({ ttlSeconds: 60 })] });
    const { leaseId } = await custody.lease(requestOf(), calm());
    const door = gate();
    const entered = gate();
    const record = audit.record.bind(audit);
    audit.record = async (event) => {
      if (event.type === "lease_renewed" || event.type === "lease_released") {
        entered.open();
        await door.opened;
      }
      await record(event);
    };
    const asked = denialOf(() => custody[what](held(leaseId), calm()));
    await entered.opened;
    await revoke(operators, "session", "s1");
    door.open();
    expect(await asked).toMatchObject({ reason: "session_revoked" });
    expect(issuer.ledger.size).toBe(0);
  });

  test("reaches an edge that waits at the feed, and every later one by its cursor", async () => {
    const { custody, operators } = await bench();
    const { cursor } = await custody.revocations(null, 0, calm());
    const waiting = custody.revocations(cursor, 20_000, calm());
    await revoke(operators, "session", "s1");
    const page = await waiting;
    expect(page).toMatchObject({
      reset: false,
      changes: [{ type: "revoked", scope: "session", value: "s1", tenant: null }],
    });
    expect(await custody.revocations(cursor, 0, calm())).toEqual(page);
    expect(await custody.revocations("ffffffffffffffff.7", 0, calm())).toMatchObject({
      reset: true,
      cursor: page.cursor,
    });
  });

  test("a drain answers who waits at the feed", async () => {
    const { custody, issuer } = await bench();
    const { cursor } = await custody.revocations(null, 0, calm());
    const waiting = custody.revocations(cursor, 20_000, calm());
    await expect.poll(() => issuer.revocations.feed.waiting).toBe(1);
    for (const close of closers.splice(0, 2)) await close();
    // An empty page, or a connection that was refused in that very moment; but never a wait.
    await waiting.then(
      (page) => expect(page.changes).toEqual([]),
      (thrown: unknown) => expect(thrown).toMatchObject({ code: "custody_unavailable" }),
    );
  });
});

describe("an approval", () => {
  const entries = [entryOf({ approval: true })];
  const signed: MintSpec = { as: "signed_jwt", template: templateOf(), type: "JWT", scopes: ["read", "write"] };

  test("is asked for, listed, given, and good for one lease that is bound to its methods", async () => {
    const { custody, operators, audit } = await bench({ entries });
    const pending = await denialOf(() => custody.lease(requestOf(), calm()));
    expect(pending).toMatchObject({ code: "approval_pending", reason: "approval_pending" });
    const approvals = await waiting(operators);
    expect(approvals).toMatchObject([
      { state: "pending", edge: "unix", session: "s1", credential: "key", method_class: "read" },
    ]);
    const path = `/v1/approvals/${approvals[0]?.id}/approve`;
    expect((await ask(operators, "POST", path)).json).toMatchObject({ state: "approved" });
    expect((await ask(operators, "POST", path)).status).toBe(404);
    expect(await denialOf(() => custody.lease(requestOf({ methodClass: "write" }), calm()))).toMatchObject({
      reason: "approval_pending",
    });
    const grant = await custody.lease(requestOf(), calm());
    expect(grant.binding).toEqual({ type: "method_class", value: "read" });
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ reason: "approval_pending" });
    // A longer life was not what somebody said yes to.
    expect(await denialOf(() => custody.renew(held(grant.leaseId), calm()))).toMatchObject({
      reason: "approval_pending",
    });
    expect(audit.operations).toMatchObject([{ type: "approval_granted", caller: "operator" }]);
  });

  test("that is denied is refused as such", async () => {
    const { custody, operators } = await bench({ entries });
    await denialOf(() => custody.lease(requestOf(), calm()));
    const approvals = await waiting(operators);
    await ask(operators, "POST", `/v1/approvals/${approvals[0]?.id}/deny`);
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({
      code: "lease_denied",
      reason: "approval_denied",
    });
  });

  test("without a record is none, and one whose lease could not be issued is there for the next", async () => {
    const { custody, operators, audit, environment } = await bench({ entries });
    await denialOf(() => custody.lease(requestOf(), calm()));
    const approvals = await waiting(operators);
    const path = `/v1/approvals/${approvals[0]?.id}/approve`;
    audit.failing = true;
    expect((await ask(operators, "POST", path)).status).toBe(503);
    audit.failing = false;
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ reason: "approval_pending" });
    await ask(operators, "POST", path);
    const root = environment["ROOT"];
    delete environment["ROOT"];
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ reason: "source_unavailable" });
    environment["ROOT"] = root;
    await custody.lease(requestOf(), calm());
  });

  test("tells who and what it is for, and the record does", async () => {
    const { custody, operators, audit } = await bench({ entries: [entryOf({ approval: true, mint: signed })] });
    await denialOf(() => custody.lease(requestOf({ narrow: { scopes: ["read"] } }), calm()));
    const approvals = await waiting(operators);
    expect(approvals).toMatchObject([{ workspace: "w", subject: "agent", narrow: { scopes: ["read"] } }]);
    await ask(operators, "POST", `/v1/approvals/${approvals[0]?.id}/approve`);
    expect(audit.operations).toMatchObject([
      { facts: { workspace: "w", subject: "agent", narrow: '[["scopes",["read"]]]' } },
    ]);
    // What is as wide as the entry is more than somebody said yes to.
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ reason: "approval_pending" });
  });

  test("was to the entry as it was: one that was changed is asked for again", async () => {
    const { custody, operators, issuer, environment } = await bench({ entries: [...entries, entryOf({ name: "b" })] });
    await denialOf(() => custody.lease(requestOf(), calm()));
    const [approval] = await waiting(operators);
    await ask(operators, "POST", `/v1/approvals/${approval?.id}/approve`);
    const context = { clock: realClock, environment, uid: null, warn: () => undefined };
    const reload = (change: Parameters<typeof entryOf>[0]) =>
      issuer.useCatalogue(issuer.catalogue.succeededBy([entryOf({ approval: true, ...change })], context));
    reload({});
    expect(await waiting(operators)).toHaveLength(1);
    reload({ ttlSeconds: 899 });
    expect(await waiting(operators)).toEqual([]);
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ reason: "approval_pending" });
  });

  test("that two decide at once is decided and recorded once", async () => {
    const { custody, operators, audit } = await bench({ entries });
    await denialOf(() => custody.lease(requestOf(), calm()));
    const [approval] = await waiting(operators);
    const door = gate();
    const inside = gate();
    const operated = audit.operated.bind(audit);
    audit.operated = async (event) => {
      inside.open();
      await door.opened;
      await operated(event);
    };
    const yes = ask(operators, "POST", `/v1/approvals/${approval?.id}/approve`);
    await inside.opened;
    expect((await ask(operators, "POST", `/v1/approvals/${approval?.id}/deny`)).status).toBe(404);
    door.open();
    expect((await yes).json).toMatchObject({ state: "approved" });
    expect(audit.operations.map(({ type }) => type)).toEqual(["approval_granted"]);
  });

  test("of a session that is revoked is gone", async () => {
    const { custody, operators, issuer } = await bench({ entries });
    await denialOf(() => custody.lease(requestOf(), calm()));
    await ask(operators, "POST", "/v1/revocations", { scope: "session", value: "s1", reason: "test" });
    expect(issuer.approvals.size).toBe(0);
  });
});

describe("one caller does not starve another", () => {
  test("each has its own bucket, and is told when to come back", async () => {
    const clock = new ManualClock();
    const limits = { requestsPerSecond: 1, burst: 3, issuesAtOnce: 128 };
    const { edges, operators } = await bench({ clock, limits });
    let sessions = 0;
    const lease = () => {
      const session = { ...requestOf().session, id: `s${sessions++}` };
      return ask(edges, "POST", "/v1/leases", leaseBody({ session }));
    };
    const statuses = [];
    for (let i = 0; i < 5; i++) statuses.push((await lease()).status);
    expect(statuses).toEqual([200, 200, 200, 429, 429]);
    const refused = await lease();
    expect([refused.json["reason"], refused.headers["retry-after"]]).toEqual(["overloaded", "1"]);
    expect((await ask(operators, "GET", "/v1/leases")).status).toBe(200);
    clock.advance(1_000);
    expect((await lease()).status).toBe(200);
  });

  test("nor does one session of a caller: it takes its share, and none of the others'", async () => {
    const clock = new ManualClock();
    const { edges, audit } = await bench({ clock, limits: { requestsPerSecond: 4, burst: 8, issuesAtOnce: 128 } });
    const lease = (id: string) =>
      ask(edges, "POST", "/v1/leases", leaseBody({ session: { ...requestOf().session, id } }));
    const statuses = [];
    for (let i = 0; i < 20; i++) statuses.push((await lease("greedy")).status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(2);
    expect([(await lease("a")).status, (await lease("b")).status, (await lease("c")).status]).toEqual([200, 200, 200]);
    const refused = await lease("greedy");
    expect([refused.status, refused.headers["retry-after"]]).toEqual([429, "1"]);
    clock.advance(1_000);
    expect((await lease("greedy")).status).toBe(200);
    // What is refused for that costs no record either.
    expect(audit.events.every(({ type }) => type === "lease_issued")).toBe(true);
  });

  test("and so many issues at once", async () => {
    const { custody, audit } = await bench({ limits: { requestsPerSecond: 1_000, burst: 1_000, issuesAtOnce: 2 } });
    const door = gate();
    const record = audit.record.bind(audit);
    let inside = 0;
    const two = gate();
    audit.record = async (event) => {
      if (event.type === "lease_issued" && ++inside === 2) two.open();
      await door.opened;
      await record(event);
    };
    const running = [custody.lease(requestOf(), calm()), custody.lease(requestOf(), calm())];
    await two.opened;
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ reason: "overloaded" });
    door.open();
    await Promise.all(running);
    await custody.lease(requestOf(), calm());
  });

  test("also while a disk hangs: what nobody waits for any more still counts until it is over", async () => {
    const { custody, audit, issuer } = await bench({
      limits: { requestsPerSecond: 1_000, burst: 1_000, issuesAtOnce: 2 },
    });
    const door = gate();
    const record = audit.record.bind(audit);
    const recording: Promise<void>[] = [];
    let inside = 0;
    const two = gate();
    audit.record = (event) => {
      const written = door.opened.then(() => record(event));
      recording.push(written);
      if (event.type === "lease_issued" && ++inside === 2) two.open();
      return written;
    };
    const gone = new AbortController();
    const running = [custody.lease(requestOf(), gone.signal), custody.lease(requestOf(), gone.signal)];
    await two.opened;
    gone.abort();
    await Promise.allSettled(running);
    // Its connections are gone, and custody knows.
    await expect.poll(() => denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ reason: "overloaded" });
    expect(inside).toBe(2);
    door.open();
    await Promise.all(recording);
    await expect.poll(() => issuer.ledger.size).toBe(0);
    await custody.lease(requestOf(), calm());
  });
});

describe("bad input", () => {
  test.each<[string, string, unknown]>([
    ["POST", "/v1/leases/x/renew", undefined],
    ["POST", "/v1/leases/x/renew", {}],
    ["POST", "/v1/leases/x/renew", { session: "s1", tenant: "acme", host: "h" }],
    ["POST", "/v1/leases/x/release", { session: ["s1"], tenant: "acme" }],
    ["POST", `/v1/leases/${"x".repeat(400)}/release`, { session: "s1", tenant: "acme" }],
    ["POST", "/v1/leases/%00/release", { session: "s1", tenant: "acme" }],
    ["POST", "/v1/leases/%zz/release", { session: "s1", tenant: "acme" }],
    ["GET", "/v1/revocations/feed?after=a&after=b", undefined],
    ["GET", "/v1/revocations/feed?wait_ms=-1", undefined],
    ["GET", "/v1/revocations/feed?wait_ms=30001", undefined],
    ["GET", "/v1/revocations/feed?wait_ms=1e3", undefined],
    ["GET", "/v1/revocations/feed?surprise=1", undefined],
    ["GET", `/v1/revocations/feed?after=${"9".repeat(65)}`, undefined],
  ])("%s %s", async (method, path, body) => {
    const { edges, audit } = await bench();
    expect(await ask(edges, method, path, body)).toMatchObject({ status: 400, json: { reason: "request_malformed" } });
    expect(audit.events).toEqual([]);
  });

  test.each<[unknown]>([
    [{ scope: "all", value: "x", reason: "r" }],
    [{ scope: "session", reason: "r" }],
    [{ scope: "session", value: "", reason: "r" }],
    [{ scope: "credential", value: "x", tenant: "acme", reason: "r" }],
    [{ scope: "host", value: "x", reason: "r" }],
    [{ scope: "all" }],
    [{ scope: "all", reason: "" }],
    [{ scope: "all", reason: "two\nlines" }],
    [{ scope: "all", reason: "x".repeat(201) }],
    [{ scope: "session", value: "x".repeat(257), reason: "r" }],
    [{ scope: "all", reason: "r", until: 1 }],
    [[{ scope: "all", reason: "r" }]],
    ["{"],
  ])("a revocation that says %j", async (body) => {
    const { operators, issuer } = await bench();
    expect((await ask(operators, "POST", "/v1/revocations", body)).status).toBe(400);
    expect(issuer.revocations.size).toBe(0);
  });

  test("no path, method and body at random changes anything", async () => {
    const clock = new ManualClock();
    const { edges, operators, issuer, audit, custody } = await bench({ clock });
    const { leaseId } = await custody.lease(requestOf(), calm());
    const piece = fc.oneof(
      fc.constantFrom(
        "leases",
        "revocations",
        "feed",
        "approvals",
        "renew",
        "release",
        "approve",
        "deny",
        leaseId,
        "..",
        "",
      ),
      fc.string({ maxLength: 12 }).map(encodeURIComponent),
    );
    const path = fc.array(piece, { maxLength: 4 }).map((pieces) => `/v1/${pieces.join("/")}`);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(edges, operators),
        fc.constantFrom("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"),
        path,
        fc.option(fc.oneof(fc.json(), fc.string())),
        async (on, method, path, body) => {
          clock.advance(10);
          const { status } = await ask(on, method, path, body ?? undefined);
          expect(status).toBeGreaterThanOrEqual(200);
          expect(status).toBeLessThan(500);
        },
      ),
      { numRuns: 300 },
    );
    expect([issuer.ledger.size, issuer.revocations.size, issuer.approvals.size, audit.operations.length]).toEqual([
      1, 0, 0, 0,
    ]);
  });
});
