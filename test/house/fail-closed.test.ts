import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { denialIn, openTunnel } from "../hostile/raw-guest.ts";
import {
  answer,
  type Behaviour,
  bytes,
  grantHonestly,
  honestGrant,
  hostileCustody,
  type HostileCustody,
} from "../custody/support/hostile-custody.ts";
import { makeCa } from "./support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/**
 * Custody fails in every way while guests keep asking. What counts is what the upstream saw: not one request without the
 * credential. Leases live for a moment only, so that every fault is met within a few requests.
 */

const TOKEN = "fail-closed-token-77";
const LEASE_MS = 1200;

let directory = "";
let upstream: Upstream;
let custody: HostileCustody;
let edge: Edge;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-closed-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  upstream = await startUpstream({
    tls: await ca.issue(["api.test", "free.test"]),
    demand: { in: "header", name: "authorization", value: `Bearer ${TOKEN}` },
  });
  const path = join(directory, "custody.sock");
  custody = await hostileCustody({ leaf: null, path });
  edge = await startEdge({
    hosts: { "api.test": ["127.0.0.1"] },
    extraRoots: [ca.certificateFile],
    config: { custody: { outside: { remote: { address: `unix:${path}` } } } },
    destinations: [destinationFor(upstream, "api.test", { credential: "outside/api", attach: { as: "bearer" } })],
    wait: "live",
  });
});

afterAll(async () => {
  await edge?.stop();
  await custody?.kill();
  await upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

beforeEach(async () => {
  custody.behave = honest;
  upstream.reset();
  await untilServed();
});

/** A grant whose lease dies soon, changed as the case says; health is well. */
const grant = (change: (grant: Record<string, unknown>) => Record<string, unknown>): Behaviour =>
  grantHonestly(TOKEN, (honest) => change({ ...honest, ttl_ms: LEASE_MS }));
const honest = grant((same) => same);

interface Tally {
  served: number;
  refused: Map<string, number>;
}

/** `guests` guests ask over tunnels that stay open, one request after the other, until `enough` says so. */
async function load(guests: number, enough: (tally: Tally) => boolean): Promise<Tally> {
  const tally: Tally = { served: 0, refused: new Map() };
  const deadline = performance.now() + 30_000;
  const one = async (): Promise<void> => {
    const guest = await openTunnel(edge.proxyPort, `api.test:${upstream.port}`, "api.test");
    let read = 0;
    while (!enough(tally)) {
      if (performance.now() > deadline)
        throw new Error(`not enough: ${JSON.stringify([tally.served, ...tally.refused])}`);
      guest.send(`GET /status?code=200 HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
      await guest.when(() => isComplete(guest.text.slice(read)));
      const text = guest.text.slice(read);
      read = guest.text.length;
      const code = denialIn(text);
      if (code === null) tally.served++;
      else {
        tally.refused.set(code, (tally.refused.get(code) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    guest.destroy();
  };
  await Promise.all(Array.from({ length: guests }, one));
  return tally;
}

function isComplete(answer: string): boolean {
  const end = answer.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(answer.slice(0, end + 2))?.[1];
  if (length === undefined) return answer.endsWith("\r\n0\r\n\r\n");
  return answer.length >= end + 4 + Number(length);
}

async function untilServed(): Promise<void> {
  await load(1, ({ served }) => served > 0);
}

const refusals = ({ refused }: Tally): number => [...refused.values()].reduce((sum, count) => sum + count, 0);

function nothingWithoutCredential(): void {
  expect(upstream.credentialless()).toBe(0);
  for (const { credential } of upstream.requests) expect(credential).toBe(true);
}

const FAULTS: readonly (readonly [string, readonly string[], Behaviour])[] = [
  ["hung: takes the question, never answers", ["custody_unavailable"], () => undefined],
  ["answering 500", ["custody_unavailable"], answer(500, "{}")],
  [
    "answering 500 with a lease in it",
    ["custody_unavailable"],
    (asked, socket) => {
      // Its health is asked for, too, which names no session.
      const body = asked.path === "/v1/leases" ? honestGrant(asked, TOKEN) : {};
      answer(500, JSON.stringify(body))(asked, socket);
    },
  ],
  ["answering garbage", ["custody_unavailable"], bytes("\0\x01garbage\r\n\r\n", true)],
  ["answering JSON of another shape", ["custody_unavailable"], answer(200, '{"token":"x"}')],
  [
    "breaking off in the middle of an answer",
    ["custody_unavailable"],
    bytes("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{", true),
  ],
  [
    "answering a lease for another host",
    ["lease_unusable"],
    grant((g) => ({ ...g, scope: { ...(g["scope"] as object), host: "evil.test" } })),
  ],
  [
    "answering a lease for another port",
    ["lease_unusable"],
    grant((g) => ({ ...g, scope: { ...(g["scope"] as object), port: 1 } })),
  ],
  [
    "answering a lease for another session",
    ["lease_unusable"],
    grant((g) => ({ ...g, scope: { ...(g["scope"] as object), session: "other" } })),
  ],
  [
    "answering a lease for another tenant",
    ["lease_unusable"],
    grant((g) => ({ ...g, scope: { ...(g["scope"] as object), tenant: "other" } })),
  ],
  ["answering a lease for another credential", ["lease_unusable"], grant((g) => ({ ...g, credential: "other" }))],
  ["answering an expired lease", ["lease_unusable", "custody_unavailable"], grant((g) => ({ ...g, ttl_ms: 0 }))],
];

describe("custody under load, falling ill in the middle", () => {
  test.each(FAULTS)("%s: refused as %s, and served again afterwards", async (_name, codes, behave) => {
    let ill = false;
    const tally = await load(6, (now) => {
      if (!ill && now.served > 20) {
        ill = true;
        custody.behave = behave;
        // Counted is what the fault does, not that this process was too busy for a moment to answer as custody.
        now.refused.clear();
      }
      return ill && refusals(now) >= 12;
    });
    expect(tally.served).toBeGreaterThan(20);
    for (const code of tally.refused.keys()) expect(codes).toContain(code);
    nothingWithoutCredential();
    custody.behave = honest;
    await untilServed();
    nothingWithoutCredential();
  });

  test("slow, but answering in time: served, with the credential", async () => {
    custody.behave = (asked, socket) => void setTimeout(() => honest(asked, socket), 150);
    const before = custody.asked.length;
    const tally = await load(6, ({ served }) => served > 50 && custody.asked.length > before + 1);
    expect(refusals(tally)).toBe(0);
    nothingWithoutCredential();
  });

  test("killed and revived, again and again", async () => {
    for (let round = 0; round < 3; round++) {
      await custody.kill();
      const tally = await load(6, (now) => refusals(now) >= 6);
      expect([...tally.refused.keys()]).toEqual(["custody_unavailable"]);
      await custody.revive();
      await untilServed();
    }
    nothingWithoutCredential();
  });

  test("the lease dies between being fetched and being sent", async () => {
    custody.behave = grant((g) => ({ ...g, ttl_ms: 1 }));
    const tally = await load(4, (now) => refusals(now) >= 10);
    for (const code of tally.refused.keys()) expect(["lease_unusable", "custody_unavailable"]).toContain(code);
    nothingWithoutCredential();
  });
});
