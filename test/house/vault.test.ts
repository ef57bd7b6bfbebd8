import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { realClock } from "../custody/support/clocks.ts";
import { FakeVault } from "../custody/support/fake-vault.ts";
import { appRoleOf, ROLE_ID } from "../custody/support/vault-bench.ts";
import { denialIn } from "../hostile/raw-guest.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { valuesOf } from "./support/recording.ts";
import { run } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** An edge whose embedded custody reads from a Vault, as far as the upstream; the Vault dies, and comes back. */

let fake: FakeVault;
let upstream: Upstream;
let edge: Edge;
let isStopped = false;
beforeAll(async () => {
  fake = await new FakeVault(realClock).listen();
  fake.store.write("kv/apps/openai", { api_key: "sk-house-0f3a9c" });
  fake.store.makers.set("database/creds/ro", {
    make: (nth) => ({ username: `v-${nth}`, password: "pw-house-0f3a9c" }),
    ttlMs: 600_000,
    maxMs: 600_000,
    renewable: true,
    hasLease: true,
  });
  const { secretId } = appRoleOf(fake);
  upstream = await startUpstream();
  const login = { approle: { role_id: ROLE_ID, secret_id: { env: "SECRET_ID" } } };
  const hosts = (name: string) => ({ hosts: [`${name}.test:${upstream.port}`] });
  const source = { vault: "main", path: "kv/apps/openai", field: "api_key" };
  const made = { vault: "main", path: "database/creds/ro", engine: "dynamic" };
  const credentials = [
    { name: "key", kind: "token", source, ...hosts("key"), ttl_seconds: 2 },
    { name: "made", kind: "userpass", source: made, ...hosts("made") },
  ];
  const vaults = { main: { address: `http://127.0.0.1:${fake.port}`, login } };
  edge = await startEdge({
    hosts: { "key.test": ["127.0.0.1"], "made.test": ["127.0.0.1"] },
    env: { SECRET_ID: secretId },
    custody: { main: { embedded: { vaults, credentials } } },
    destinations: [
      destinationFor(upstream, "key.test", {
        credential: "main/key",
        attach: { as: "bearer" },
        plain_http_credential: "accept",
      }),
      destinationFor(upstream, "made.test", {
        credential: "main/made",
        attach: { as: "basic" },
        plain_http_credential: "accept",
      }),
    ],
  });
});
afterAll(async () => {
  if (!isStopped) await edge?.stop();
  await upstream?.close();
  await fake?.stop();
});
beforeEach(() => upstream.reset());

const denialOf = async (name: string): Promise<string | null> => {
  const url = upstream.urlFor(`${name}.test`, "/a");
  return denialIn((await run("curl", ["-sS", "-D", "-", url], { env: edge.guestEnv() })).stdout);
};
const proofs = (): string[] => upstream.requests.flatMap((request) => valuesOf(request, "authorization"));
const patience = { timeout: 30_000, interval: 200 };

test("what a Vault holds or makes reaches the upstream", async () => {
  expect([await denialOf("key"), await denialOf("made")]).toEqual([null, null]);
  expect(proofs()).toEqual([
    "Bearer sk-house-0f3a9c",
    `Basic ${Buffer.from("v-1:pw-house-0f3a9c").toString("base64")}`,
  ]);
});

test("a Vault that is gone: nothing is sent once the lease is over, and it goes on by itself when the Vault is back", async () => {
  expect(await denialOf("key")).toBeNull();
  await fake.stop();
  await expect.poll(() => denialOf("key"), patience).toBe("custody_unavailable");
  for (const proof of proofs()) expect(proof).toBe("Bearer sk-house-0f3a9c");
  const sent = upstream.requests.length;
  expect(await denialOf("key")).toBe("custody_unavailable");
  expect(upstream.requests.length).toBe(sent);
  await fake.listen();
  await expect.poll(() => denialOf("key"), patience).toBeNull();
});

test("an edge that ends logs out, and with it goes what was made for it", async () => {
  expect(fake.store.tokens.size).toBe(1);
  isStopped = true;
  await edge.stop();
  expect([fake.store.tokens.size, fake.store.leases.size]).toEqual([0, 0]);
});
