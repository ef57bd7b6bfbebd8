import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { realClock } from "../custody/support/clocks.ts";
import { FakeVault } from "../custody/support/fake-vault.ts";
import { appRoleOf, ROLE_ID } from "../custody/support/vault-bench.ts";
import { denialIn } from "../hostile/raw-guest.ts";
import { type Custody, startCustody } from "./support/custody.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { run } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** A custody that is stopped gives back at a Vault what was made for it, while an edge of its own process still has leases of it. */

let fake: FakeVault;
let upstream: Upstream;
let custody: Custody;
let edge: Edge;
let directory = "";
const patience = { timeout: 30_000, interval: 200 };

const start = async (): Promise<Custody> => {
  const made = { vault: "main", path: "database/creds/ro", engine: "dynamic" };
  const hosts = (name: string) => ({ hosts: [`${name}.test:${upstream.port}`] });
  return await startCustody({
    directory,
    socket: join(directory, "custody.sock"),
    env: { SECRET_ID: appRoleOf(fake).secretId, TOKEN: "own-token-31c09e" },
    credentials: [
      { name: "made", kind: "userpass", source: made, ...hosts("made") },
      { name: "own", kind: "token", source: { env: "TOKEN" }, ...hosts("own") },
    ],
    config: {
      vaults: {
        main: {
          address: `http://127.0.0.1:${fake.port}`,
          login: { approle: { role_id: ROLE_ID, secret_id: { env: "SECRET_ID" } } },
        },
      },
    },
  });
};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-stop-"));
  fake = await new FakeVault(realClock).listen();
  fake.store.makers.set("database/creds/ro", {
    make: (nth) => ({ username: `v-${nth}`, password: `pw-stop-${nth}` }),
    ttlMs: 600_000,
    maxMs: 600_000,
    renewable: true,
    hasLease: true,
  });
  upstream = await startUpstream();
  custody = await start();
  const there = { plain_http_credential: "accept" };
  edge = await startEdge({
    hosts: { "made.test": ["127.0.0.1"], "own.test": ["127.0.0.1"] },
    custody: { far: { remote: { address: custody.address } } },
    destinations: [
      destinationFor(upstream, "made.test", { ...there, credential: "far/made", attach: { as: "basic" } }),
      destinationFor(upstream, "own.test", { ...there, credential: "far/own", attach: { as: "bearer" } }),
    ],
  });
});
afterAll(async () => {
  await edge?.stop();
  await custody?.process.stop();
  await upstream?.close();
  await fake?.stop();
  await rm(directory, { recursive: true, force: true });
});

const ask = async (name: string): Promise<string | null> => {
  const url = upstream.urlFor(`${name}.test`, "/status?code=200");
  return denialIn((await run("curl", ["-sS", "-D", "-", url], { env: edge.guestEnv() })).stdout);
};

test("what it gives back is not sent any more, what lives on is; a custody that is back serves both", async () => {
  await expect.poll(() => edge.metrics(), patience).toContain('postern_custody_feed_up{custody="far"} 1');
  expect([await ask("made"), await ask("own")]).toEqual([null, null]);
  await custody.process.stop();
  // Its login died with custody's token, long before the lease would have.
  expect(fake.store.leases.size).toBe(0);
  const sent = upstream.requests.length;
  expect(await ask("made")).toBe("custody_unavailable");
  expect(upstream.requests.length).toBe(sent);
  expect(await ask("own")).toBeNull();
  custody = await start();
  await expect.poll(() => ask("made"), patience).toBeNull();
  expect(await ask("own")).toBeNull();
});
