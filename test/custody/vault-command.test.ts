import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RemoteCustody } from "../../src/custody/remote.ts";
import { type PosternProcess, startPostern } from "../house/support/postern-process.ts";
import { realClock } from "./support/clocks.ts";
import { denialOf } from "./support/denials.ts";
import { FakeVault } from "./support/fake-vault.ts";
import { requestOf } from "./support/permits.ts";
import { secretOf } from "./support/secret-of.ts";
import { appRoleOf, ROLE_ID } from "./support/vault-bench.ts";

/** `postern custody` over a Vault, as a real process. */

const SECRET = "sk-of-the-command-0f3a9c";
const calm = () => new AbortController().signal;

let directory = "";
let fake: FakeVault;
let custody: RemoteCustody;
let process: PosternProcess | null = null;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-vault-command-"));
  fake = await new FakeVault(realClock).listen();
  fake.store.write("kv/apps/openai", { api_key: SECRET });
});
afterEach(async () => {
  await custody.close();
  await process?.stop();
  process = null;
  await fake.stop();
  await rm(directory, { recursive: true, force: true });
});

async function accepts(path: string): Promise<boolean> {
  const socket = connect(path);
  return new Promise((done) => {
    socket.on("connect", () => {
      socket.destroy();
      done(true);
    });
    socket.on("error", () => done(false));
  });
}

async function start(secretId: string): Promise<PosternProcess> {
  const socket = join(directory, "c.sock");
  const login = { approle: { role_id: ROLE_ID, secret_id: { env: "SECRET_ID" } } };
  const source = { vault: "main", path: "kv/apps/openai", field: "api_key" };
  const file = join(directory, "custody.yaml");
  const config = {
    listen: { address: `unix:${socket}` },
    vaults: { main: { address: `http://127.0.0.1:${fake.port}`, login, timeout_ms: 10_000 } },
    credentials: [{ name: "key", kind: "token", source, hosts: ["api.example.com:443"] }],
    audit: { file: join(directory, "audit.jsonl"), mode: "strict", fsync: "always" },
    log: { level: "debug" },
  };
  await writeFile(file, JSON.stringify(config));
  custody = new RemoteCustody({ address: { kind: "unix", path: socket }, tls: null, timeoutMs: 20_000 });
  process = await startPostern(["custody", "--config", file], {
    env: { SECRET_ID: secretId },
    ready: () => accepts(socket),
  });
  return process;
}

test("logs in at the start, leases, tells that the server is sealed, and logs out when it ends", async () => {
  const { secretId } = appRoleOf(fake);
  const running = await start(secretId);
  await expect.poll(() => fake.count(/login/)).toBe(1);
  expect(secretOf((await custody.lease(requestOf(), calm())).material).reveal()).toBe(SECRET);
  fake.sealed = true;
  const denial = await denialOf(() => custody.lease(requestOf({ purpose: "rejected" }), calm()));
  expect(denial).toMatchObject({ reason: "source_unavailable" });
  expect((await custody.health(calm())).problem).toMatch(/vault "main" is sealed/);
  fake.sealed = false;
  await custody.lease(requestOf({ purpose: "rejected" }), calm());
  expect((await custody.health(calm())).problem).toBeNull();
  const tokens = [...fake.store.tokens.keys()];
  running.signal("SIGTERM");
  expect(await running.exited(20_000)).toBe(0);
  expect([tokens.length, fake.store.tokens.size]).toEqual([1, 0]);
  const written = `${running.output()}${await readFile(join(directory, "audit.jsonl"), "utf8")}`;
  for (const secret of [SECRET, secretId, ...tokens]) expect(written).not.toContain(secret);
});

test("that is given a token which may be used a few times only says so at its start", async () => {
  const { secretId } = appRoleOf(fake, { uses: 5 });
  const running = await start(secretId);
  await expect.poll(() => running.output()).toMatch(/may be used 5 times only/);
  expect((await custody.health(calm())).problem).toMatch(/set token_num_uses to 0/);
});
