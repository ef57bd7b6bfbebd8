import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeRepository } from "./support/git-backend.ts";
import { growthMb, tellsMemory } from "./support/memory.ts";
import { valuesOf } from "./support/recording.ts";
import { isPresent, run, type RunResult } from "./support/run.ts";
import { DOWN, type Service, startService } from "./support/service.ts";

/** git with a pack of 100 MB, pushed in chunks and with an expectation, cloned in one answer: the edge holds none of it. */

const MEGABYTE = 1_000_000;
const FILES = 25;
const FILE_BYTES = 4 * MEGABYTE;
/** What buffers may add to an edge that has warmed up, `MB`. */
const FLAT_MB = 80;
const PASSWORD = "hunter2-c0ffee77";

/** No work that is not about the way: random bytes have no deltas and do not shrink. */
const PLAIN_PACKS = [
  ["core.compression", "0"],
  ["core.bigFileThreshold", "1m"],
  ["pack.window", "0"],
  ["gc.auto", "0"],
] as const;

const there = isPresent("git");
let service: Service;
let gitRoot = "";

beforeAll(async () => {
  if (!there) return;
  gitRoot = await mkdtemp(join(tmpdir(), "postern-git-large-"));
  for (const repository of ["large", "smaller"]) {
    await makeRepository(gitRoot, repository);
    // Kept as the pack that came, so that the upstream takes less of the machine than the edge.
    await bare(repository, "config", "receive.unpackLimit", "1");
    for (const [name, value] of PLAIN_PACKS) await bare(repository, "config", name, value);
  }
  const value = `Basic ${Buffer.from(`robot:${PASSWORD}`).toString("base64")}`;
  service = await startService({
    gitRoot,
    demand: { in: "header", name: "authorization", value },
    secret: PASSWORD,
    credential: { kind: "userpass", username: "robot" },
    destination: { attach: { as: "basic" } },
  });
});

afterAll(async () => {
  await service?.stop();
  if (gitRoot !== "") await rm(gitRoot, { recursive: true, force: true });
});

function bare(repository: string, ...args: string[]): Promise<RunResult> {
  return run("git", ["-C", join(gitRoot, `${repository}.git`), ...args]);
}

async function git(cwd: string, ...args: string[]): Promise<string> {
  const settings = ["user.name=guest", "user.email=guest@example.com", ...PLAIN_PACKS.map((pair) => pair.join("="))];
  const env = await service.guestEnv({ GIT_TERMINAL_PROMPT: "0", GIT_CONFIG_NOSYSTEM: "1" });
  const options = settings.flatMap((setting) => ["-c", setting]);
  const result = await run("git", [...options, ...args], { cwd, env, timeoutMs: 170_000 });
  if (result.code !== 0) throw new Error(`git ${args.join(" ")}\n${result.stderr}`);
  return result.stdout.trim();
}

async function commitFiles(work: string, count: number): Promise<void> {
  await mkdir(join(work, "files"));
  for (let i = 0; i < count; i++) await writeFile(join(work, "files", String(i)), randomBytes(FILE_BYTES));
  await git(work, "add", ".");
  await git(work, "commit", "-q", "-m", "Large");
}

/** @returns what the edge grew by, where the system tells it */
async function grown(work: () => Promise<unknown>): Promise<number> {
  if (tellsMemory) return growthMb(service.edge.process.pid, async () => void (await work()));
  await work();
  return 0;
}

const title = tellsMemory ? "in flat memory" : "(memory: skipped, only Linux tells it)";

describe.skipIf(!there)(`git${there ? "" : " (skipped: git is absent)"}`, () => {
  test(`pushes and clones 100 MB ${title}`, async () => {
    const remote = service.url("/git/large.git");
    const work = join(service.directory, "work");
    await git(service.directory, "clone", "-q", remote, work);
    await commitFiles(work, FILES);

    // More than fits its buffer goes out in chunks; git itself asks for leave only where Kerberos is spoken.
    // HTTP/1.1, since over HTTP/2 libcurl 7.84 to 8.1 may ask for more of a body that has ended: git then waits for itself.
    const settings = ["http.version=HTTP/1.1", "http.postBuffer=65536", "http.extraHeader=Expect: 100-continue"];
    const chunked = settings.flatMap((setting) => ["-c", setting]);
    const pushed = await grown(() => git(work, ...chunked, "push", "-q", "origin", "main"));
    const push = service.upstream.requests.find(({ bodyBytes }) => bodyBytes > FILES * FILE_BYTES);
    expect(push).toMatchObject({ method: "POST", url: "/git/large.git/git-receive-pack", body: "complete" });
    expect(valuesOf(push!, "transfer-encoding")).toEqual(["chunked"]);
    expect(valuesOf(push!, "expect")).toEqual(["100-continue"]);
    expect((await bare("large", "rev-parse", "main")).stdout.trim()).toBe(await git(work, "rev-parse", "HEAD"));
    expect(pushed).toBeLessThan(FLAT_MB);

    const cloned = await grown(() => git(service.directory, "clone", "-q", "--no-checkout", remote, "again"));
    const again = join(service.directory, "again");
    expect(await git(again, "rev-parse", "HEAD")).toBe(await git(work, "rev-parse", "HEAD"));
    // Every object that came has the hash that names it.
    await git(again, "fsck", "--full", "--strict");
    expect(cloned).toBeLessThan(FLAT_MB);
    expect(service.upstream.credentialless()).toBe(0);
  }, 400_000);

  test("pushes and clones 20 MB over HTTP/2", async () => {
    const remote = service.url("/git/smaller.git");
    const work = join(service.directory, "smaller");
    const spoken = ["-c", "http.version=HTTP/2"];
    await git(service.directory, ...spoken, "clone", "-q", remote, work);
    await commitFiles(work, 5);
    // In one piece: chunked, the same libcurl may wait for ever, as above.
    await git(work, ...spoken, "-c", "http.postBuffer=100000000", "push", "-q", "origin", "main");
    const again = join(service.directory, "smaller-again");
    await git(service.directory, ...spoken, "clone", "-q", "--no-checkout", remote, again);
    await git(again, "fsck", "--full", "--strict");
    const head = await git(work, "rev-parse", "HEAD");
    expect((await bare("smaller", "rev-parse", "main")).stdout.trim()).toBe(head);
    expect(await git(again, "rev-parse", "HEAD")).toBe(head);

    const asked = service.upstream.requests.filter(({ url }) => url.startsWith("/git/smaller.git/"));
    const push = asked.find(({ bodyBytes }) => bodyBytes > 5 * FILE_BYTES);
    expect(push).toMatchObject({ method: "POST", url: "/git/smaller.git/git-receive-pack", body: "complete" });
    // As they came: over HTTP/1.1 git writes "User-Agent".
    for (const { rawHeaders } of asked) expect(rawHeaders).toContain("user-agent");
    expect(service.upstream.credentialless()).toBe(0);
  }, 200_000);

  test("neither clones nor pushes when custody is down: the upstream hears nothing", async () => {
    service.upstream.reset();
    const remote = service.url("/git/large.git", DOWN);
    for (const args of [
      ["ls-remote", remote],
      ["push", remote, "HEAD:refs/heads/other"],
    ]) {
      const env = await service.guestEnv({ GIT_TERMINAL_PROMPT: "0", GIT_CONFIG_NOSYSTEM: "1" });
      const result = await run("git", args, { cwd: join(service.directory, "work"), env });
      expect(result.code).toBe(128);
      expect(result.stderr).toContain("503");
    }
    expect(service.upstream.connections).toBe(0);
  });
});
