import type { IncomingMessage, ServerResponse } from "node:http";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { secretsOf } from "../../../src/core/material.ts";
import type { Narrowing } from "../../../src/core/narrow.ts";
import { ShiftedClock } from "../support/clocks.ts";
import { CLOUD_CASES, type CloudCase, LEAK } from "../support/cloud-cases.ts";
import { entryOf, type Issuing, issuing } from "../support/issuing.ts";
import { type LoopbackIssuer, SAID } from "../support/loopback-issuer.ts";
import { leaseOf, tokenOf } from "../support/minting.ts";
import { secretOf } from "../support/secret-of.ts";

/** What every minter of a cloud or registry is held to, over an issuer that verifies for real and one that misbehaves. */

let clock: ShiftedClock;
let server: LoopbackIssuer;
const running: Issuing[] = [];

beforeEach(() => {
  clock = new ShiftedClock();
});
afterEach(async () => {
  for (const { issuer } of running.splice(0)) issuer.close();
  await server.stop();
});

async function start({ server: make, root, mint, kind, entry }: CloudCase, timeoutMs = 5_000): Promise<Issuing> {
  server = await make().listen();
  const parts = issuing({
    clock,
    environment: { ROOT: root },
    entries: [entryOf({ kind, ...entry, mint: mint(server.origin, timeoutMs) })],
  });
  running.push(parts);
  return parts;
}

const session = (id: string) => ({ session: { id, tenant: "acme", workspace: "w", subject: `agent ${id}` } });

describe.each(CLOUD_CASES)("$name", (one) => {
  test("a lease brings what was minted, never the root, and no longer than 15 minutes", async () => {
    const parts = await start(one);
    const lease = await leaseOf(parts);
    expect(lease.material.kind).toBe(one.kind);
    expect(server.isIssued(secretOf(lease.material).reveal())).toBe(true);
    expect(lease.ttlMs).toBeLessThanOrEqual(900_000);
    expect(lease.ttlMs).toBeGreaterThan(800_000);
    for (const secret of secretsOf(lease.material)) expect(one.root).not.toContain(secret.reveal());
  });

  test("one result serves many leases, and each owns its material", async () => {
    const parts = await start(one);
    const all = await Promise.all(Array.from({ length: 20 }, () => leaseOf(parts)));
    expect(server.requests).toBe(one.calls);
    const [first, second] = all;
    if (first === undefined || second === undefined) throw new Error("two leases");
    secretOf(first.material).zero();
    expect(server.isIssued(secretOf(second.material).reveal())).toBe(true);
  });

  test("sessions share what was minted only where it names none of them", async () => {
    const parts = await start(one);
    const first = await tokenOf(parts, session("a"));
    const second = await tokenOf(parts, session("b"));
    expect(first === second).toBe(!one.perSession);
  });

  test("a narrowed lease is asked for narrowed, and is another one", async () => {
    const parts = await start(one);
    const token = await tokenOf(parts, { narrow: one.narrow });
    expect(server.issued.find(({ secret }) => secret === token)?.asked).toMatchObject(one.narrowed);
    expect(server.issued).toHaveLength(1);
    // What an entry has only one of is as narrow as it gets, but is asked for all the same.
    expect(await tokenOf(parts)).not.toBe(token);
  });

  test.each(one.outside)(
    "what is not within the entry is refused, and the issuer hears nothing of it: %o",
    async (narrow: Narrowing) => {
      const parts = await start(one);
      await expect(leaseOf(parts, { narrow })).rejects.toMatchObject({ reason: "scope_not_allowed" });
      expect(server.requests).toBe(0);
    },
  );

  test("a root that is gone gives no lease", async () => {
    const parts = await start(one);
    delete parts.environment["ROOT"];
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(server.requests).toBe(0);
  });

  test("a root that is something else is refused without a word of it", async () => {
    const parts = await start(one);
    parts.environment["ROOT"] = "pasted-by-mistake-0f3a9c";
    const said = await refusalOf(parts);
    expect(said).not.toMatch(/pasted|0f3a9c/);
    expect(said).not.toContain(SAID);
    expect(server.issued).toHaveLength(0);
  });

  test("a clock that is set back an hour lengthens nothing", async () => {
    const parts = await start(one);
    await leaseOf(parts);
    const lifeMs = server.expiresInS * 1000;
    clock.monotonicShiftMs += lifeMs - 200_000;
    clock.wallShiftMs -= 3_600_000;
    expect((await leaseOf(parts)).ttlMs).toBeLessThanOrEqual(200_000);
    expect(server.issued).toHaveLength(1);
  });

  test("a life is counted from before the request left", async () => {
    const parts = await start(one);
    const lifeMs = server.expiresInS * 1000;
    server.mood = (request, response) => {
      clock.monotonicShiftMs += lifeMs - 200_000;
      server.mood = "well";
      server.again(request, response);
    };
    expect((await leaseOf(parts)).ttlMs).toBeLessThanOrEqual(one.calls === 1 ? 200_000 : 900_000);
  });

  test("whoever leaves is let go at once", async () => {
    const parts = await start(one);
    server.mood = () => undefined;
    const leaving = new AbortController();
    const left = leaseOf(parts, {}, leaving.signal);
    while (server.requests === 0) await turn();
    leaving.abort();
    await expect(left).rejects.toMatchObject({ code: "custody_unavailable" });
  });

  test("once closed it mints nothing", async () => {
    const parts = await start(one);
    await leaseOf(parts);
    const before = server.requests;
    parts.issuer.close();
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(server.requests).toBe(before);
  });

  test("an issuer that is down is asked once, not once a lease, and comes back without a restart", async () => {
    const parts = await start(one);
    server.mood = json(500, { message: LEAK });
    const many = await Promise.allSettled(Array.from({ length: 50 }, () => leaseOf(parts)));
    expect(many.every(({ status }) => status === "rejected")).toBe(true);
    expect(server.requests).toBe(1);
    server.mood = "well";
    clock.monotonicShiftMs += 60_000;
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
  });

  test("an issuer that asks to be left alone is left alone as long", async () => {
    const parts = await start(one);
    server.mood = json(429, { message: LEAK }, { "retry-after": "30" });
    expect(await refusalOf(parts)).toMatch(/too often/);
    server.mood = "well";
    clock.monotonicShiftMs += 29_000;
    await refusalOf(parts);
    expect(server.requests).toBe(1);
    clock.monotonicShiftMs += 10_000;
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
  });

  test.each(MOODS)("an issuer that %s gives no lease", async (_name, mood, says) => {
    const parts = await start(one, 800);
    server.mood = mood;
    expect(await refusalOf(parts)).toMatch(says);
    server.mood = "well";
    clock.monotonicShiftMs += 60_000;
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
  });

  test.each(one.lies)("an issuer that %s gives no lease", async (_name, status, body, says) => {
    const parts = await start(one);
    let calls = 0;
    server.mood = (request, response) => {
      if (++calls < one.calls) server.again(request, response);
      else if (calls === one.calls) json(status, body)(request, response);
      else response.writeHead(404).end();
    };
    expect(await refusalOf(parts)).toMatch(says);
  });
});

type Misbehaviour = (request: IncomingMessage, response: ServerResponse) => void;

function json(status: number, body: unknown, headers: Record<string, string> = {}): Misbehaviour {
  return (_request, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };
}

const MOODS: readonly (readonly [name: string, mood: Misbehaviour, says: RegExp])[] = [
  ["dies before it answers", (request) => request.socket.destroy(), /broke off/],
  ["answers garbage", (_, response) => response.writeHead(201).end(LEAK), /status 201|no JSON|no answer of STS/],
  ["answers a list", json(200, [LEAK]), /status 200|no JSON|no answer of STS/],
  ["answers nothing", (_, response) => response.writeHead(200).end(), /status 200|no JSON|no answer of STS/],
  ["speaks no HTTP", (request) => request.socket.end(`${LEAK}\r\n\r\n`), /broke off/],
  ["redirects", json(302, {}, { location: "http://127.0.0.1:1/" }), /redirect \(302\)/],
  ["is broken", json(503, { message: LEAK, error: LEAK }), /status 503/],
  ["refuses with a word of its own", json(400, { error: LEAK, message: LEAK }), /status 400/],
  ["refuses with a word of every object", json(400, { error: "constructor" }), /status 400/],
  ["hangs", () => undefined, /did not answer within 800 ms/],
  [
    "answers more than anybody wants",
    (_, response) => {
      response.writeHead(200);
      const chunk = "x".repeat(65_536);
      const more = (): void => {
        while (response.writable && response.write(chunk));
      };
      response.on("drain", more);
      response.on("error", () => undefined);
      more();
    },
    /more than \d+ bytes/,
  ],
];

/** Everything that a refusal says anywhere; nothing of the issuer and of the root is in it. */
async function refusalOf(parts: Issuing): Promise<string> {
  const denial: unknown = await leaseOf(parts).catch((error: unknown) => error);
  expect(denial).toMatchObject({ code: "custody_unavailable", reason: "source_unavailable" });
  const own = denial instanceof Error ? `${denial.message} ${String(denial.cause)}` : String(denial);
  const said = [own, ...parts.warnings, JSON.stringify(parts.audit.events)].join("\n");
  expect(said).not.toContain(LEAK);
  expect(said).not.toContain(SAID);
  expect(said).not.toMatch(hiddenOf(parts));
  return said;
}

function hiddenOf(parts: Issuing): RegExp {
  return CLOUD_CASES.find(({ root }) => root === parts.environment["ROOT"])?.hidden ?? /^never$/;
}
