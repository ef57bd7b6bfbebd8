import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { Secret } from "../../src/core/secret.ts";
import type { ClientIdentity } from "../../src/core/wire.ts";
import { makeCa, type TestCa, type TestLeaf } from "../house/support/certificates.ts";
import { type CertifiedUpstream, startCertified } from "../house/support/certified-upstream.ts";
import { eventually } from "../line/support/joined.ts";
import { Pooled } from "./support/pooled.ts";

/**
 * Sessions whose certificates are replaced and die by chance, towards an upstream that cuts connections: no connection ever
 * carries the request of another lease, and once all leases are dead nothing of theirs is open.
 */

const SESSIONS = ["a", "b", "c"];

let directory = "";
let ca: TestCa;
let server: TestLeaf;
let leaves: TestLeaf[];
let upstream: CertifiedUpstream;
let pooled: Pooled;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-certificate-chaos-"));
  ca = await makeCa(join(directory, "ca"), "Client and server CA");
  server = await ca.issue(["api.test"]);
  leaves = await Promise.all(SESSIONS.map((name) => ca.issue([`${name}.client.test`])));
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});
afterEach(async () => {
  await upstream.close();
  await pooled.stop();
});

interface ChanceIdentity extends ClientIdentity {
  readonly session: number;
  dead: boolean;
}

test.each(
  Array.from({ length: 9 }, (_, i) => ({
    seed: i + 1,
    http: (["h1", "h2", "auto"] as const)[i % 3] as "h1" | "h2" | "auto",
  })),
)("by chance $seed, $http", async ({ seed, http }) => {
  let state = seed * 7919;
  const below = (n: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  upstream = await startCertified({ tls: server, clientCa: ca.certificate, maxStreams: 2 });
  pooled = new Pooled(upstream.port, {
    roots: [ca.certificate],
    maxConnections: 2,
    timeouts: { upstreamKeepaliveMs: 60_000, upstreamConnectMs: 1000 },
    destination: { scheme: "https", http },
  });
  let order = 0;
  const made = new Map<string, ChanceIdentity>();
  const granted = (session: number): ChanceIdentity => {
    const leaf = leaves[session] as TestLeaf;
    const identity: ChanceIdentity = {
      key: `lease-${++order}`,
      session,
      dead: false,
      chain: leaf.certificate,
      privateKey: Secret.of(leaf.key),
      grantedAtMs: order,
      isLive: () => !identity.dead,
    };
    made.set(identity.key, identity);
    return identity;
  };
  const current = SESSIONS.map((_, i) => granted(i));
  let answered = 0;
  const ask = async (session: number): Promise<void> => {
    const identity = current[session] as ChanceIdentity;
    await sleep(below(10));
    try {
      const want = { identity, fresh: below(6) === 0, http2: below(2) === 0 };
      const channel = await pooled.connect(want, SESSIONS[session]);
      if (below(8) === 0) {
        channel.release();
        return;
      }
      const asked = pooled.begin(channel, { target: `/${identity.key}` });
      if (below(10) === 0) channel.abort();
      else await asked.over;
      if (asked.status === 200) answered++;
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(Denial);
    }
  };
  const asking: Promise<void>[] = [];
  for (let step = 0; step < 120; step++) {
    const session = below(SESSIONS.length);
    const deed = below(16);
    if (deed === 0) (current[session] as ChanceIdentity).dead = true;
    if (deed <= 1) current[session] = granted(session);
    else if (deed === 2) upstream.cut();
    else asking.push(ask(session));
    if (below(4) === 0) await sleep(below(20));
  }
  await Promise.all(asking);
  const users = new Map<number, Set<string>>();
  for (const { connection, path, certificate } of upstream.requests) {
    const { session } = made.get(path.slice(1)) as ChanceIdentity;
    expect(certificate).toBe(`DNS:${SESSIONS[session]}.client.test`);
    users.set(connection, (users.get(connection) ?? new Set()).add(path));
  }
  expect([...users.values()].filter(({ size }) => size > 1)).toEqual([]);
  expect(answered).toBeGreaterThan(10);
  for (const identity of made.values()) identity.dead = true;
  await eventually(() => upstream.open === 0, "the end of what dead leases have opened");
});
