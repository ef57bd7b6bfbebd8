import { chmod, chown, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { LeaseRefusal } from "../../src/core/custody.ts";
import { Secret } from "../../src/core/secret.ts";
import { runProgram } from "../../src/cli/program.ts";
import { RemoteCustody } from "../../src/custody/remote.ts";
import { type PosternProcess, root, startPostern } from "../house/support/postern-process.ts";
import { bareEnv, isPresent, run, type RunResult } from "../house/support/run.ts";
import { fakeTerminal } from "../cli/support/terminal.ts";
import { requestOf } from "./support/permits.ts";
import { secretOf } from "./support/secret-of.ts";

/** `postern custody secret`, by itself and beside a running custody. */

const VALUE = "value-of-the-command-91be";
const KEY = "c4".repeat(32);

let directory = "";
const env: Record<string, string> = {};
let custody: PosternProcess | null = null;
const closers: (() => Promise<void>)[] = [];
const printed: string[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-secret-"));
  await writeFile(at("store.key"), `${KEY}\n`, { mode: 0o600 });
  await config();
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  if (custody !== null) printed.push(custody.output());
  await custody?.stop();
  custody = null;
  await rm(directory, { recursive: true, force: true });
  // Whatever was printed, no value and no key was in it.
  for (const text of printed.splice(0)) {
    expect(text).not.toContain(VALUE);
    expect(text).not.toContain(KEY);
  }
});

const at = (name: string): string => join(directory, name);

async function config(more: object = {}): Promise<void> {
  const credentials = [
    { name: "key", kind: "token", source: { store: "acme/openai" }, hosts: ["api.example.com:443"] },
  ];
  const store = { file: "secrets.store", key: { file: "store.key" } };
  const audit = { file: "audit.jsonl", mode: "strict", fsync: "always" };
  await writeFile(
    at("custody.yaml"),
    JSON.stringify({ listen: { address: `unix:${at("c.sock")}` }, credentials, store, audit, ...more }),
  );
}

/** `postern custody secret WORDS` in this process, with `value` in a file. */
async function secret(words: string, value?: string | Uint8Array) {
  const from = value === undefined ? [] : ["--from", "value.in"];
  if (value !== undefined) await writeFile(at("value.in"), value);
  const terminal = fakeTerminal(directory, env);
  const commands = [{ name: "custody", summary: "", load: () => import("../../src/cli/custody.ts") }];
  const code = await runProgram(commands, "0", ["custody", "secret", ...words.split(" "), ...from], terminal);
  await rm(at("value.in"), { force: true });
  printed.push(terminal.stdout, terminal.stderr);
  return { code, stdout: terminal.stdout, stderr: terminal.stderr };
}

/** The same as a process of its own, with `input` on its standard input. */
async function piped(words: string, input = ""): Promise<RunResult> {
  const args = [join(root, "src/main.ts"), "custody", "secret", ...words.split(" ")];
  const result = await run(process.execPath, args, { cwd: directory, input, env: bareEnv() });
  printed.push(result.stdout, result.stderr);
  return result;
}

const codeOf = async (words: string, value?: string): Promise<number> => (await secret(words, value)).code;

test("sets, lists, rotates, goes back, and removes", async () => {
  expect(await piped("set acme/openai", `${VALUE}\n`)).toMatchObject({ code: 0, stderr: "" });
  await writeFile(at("value"), `${VALUE}-2`);
  expect(await codeOf("rotate acme/openai --keep-previous --from value")).toBe(0);
  const listed = await secret("list");
  expect(listed.stdout).toMatch(/acme\/openai +2 +\d{4}-\S+Z +\d{4}-\S+Z +version 1\n$/);
  expect(JSON.parse((await secret("list --json")).stdout)).toEqual([
    {
      name: "acme/openai",
      version: 2,
      created: expect.any(String),
      rotated: expect.any(String),
      previous_version: 1,
    },
  ]);
  expect(await codeOf("rotate acme/openai --back")).toBe(0);
  expect(await piped("rm acme/openai", "acme/opena\n")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("nothing was removed"),
  });
  expect(await piped("rm acme/openai", "acme/openai\n")).toMatchObject({ code: 0 });
  expect((await secret("list")).stdout).toBe("the store is empty\n");
  expect(await codeOf("set acme/openai", VALUE)).toBe(0);
  expect(await codeOf("rm acme/openai --yes")).toBe(0);
  expect((await readdir(directory)).sort()).toEqual([
    ".secrets.store.lock",
    "custody.yaml",
    "secrets.store",
    "store.key",
    "value",
  ]);
});

describe("refuses with code 2 and a next step", () => {
  test.each([
    ["an empty value", "set a", "\n", /file "value.in" is empty: /],
    ["no value", "set a", "", /file "value.in" is empty: /],
    ["a value that is no text", "set a", Buffer.from([0xff, 0xfe]), /is not UTF-8: /],
    ["a value that is too large", "set a", "v".repeat(70_000), /larger than 65536 bytes/],
    [
      "a value on the command line",
      `set a ${VALUE}`,
      undefined,
      /not taken from the command line: .*think of a new one/,
    ],
    ["a name that is none", "set ../a", "x", /letters, digits/],
    ["a file that is not there", "set a --from none", undefined, /none: cannot be read \(ENOENT\)/],
    ["an entry that is not there", "rotate b", "x", /holds no "b": `postern custody secret set b`/],
    ["one to remove that is not there", "rm b --yes", undefined, /holds no "b"/],
    ["to go back to nothing", "rotate there --back", undefined, /no version before: it is kept by/],
    ["an entry that is there", "set there", "x", /in the store already: rotate it/],
    ["both a new value and the old one", "rotate there --back --keep-previous", undefined, /leave out/],
  ])("%s", async (_what, words, input, told) => {
    await secret("set there", VALUE);
    const before = await readFile(at("secrets.store"));
    const result = await secret(words, input);
    expect(result.stderr).toMatch(told);
    expect(result.code).toBe(2);
    expect(await readFile(at("secrets.store"))).toEqual(before);
  });

  test("nothing on standard input", async () => {
    expect(await piped("set a")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("standard input is empty: "),
    });
  });

  const hasScript = isPresent("script");
  test.runIf(hasScript)(`a terminal on standard input${hasScript ? "" : " (skipped: needs script)"}`, async () => {
    const words = [process.execPath, join(root, "src/main.ts"), "custody", "secret", "set", "a"].join(" ");
    const result = await run("script", ["-qec", words, "/dev/null"], { cwd: directory, input: `${VALUE}\n` });
    expect(result.code).toBe(2);
    expect(result.stdout).toContain("pipe it in, or name a file with --from FILE");
  });

  test("a store that is not there, is damaged, open to others, or of another key; a key that is open to others", async () => {
    const refused = async (told: RegExp): Promise<void> => {
      const result = await secret("list");
      expect(result.stderr).toMatch(told);
      expect(result.code).toBe(2);
    };
    await refused(/is not there: `postern custody secret set NAME` makes it/);
    await secret("set a", VALUE);
    await chmod(at("secrets.store"), 0o644);
    await refused(/open to everybody \(mode 0644\): chmod 0600/);
    await chmod(at("secrets.store"), 0o600);
    await chmod(at("store.key"), 0o640);
    await refused(/key of the store .* open to its group \(mode 0640\): chmod 0600/);
    await writeFile(at("other.key"), "d".repeat(64), { mode: 0o600 });
    await rename(at("other.key"), at("store.key"));
    await refused(/does not open: its key is not the one .*give it that key/);
    await writeFile(at("secrets.store"), "{}");
    await refused(/is damaged, or no store at all: put back a copy/);
    if (process.getuid?.() !== 0) return;
    await chown(at("secrets.store"), 4321, 4321);
    await refused(/belongs to user 4321: chown/);
  });

  test("a config without a store, and one that is not there", async () => {
    await config({ store: undefined, credentials: [] });
    expect(await secret("list")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("store: missing: write store: {"),
    });
    await rm(at("custody.yaml"));
    expect(await codeOf("list")).toBe(2);
  });
});

test("the store of a custody that is embedded in an edge", async () => {
  const store = { file: "secrets.store", key: { env: "STORE_KEY" } };
  const edge = {
    listeners: [{ name: "guests", address: "127.0.0.1:3128", session: { mode: "open" } }],
    audit: { file: "audit.jsonl" },
    custody: { main: { embedded: { credentials: [], store } }, far: { remote: { address: "unix:c.sock" } } },
  };
  await writeFile(at("postern.yaml"), JSON.stringify(edge));
  const set = (name: string) => secret(`set a -c postern.yaml --custody ${name}`, VALUE);
  expect(await set("far")).toMatchObject({ code: 2, stderr: expect.stringContaining("write --custody main") });
  expect((await set("main")).stderr).toContain("STORE_KEY is not set: export it");
  env["STORE_KEY"] = KEY;
  expect(await set("main")).toMatchObject({ code: 0, stderr: "" });
  expect((await secret("list -c postern.yaml --custody main")).stdout).toContain("a");
});

test("two at a time lose nothing of each other", async () => {
  await secret("set a", VALUE);
  const codes = await Promise.all(["b", "c", "d", "e"].map((name) => piped(`set ${name}`, VALUE)));
  expect(codes.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  expect((JSON.parse((await secret("list --json")).stdout) as { name: string }[]).map(({ name }) => name)).toEqual([
    "a",
    "b",
    "c",
    "d",
    "e",
  ]);
});

describe("beside a running custody", () => {
  const calm = () => new AbortController().signal;

  async function running(): Promise<RemoteCustody> {
    const path = at("c.sock");
    custody = await startPostern(["custody", "--config", at("custody.yaml")], {
      ready: () =>
        new Promise((done) => {
          const socket = connect(path);
          socket.on("connect", () => {
            socket.destroy();
            done(true);
          });
          socket.on("error", () => done(false));
        }),
    });
    const edge = new RemoteCustody({ address: { kind: "unix", path }, tls: null, timeoutMs: 20_000 });
    closers.push(() => edge.close());
    return edge;
  }

  async function leased(edge: RemoteCustody): Promise<string> {
    const answer = await edge.lease(requestOf(), calm()).catch((thrown: unknown) => thrown);
    if (answer instanceof LeaseRefusal) return answer.reason;
    if (answer instanceof Error) throw answer;
    const material = secretOf((answer as Awaited<ReturnType<RemoteCustody["lease"]>>).material);
    return material instanceof Secret ? material.reveal() : "";
  }

  test(
    "what was rotated is in the next lease, and edges are told; what was removed gives none",
    { timeout: 120_000 },
    async () => {
      await secret("set acme/openai", `${VALUE}-1`);
      const edge = await running();
      expect(await leased(edge)).toBe(`${VALUE}-1`);
      const version = async () => (await edge.health(calm())).catalogue;
      const first = await version();
      expect(await codeOf("rotate acme/openai", `${VALUE}-2`)).toBe(0);
      expect(await leased(edge)).toBe(`${VALUE}-2`);
      await expect.poll(version).not.toBe(first);
      expect(await codeOf("rm acme/openai --yes")).toBe(0);
      expect(await leased(edge)).toBe("source_unavailable");
      expect(await codeOf("set acme/openai", `${VALUE}-3`)).toBe(0);
      expect(await leased(edge)).toBe(`${VALUE}-3`);
    },
  );

  test("a key that is replaced needs no restart", { timeout: 120_000 }, async () => {
    await secret("set acme/openai", VALUE);
    const edge = await running();
    expect(await leased(edge)).toBe(VALUE);
    await writeFile(at("new.key"), "correct horse battery staple", { mode: 0o600 });
    expect(await codeOf("rekey --new-key-file new.key")).toBe(0);
    expect(await leased(edge)).toBe("source_unavailable");
    await rename(at("new.key"), at("store.key"));
    // A passphrase takes its time to stretch; who asks meanwhile may have to ask again.
    await expect.poll(() => leased(edge)).toBe(VALUE);
    expect((await secret("list")).stdout).toContain("acme/openai");
  });

  test("an older store that was put back is not used until a restart", { timeout: 120_000 }, async () => {
    await secret("set acme/openai", `${VALUE}-old`);
    const old = await readFile(at("secrets.store"));
    await secret("rotate acme/openai", `${VALUE}-new`);
    const edge = await running();
    expect(await leased(edge)).toBe(`${VALUE}-new`);
    await writeFile(at("secrets.store"), old);
    expect(await leased(edge)).toBe("source_unavailable");
    await expect.poll(() => custody?.output()).toContain("older one, or another one, than was read before");
  });

  test(
    "what is wrong with the store at its start ends the start with code 2; an entry that is missing is told",
    { timeout: 120_000 },
    async () => {
      const start = () =>
        run(process.execPath, [join(root, "src/main.ts"), "custody", "--config", at("custody.yaml")], {
          env: bareEnv(),
        });
      expect(await start()).toMatchObject({
        code: 2,
        stderr: expect.stringContaining("postern custody secret set NAME"),
      });
      await secret("set other", VALUE);
      await chmod(at("store.key"), 0o604);
      expect(await start()).toMatchObject({ code: 2, stderr: expect.stringContaining("chmod 0600") });
      await chmod(at("store.key"), 0o600);
      const edge = await running();
      expect(await leased(edge)).toBe("source_unavailable");
      // Its log comes by a pipe, and may come after the lease.
      await expect.poll(() => custody?.output()).toContain("postern custody secret set acme/openai");
    },
  );

  test(
    "a tenant that may not reach the store is refused by name, and that is recorded",
    { timeout: 120_000 },
    async () => {
      await secret("set acme/openai", VALUE);
      await config({ tenants: { globex: { mounts: ["store://acme"] }, acme: { mounts: ["store://globex"] } } });
      const edge = await running();
      expect(await leased(edge)).toBe("mount_not_allowed");
      expect(await readFile(at("audit.jsonl"), "utf8")).toContain('"reason":"mount_not_allowed"');
      await config({ tenants: { acme: { mounts: ["store://acme"] } } });
      await expect.poll(() => leased(edge)).toBe(VALUE);
    },
  );
});
