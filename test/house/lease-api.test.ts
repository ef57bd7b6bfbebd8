import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTunnel, type RawGuest } from "../hostile/raw-guest.ts";
import { makeCa } from "./support/certificates.ts";
import { type Custody, startCustody } from "./support/custody.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { root } from "./support/postern-process.ts";
import { run, type RunResult } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** An edge, a custody of its own process and an operator with the command line: revoking, approving, and a custody that dies. */

const TOKEN = "lease-api-token-19";
const patience = { timeout: 30_000, interval: 50 };

let directory = "";
let upstream: Upstream;
let custody: Custody;
let edge: Edge;
const operators = () => join(directory, "operators.sock");

async function launchCustody(): Promise<void> {
  const hosts = [`api.test:${upstream.port}`, `asked.test:${upstream.port}`];
  const credential = { kind: "token", source: { env: "TOKEN" }, hosts };
  custody = await startCustody({
    credentials: [
      { ...credential, name: "key" },
      { ...credential, name: "asked", approval: "required" },
    ],
    env: { TOKEN },
    directory,
    socket: join(directory, "custody.sock"),
    config: { operators: { address: `unix:${operators()}` } },
  });
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-lease-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  upstream = await startUpstream({
    tls: await ca.issue(["api.test", "asked.test"]),
    demand: { in: "header", name: "authorization", value: `Bearer ${TOKEN}` },
  });
  await launchCustody();
  const api = { attach: { as: "bearer" }, allow: [{ methods: ["GET", "POST"], paths: ["/**"] }] };
  edge = await startEdge({
    hosts: { "api.test": ["127.0.0.1"], "asked.test": ["127.0.0.1"] },
    extraRoots: [ca.certificateFile],
    custody: { outside: { remote: { address: custody.address } } },
    destinations: [
      destinationFor(upstream, "api.test", { ...api, credential: "outside/key" }),
      destinationFor(upstream, "asked.test", { ...api, credential: "outside/asked" }),
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  await custody?.stop();
  await upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

const followed = () =>
  expect.poll(() => edge.metrics(), patience).toContain('postern_custody_feed_up{custody="outside"} 1');

interface Said {
  readonly status: number;
  readonly denial: string | null;
  readonly retryAfter: string | null;
}

/** One exchange of a new guest. */
async function ask(host: string, method = "GET"): Promise<Said> {
  const guest = await openTunnel(edge.proxyPort, `${host}:${upstream.port}`, host);
  try {
    return await askOn(guest, host, method);
  } finally {
    guest.destroy();
  }
}

async function askOn(guest: RawGuest, host: string, method: string): Promise<Said> {
  const from = guest.text.length;
  const body = method === "POST" ? "Content-Length: 0\r\n" : "";
  guest.send(`${method} /status?code=200 HTTP/1.1\r\nHost: ${host}:${upstream.port}\r\n${body}\r\n`);
  await guest.when(() => guest.text.slice(from).includes("\r\n\r\n"));
  const text = guest.text.slice(from);
  const field = (name: string) => new RegExp(`\r\n${name}: ([^\r]*)\r\n`, "i").exec(text)?.[1] ?? null;
  return { status: Number(text.slice(9, 12)), denial: field("x-deny-reason"), retryAfter: field("retry-after") };
}

const served: Said = { status: 200, denial: null, retryAfter: null };

function operate(...words: string[]): Promise<RunResult> {
  const main = join(root, "src/main.ts");
  return run(process.execPath, [main, "custody", ...words, "--socket", operators()]);
}

async function operated<T>(...words: string[]): Promise<T> {
  const result = await operate(...words, "--json");
  expect([result.code, result.stderr]).toEqual([0, ""]);
  return JSON.parse(result.stdout) as T;
}

describe("an operator", () => {
  test("revokes, and the edge drops what it holds at once; lifts, and it is served again", async () => {
    await followed();
    expect(await ask("api.test")).toEqual(served);
    const leases = await operate("leases", "credential", "key");
    expect(leases.stdout).toMatch(/^1 leases are out\n/);
    const { id } = await operated<{ id: string }>(
      "revoke",
      "session",
      "local",
      "--tenant",
      "local",
      "--reason",
      "test",
    );
    await expect.poll(async () => (await ask("api.test")).denial, patience).toBe("lease_denied");
    expect(await edge.metrics()).toMatch(/postern_leases_revoked_total\{custody="outside"\} [1-9]/);
    const seen = upstream.requests.length;
    expect((await ask("api.test")).status).toBe(403);
    expect(upstream.requests.length).toBe(seen);
    expect((await operate("revocations")).stdout).toContain(id);
    expect((await operate("lift", id)).stdout).toBe(`lifted: ${id}\n`);
    expect(await ask("api.test")).toEqual(served);
  });

  test("is told of a revocation that reaches nothing: a name may be misspelled", async () => {
    const { stdout } = await operate("revoke", "credential", "kye", "--reason", "test");
    expect(stdout).toMatch(/^revoked: [0-9a-f]+, 0 leases ended\nno lease of this credential was out: see that kye /);
    const id = /[0-9a-f]{16}/.exec(stdout)?.[0] ?? "";
    expect((await operate("lift", id)).code).toBe(0);
  });

  test("approves one kind of exchange of one session, once", async () => {
    const pending: Said = { status: 403, denial: "approval_pending", retryAfter: "30" };
    const seen = upstream.requests.length;
    expect(await ask("asked.test")).toEqual(pending);
    expect(await ask("asked.test")).toEqual(pending);
    expect(upstream.requests.length).toBe(seen);
    // Twice asked, and a CONNECT before each: one thing to decide.
    const { approvals } = await operated<{ approvals: { id: string; method_class: string }[] }>("approvals");
    expect(approvals).toMatchObject([{ state: "pending", session: "local", method_class: "read" }]);
    await operated("approve", approvals[0]?.id ?? "");
    expect(await ask("asked.test")).toEqual(served);
    expect(await ask("asked.test")).toEqual(served);
    expect(await ask("asked.test", "POST")).toEqual(pending);
    const { approvals: rest } =
      await operated<typeof approvals extends infer T ? { approvals: T } : never>("approvals");
    expect(rest).toMatchObject([{ state: "pending", method_class: "write" }]);
    await operated("deny", rest[0]?.id ?? "");
    expect(await ask("asked.test", "POST")).toMatchObject({ status: 403, denial: "lease_denied" });
  });

  test.each<[string[], number, RegExp]>([
    [["revoke", "host", "x", "--reason", "r"], 2, /no scope: write lease \| credential/],
    [["revoke", "all", "x", "--reason", "r"], 2, /no value/],
    [["revoke", "session", "--reason", "r"], 2, /which session/],
    [["revoke", "tenant", "acme", "--tenant", "x", "--reason", "r"], 2, /`session` alone/],
    [["revoke", "all"], 2, /--reason/],
    [["leases", "--limit", "0"], 2, /1 to 1000/],
    [["lift"], 2, /missing required argument/],
    [["lift", "ffff"], 1, /nothing_of_this_id/],
    [["approve", "ffff"], 1, /nothing_of_this_id/],
  ])("is told what is wrong: %j", async (words, code, text) => {
    const result = await operate(...words);
    expect(result.code).toBe(code);
    expect(result.stderr).toMatch(text);
  });

  test.each([
    ["no socket is named", ["custody", "revocations"], 2, /--socket/],
    ["nothing is there", ["custody", "revocations", "--socket", "/nonexistent/x.sock"], 2, /ENOENT/],
    ["no config is named", ["custody"], 2, /--config/],
    ["a command is misspelled", ["custody", "lease"], 2, /no such command: write leases\n/],
    ["a command is nobody's", ["custody", "frobnicate"], 2, /write one of leases, revoke, lift, /],
  ])("is told when %s", async (_what, words, code, text) => {
    const result = await run(process.execPath, [join(root, "src/main.ts"), ...words]);
    expect(result.code).toBe(code);
    expect(result.stderr).toMatch(text);
  });

  test("does not come in by the edges' socket", async () => {
    const socket = custody.address.slice("unix:".length);
    const main = join(root, "src/main.ts");
    const result = await run(process.execPath, [main, "custody", "revoke", "all", "--reason", "r", "--socket", socket]);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("caller_not_allowed");
    expect(await ask("api.test")).toEqual(served);
  });
});

test("a custody that is killed and comes back is followed on: what was revoked stays so, and no edge is restarted", async () => {
  const { id } = await operated<{ id: string }>("revoke", "credential", "asked", "--reason", "before the crash");
  const asking = new AbortController();
  const denials = new Set<string | null>();
  const load = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (!asking.signal.aborted) {
        denials.add((await ask("api.test")).denial);
        await new Promise((done) => setTimeout(done, 20));
      }
    }),
  );
  for (let round = 0; round < 3; round++) {
    custody.process.signal("SIGKILL");
    await custody.process.exited();
    await launchCustody();
    await followed();
  }
  asking.abort();
  await load;
  // A lease that is held goes on; where none is held there is none to be had.
  for (const denial of denials) expect([null, "custody_unavailable"]).toContain(denial);
  expect(upstream.credentialless()).toBe(0);
  expect((await ask("asked.test")).denial).toBe("lease_denied");
  await operated("revoke", "session", "local", "--reason", "after the crash");
  await expect.poll(async () => (await ask("api.test")).denial, patience).toBe("lease_denied");
  const { revocations } = await operated<{ revocations: { id: string }[] }>("revocations");
  expect(revocations.map((revocation) => revocation.id)).toContain(id);
  for (const revocation of revocations) await operated("lift", revocation.id);
  expect(await ask("api.test")).toEqual(served);
}, 120_000);
