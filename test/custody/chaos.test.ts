import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Denial } from "../../src/core/denial.ts";
import type { Lease, Permit } from "../../src/core/exchange.ts";
import { LeaseKeeper } from "../../src/custody/keeper.ts";
import type { KeeperOptions } from "../../src/custody/keeper-options.ts";
import { RemoteCustody } from "../../src/custody/remote.ts";
import { ManualClock, realClock } from "./support/clocks.ts";
import { type CustodyTls, makeCustodyTls } from "./support/custody-tls.ts";
import { denialOf } from "./support/denials.ts";
import {
  answer,
  type Behaviour,
  bytes,
  grantHonestly,
  honestGrant,
  hostileCustody,
  type HostileCustody,
} from "./support/hostile-custody.ts";
import { permitOf } from "./support/permits.ts";

/** The keeper over the real client against a custody that is down, broken or hostile: exact denials, never a lease. */

/** What the hostile custody hands out; it may be in no text that anybody can read. */
const SECRET = "stolen-5f21c07e";
const told: string[] = [];

let tls: CustodyTls;
beforeAll(async () => {
  tls = await makeCustodyTls();
});
afterAll(async () => {
  await tls.remove();
  expect(told.length).toBeGreaterThan(30);
  for (const text of told) expect(text).not.toContain(SECRET);
});

let custody: HostileCustody;
let remote: RemoteCustody;
let keeper: LeaseKeeper;
const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Keeper, client and hostile custody over TLS; the breaker stays out of the way unless a test wants it. */
async function start(options: Partial<KeeperOptions> & { readonly timeoutMs?: number } = {}): Promise<void> {
  custody = await hostileCustody({ leaf: tls.server });
  connectTo({ kind: "tcp", host: "127.0.0.1", port: custody.port }, options);
  closers.push(() => custody.kill());
}

function connectTo(
  address: ConstructorParameters<typeof RemoteCustody>[0]["address"],
  { timeoutMs = 10_000, ...options }: Partial<KeeperOptions> & { readonly timeoutMs?: number },
): void {
  remote = new RemoteCustody({ address, tls: address.kind === "unix" ? null : tls.client, timeoutMs });
  keeper = new LeaseKeeper({
    custodies: new Map([["main", remote]]),
    clock: realClock,
    random: () => 0.5,
    tickMs: 0,
    breakerFailures: 1_000,
    events: {
      failed: (...facts) => told.push(inspect(facts, { depth: 10 })),
      granted: (...facts) => told.push(inspect(facts, { depth: 10 })),
    },
    ...options,
  });
  closers.push(
    () => keeper.close(),
    () => remote.close(),
  );
}

/** The refusal of one exchange; everything that it tells is kept for the search at the end. */
async function refusal(permit: Permit = permitOf()): Promise<Denial> {
  const denial = await denialOf(() => keeper.lease(permit));
  told.push(denial.message, denial.detail ?? "", inspect(denial, { depth: 10 }), denial.stack ?? "");
  return denial;
}

async function leaseOrNull(): Promise<Lease | null> {
  try {
    return await keeper.lease(permitOf());
  } catch {
    return null;
  }
}

async function recovers(): Promise<void> {
  custody.behave = grantHonestly();
  let lease: Lease | null = null;
  for (let attempt = 0; lease === null && attempt < 50; attempt++) {
    lease = await leaseOrNull();
    if (lease === null) await new Promise((done) => setTimeout(done, 20));
  }
  expect(lease?.isLive(realClock.monotonicMs())).toBe(true);
}

/** Connections of the custody, once one that begins now is among them: they are accepted in order. */
async function connectionsWithOneMore(): Promise<number> {
  const socket = connect(custody.port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  await expect.poll(() => custody.hasAccepted(socket.localPort)).toBe(true);
  socket.destroy();
  return custody.connections();
}

/** For a custody that never answers. A busy machine may take longer for a good answer: what must be good is asked again. */
const unanswered = { timeoutMs: 300 };

/** A lease that is right in itself, in an answer that is not. */
function whole(status: number, type = "application/json", pad = 0): Behaviour {
  return (asked, socket) => {
    const grant = asked.path === "/v1/health" ? { status: "ok" } : honestGrant(asked, SECRET);
    answer(status, `${JSON.stringify(grant)}${" ".repeat(pad)}`, type)(asked, socket);
  };
}

describe("custody is down or broken", () => {
  beforeEach(() => start());

  test("killed: refused, and found again once it is back", async () => {
    await custody.kill();
    expect((await refusal()).code).toBe("custody_unavailable");
    await custody.revive();
    await recovers();
  });

  test("killed while it is being asked", async () => {
    custody.behave = (_asked, socket) => socket.destroy();
    expect((await refusal()).code).toBe("custody_unavailable");
    expect(custody.asked).toHaveLength(1);
    await recovers();
  });

  test("cut off in the middle of its answer", async () => {
    const grant = JSON.stringify({ material: { token: SECRET } });
    custody.behave = bytes(
      `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n${grant}`,
      true,
    );
    expect((await refusal()).code).toBe("custody_unavailable");
    await recovers();
  });

  test.each<[string, ReturnType<typeof bytes>]>([
    ["500 with a body", answer(500, `{"error":"${SECRET}"}`)],
    ["500 with a whole lease", whole(500)],
    ["203 with a whole lease", whole(203)],
    ["a whole lease as another type of content", whole(200, "text/plain")],
    ["a whole lease in an oversize answer", whole(200, "application/json", 70_000)],
    ["503 without a body", answer(503, "")],
    ["404", answer(404, "not found", "text/html")],
    [
      "a redirect",
      bytes("HTTP/1.1 307 X\r\nlocation: https://evil.example.com/v1/leases\r\ncontent-length: 0\r\n\r\n"),
    ],
    ["201 instead of 200", answer(201, "{}")],
    ["204", bytes("HTTP/1.1 204 No Content\r\n\r\n")],
    ["garbage bytes", bytes(Buffer.from(`\x00\xff\x16\x03${SECRET}\r\n\r\n`, "latin1"))],
    ["a banner of another protocol", bytes(`220 mail ready ${SECRET}\r\n`, true)],
    ["both lengths", bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")],
    ["two different lengths", bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}")],
    ["a huge head", bytes(`HTTP/1.1 200 OK\r\nx: ${"h".repeat(100_000)}\r\ncontent-length: 2\r\n\r\n{}`)],
    ["text that is no JSON", answer(200, `token=${SECRET}`)],
    ["JSON cut off", answer(200, `{"material":{"token":"${SECRET}"`)],
    ["an empty body", answer(200, "")],
    ["null", answer(200, "null")],
    ["a list", answer(200, `["${SECRET}"]`)],
    ["another shape", answer(200, `{"token":"${SECRET}"}`)],
    ["another type of content", answer(200, `{"token":"${SECRET}"}`, "text/html")],
    ["an oversize answer", answer(200, `{"token":"${SECRET}","pad":"${"x".repeat(80_000)}"}`)],
    [
      "an oversize answer of unknown length",
      bytes(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n${SECRET.repeat(8_000)}`, true),
    ],
    [
      "a refusal under 200",
      answer(200, '{"type":"about:blank","title":"t","status":403,"code":"lease_denied","reason":"scope_not_allowed"}'),
    ],
    [
      "a refusal whose status lies",
      answer(
        403,
        '{"type":"about:blank","title":"t","status":503,"code":"lease_denied","reason":"scope_not_allowed"}',
        "application/problem+json",
      ),
    ],
    [
      "a refusal with an unknown reason",
      answer(
        403,
        `{"type":"about:blank","title":"t","status":403,"code":"lease_denied","reason":"${SECRET}"}`,
        "application/problem+json",
      ),
    ],
    [
      "a refusal whose code lies",
      answer(
        403,
        '{"type":"about:blank","title":"t","status":403,"code":"custody_unavailable","reason":"scope_not_allowed"}',
        "application/problem+json",
      ),
    ],
  ])("%s is no answer: refused, nothing kept, and well again afterwards", async (_what, behaviour) => {
    custody.behave = behaviour;
    const denial = await refusal();
    expect(denial.code).toBe("custody_unavailable");
    expect(keeper.size).toBe(0);
    await recovers();
  });
});

describe("custody never answers", () => {
  beforeEach(() => start(unanswered));

  test("hung: accepts, reads and never answers", async () => {
    custody.behave = () => undefined;
    const denial = await refusal();
    expect(denial.code).toBe("custody_unavailable");
    expect(denial.detail).toMatch(/in time|within/);
    await recovers();
  });

  test("hung in the middle of its answer", async () => {
    custody.behave = bytes(
      'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"lease_id":',
    );
    expect((await refusal()).code).toBe("custody_unavailable");
    await recovers();
  });

  test("slow: one byte at a time, each in time, the whole too late", async () => {
    custody.behave = (_asked, socket) => {
      const text = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n${"x".repeat(400)}`;
      let at = 0;
      const drip = setInterval(() => socket.write(text[at++] ?? ""), 5);
      socket.on("close", () => clearInterval(drip));
    };
    expect((await refusal()).code).toBe("custody_unavailable");
    await recovers();
  });

  test("never ends its 1xx answers", async () => {
    custody.behave = (_asked, socket) => {
      const drip = setInterval(() => socket.write("HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n"), 2);
      socket.on("close", () => clearInterval(drip));
    };
    expect((await refusal()).code).toBe("custody_unavailable");
    await recovers();
  });
});

describe("custody grants what was not asked for", () => {
  beforeEach(() => start());
  const scoped = (change: Record<string, unknown>) => (grant: Record<string, unknown>) => ({
    ...grant,
    scope: { ...(grant["scope"] as object), ...change },
  });
  const with_ = (change: Record<string, unknown>) => (grant: Record<string, unknown>) => ({ ...grant, ...change });

  test.each<[string, (grant: Record<string, unknown>) => unknown]>([
    ["a lease for another host", scoped({ host: "evil.example.com" })],
    ["a lease for a host that only looks alike", scoped({ host: "api.example.com." })],
    ["a lease for another port", scoped({ port: 8443 })],
    ["a lease of another session", scoped({ session: "s2" })],
    ["a lease of another tenant", scoped({ tenant: "globex" })],
    ["another credential", with_({ credential: "root" })],
    ["an expired lease", with_({ ttl_ms: 0 })],
    ["a lease that expired long ago", with_({ ttl_ms: -1_000 })],
    ["a lease that lives too long", with_({ ttl_ms: 900_001 })],
    ["a lease that lives for ever", with_({ ttl_ms: Number.MAX_SAFE_INTEGER })],
    ["a binding that the edge cannot keep", with_({ binding: { type: "mtls", value: "x" } })],
  ])("%s is unusable", async (_what, twist) => {
    custody.behave = grantHonestly(SECRET, twist);
    expect((await refusal()).code).toBe("lease_unusable");
    expect(keeper.size).toBe(0);
    await recovers();
  });

  test.each<[string, (grant: Record<string, unknown>) => unknown]>([
    ["material of another kind", with_({ kind: "userpass" })],
    ["an unknown kind", with_({ kind: "sigv4", material: { key: SECRET } })],
    ["a token with a line break", with_({ material: { token: `${SECRET}\r\nx-evil: 1` } })],
    ["a token with a blank at its end", with_({ material: { token: `${SECRET} ` } })],
    ["an empty token", with_({ material: { token: "" } })],
    ["two materials", with_({ material: { token: SECRET, value: SECRET } })],
    ["an unknown key", with_({ note: SECRET })],
    ["a key that is the secret", with_({ [SECRET]: 1 })],
    ["a scope with a wildcard", scoped({ host: "*.example.com" })],
    ["a scope with a list of hosts", scoped({ host: ["api.example.com", "evil.example.com"] })],
    ["a scope with more in it", scoped({ roles: ["admin"] })],
    ["a life as text", with_({ ttl_ms: "900000" })],
    ["a life that is no whole number", with_({ ttl_ms: 0.5 })],
    ["no uses", with_({ max_uses: 0 })],
  ])("%s is no answer", async (_what, twist) => {
    custody.behave = grantHonestly(SECRET, twist);
    expect((await refusal()).code).toBe("custody_unavailable");
    expect(keeper.size).toBe(0);
    await recovers();
  });
});

describe("custody refuses by name", () => {
  beforeEach(() => start());

  test.each([
    ["scope_not_allowed", 403, "lease_denied"],
    ["session_revoked", 403, "lease_denied"],
    ["overloaded", 429, "custody_unavailable"],
    ["audit_unavailable", 503, "custody_unavailable"],
  ] as const)("%s", async (reason, status, code) => {
    const problem = { type: "about:blank", title: "t", status, code, reason };
    custody.behave = answer(status, JSON.stringify(problem), "application/problem+json");
    expect(await refusal()).toMatchObject({ code, reason });
    await recovers();
  });
});

describe("custody is somebody else", () => {
  test("the right name by a wrong CA: refused, and not a byte of the request is sent", async () => {
    custody = await hostileCustody({ leaf: tls.forgedServer });
    closers.push(() => custody.kill());
    connectTo({ kind: "tcp", host: "127.0.0.1", port: custody.port }, {});
    const denial = await refusal();
    expect(denial.code).toBe("custody_unavailable");
    expect(denial.detail).toMatch(/CERT|SIGN|ISSUER/);
    expect(custody.asked).toEqual([]);
    expect(custody.connections()).toBeGreaterThan(0);
  });

  test("the right CA with another name", async () => {
    custody = await hostileCustody({ leaf: tls.edge });
    closers.push(() => custody.kill());
    connectTo({ kind: "tcp", host: "127.0.0.1", port: custody.port }, {});
    expect((await refusal()).code).toBe("custody_unavailable");
    expect(custody.asked).toEqual([]);
  });

  test("plain text where TLS is spoken: no downgrade", async () => {
    custody = await hostileCustody({ leaf: null });
    closers.push(() => custody.kill());
    connectTo({ kind: "tcp", host: "127.0.0.1", port: custody.port }, unanswered);
    expect((await refusal()).code).toBe("custody_unavailable");
    expect(custody.asked).toEqual([]);
  });
});

describe("on a unix socket", () => {
  test("killed, hung, foreign scope, back again", async () => {
    const path = join(tls.directory, "hostile.sock");
    custody = await hostileCustody({ leaf: null, path });
    closers.push(() => custody.kill());
    connectTo({ kind: "unix", path }, {});
    await recovers();
    keeper.dropAll();
    await custody.kill();
    expect((await refusal()).code).toBe("custody_unavailable");
    await custody.revive();
    custody.behave = () => undefined;
    connectTo({ kind: "unix", path }, unanswered);
    expect((await refusal()).code).toBe("custody_unavailable");
    connectTo({ kind: "unix", path }, {});
    custody.behave = grantHonestly(SECRET, (grant) => ({ ...grant, credential: "root" }));
    expect((await refusal()).code).toBe("lease_unusable");
    await recovers();
  });
});

describe("under load", () => {
  test("a custody that dies and comes back: every exchange has a live lease of its own or a denial", async () => {
    await start({ breakerFailures: 5, breakerOpenMs: 40, timeoutMs: 1_000 });
    const behaviours = [
      grantHonestly(),
      () => undefined,
      answer(500, "{}"),
      grantHonestly(SECRET, (grant) => ({ ...grant, credential: "root" })),
      bytes("garbage\r\n\r\n", true),
      grantHonestly(),
    ];
    const outcomes = { leased: 0, denied: 0 };
    for (let round = 0; round < 24; round++) {
      custody.behave = behaviours[round % behaviours.length] ?? grantHonestly();
      if (round === 7) await custody.kill();
      if (round === 10) await custody.revive();
      const permits = Array.from({ length: 40 }, (_, i) => permitOf({ session: `s${round}-${i % 20}` }));
      await Promise.all(
        permits.map(async (permit) => {
          try {
            const lease = await keeper.lease(permit);
            const material = lease.materialFor(permit, realClock.monotonicMs());
            expect(material.kind === "token" && material.token.reveal()).toBe("honest-token");
            outcomes.leased++;
          } catch (thrown) {
            const { code } = thrown as Denial;
            expect(["custody_unavailable", "lease_unusable"]).toContain(code);
            told.push(inspect(thrown, { depth: 10 }));
            outcomes.denied++;
          }
        }),
      );
      await new Promise((done) => setTimeout(done, 20));
    }
    expect(outcomes.denied).toBeGreaterThan(40);
    await recovers();
    expect(outcomes.leased + outcomes.denied).toBe(24 * 40);
  });

  test("a hung custody with an open breaker denies at once, without a connection", async () => {
    await start({ breakerFailures: 3, breakerOpenMs: 60_000, timeoutMs: 100 });
    custody.behave = () => undefined;
    for (let i = 0; i < 3; i++) await refusal();
    const before = await connectionsWithOneMore();
    for (let i = 0; i < 200; i++) expect((await refusal()).code).toBe("custody_unavailable");
    expect(await connectionsWithOneMore()).toBe(before + 1);
    expect(keeper.state()[0]).toMatchObject({ up: false, breakerOpen: true, liveLeases: 0 });
  });

  test("held leases go on while custody is down, and end with their time", async () => {
    const clock = new ManualClock();
    await start({ clock });
    const lease = await keeper.lease(permitOf());
    await custody.kill();
    clock.advance(800_000);
    expect(keeper.lease(permitOf())).toBe(lease);
    clock.advance(100_000);
    expect((await refusal()).code).toBe("custody_unavailable");
    expect(() => lease.materialFor(permitOf(), clock.monotonicMs())).toThrow("lease_unusable");
  });

  test("the health check brings it back without a guest", async () => {
    await start({ breakerFailures: 1, breakerOpenMs: 60_000, tickMs: 20 });
    await custody.kill();
    await refusal();
    expect(keeper.state()[0]).toMatchObject({ up: false, breakerOpen: true });
    await custody.revive();
    custody.behave = grantHonestly();
    let leased = false;
    for (let i = 0; !leased && i < 500; i++) {
      await new Promise((done) => setTimeout(done, 20));
      leased = await Promise.resolve(keeper.lease(permitOf())).then(
        () => true,
        () => false,
      );
    }
    expect(leased).toBe(true);
    expect(keeper.state()[0]).toMatchObject({ up: true, breakerOpen: false, liveLeases: 1 });
  });
});
