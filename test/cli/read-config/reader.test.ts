import { execFileSync } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepare } from "../../../src/cli/read-config/prepare.ts";
import { readConfig, type ReadOptions } from "../../../src/cli/read-config/reader.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { policyFindings } from "../../../src/cli/policy-findings.ts";

/** The reading process is a real one, and so are its deaths. */

const example = resolve(import.meta.dirname, "../../../config/postern.example.yaml");
let dir = "";

beforeAll(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), "postern-reader-")));
});

afterAll(() => rmSync(dir, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
}

function config(destinations: readonly object[]): string {
  return JSON.stringify({
    listeners: [{ name: "guests", address: "127.0.0.1:0", session: { mode: "open" } }],
    resolver: { hosts: { "*.test": ["127.0.0.1"] } },
    audit: { file: "audit.jsonl" },
    destinations,
  });
}

function pass(name: string, host: string): object {
  return { name, host, tls: "passthrough", addresses: ["127.0.0.0/8"] };
}

/** Right by itself; but servers take both keys for one, which the compiler of the policy finds. */
const CLASHING = {
  name: "clash",
  host: "clash.test",
  scheme: "http",
  allow: [{ methods: ["GET"], paths: ["/"], query: { "a.b": ["1"], a_b: ["2"] } }],
};

const order = (path: string, more: Partial<ReadOptions> = {}): ReadOptions => ({
  path,
  verify: false,
  roots: false,
  ...more,
});

describe("what a reading process tells is what reading in this process tells", () => {
  test("the example", async () => {
    const { loaded, systemRoots } = await readConfig(order(example));
    expect(loaded).toEqual(loadConfig(example));
    expect(systemRoots).toEqual([]);
  });

  test("a list of several pages, a resolver's map, and the fingerprints of files", async () => {
    const path = file("long.json", config(Array.from({ length: 1100 }, (_, i) => pass(`d${i}`, `d${i}.test`))));
    const { loaded } = await readConfig(order(path));
    expect(loaded).toEqual(loadConfig(path));
    expect(loaded.ok && loaded.config.destinations).toHaveLength(1100);
    expect([...loaded.seen.keys()]).toEqual(loaded.files);
  });

  test("all problems with their places, and those of the policy when they are asked for", async () => {
    const broken = file("broken.json", config([{ name: "a" }, { ...pass("b", "*.Test"), color: 1 }]));
    expect((await readConfig(order(broken))).loaded).toEqual(loadConfig(broken));
    const clashing = file("clashing.json", config([CLASHING]));
    expect((await readConfig(order(clashing))).loaded.ok).toBe(true);
    const { loaded } = await readConfig(order(clashing, { verify: true }));
    expect(loaded).toEqual(loadConfig(clashing, policyFindings));
    expect(loaded.ok).toBe(false);
  });

  test("a file that is not there", async () => {
    const { loaded } = await readConfig(order(join(dir, "nothing.yaml")));
    expect(loaded).toEqual(loadConfig(join(dir, "nothing.yaml")));
  });

  test("the roots of the system, when they are asked for", async () => {
    const { systemRoots } = await readConfig(order(example, { roots: true }));
    expect(systemRoots.length).toBeGreaterThan(0);
    expect(systemRoots[0]).toMatch(/^-----BEGIN CERTIFICATE-----/);
  });
});

describe("a reading process that fails", () => {
  test("hangs: it is ended when its time is over", async () => {
    const pipe = join(dir, "pipe");
    execFileSync("mkfifo", [pipe]);
    await expect(readConfig(order(pipe, { limitMs: 1500 }))).rejects.toThrow("had no answer after 1.5 s");
  });

  test("hangs: whoever asked may stop waiting", async () => {
    const pipe = join(dir, "pipe-2");
    execFileSync("mkfifo", [pipe]);
    const stopping = new AbortController();
    const reading = readConfig(order(pipe, { signal: stopping.signal }));
    stopping.abort();
    await expect(reading).rejects.toThrow(/abort/);
  });

  test.each([
    ["is killed", 'process.kill(process.pid, "SIGKILL");', "SIGKILL"],
    ["ends early", "process.exit(3);", "code 3"],
    ["throws", 'throw new Error("no");', "code 1"],
    ["says goodbye and nothing else", "process.disconnect();", "code 0"],
    [
      "sends half of it",
      'process.send({ kind: "page", page: { names: [], hosts: [], bodies: [], newBodies: [] } }, () => process.exit(0));',
      "code 0",
    ],
  ])("%s", async (name, text, why) => {
    const program = file(`${name.replaceAll(" ", "-")}.mjs`, text);
    await expect(readConfig(order(example, { program }))).rejects.toThrow(`ended by itself (${why})`);
  });

  test("sends what is no page", async () => {
    const page = '{ names: ["a"], hosts: ["a.test"], bodies: [7], newBodies: [] }';
    const program = file("bad-page.mjs", `process.send({ kind: "page", page: ${page} }); setInterval(() => {}, 1e6);`);
    await expect(readConfig(order(example, { program }))).rejects.toThrow("not whole");
  });

  test("gets no credential to see", async () => {
    process.env["READER_TEST_CREDENTIAL"] = "visible";
    const program = file("env.mjs", "process.exit(process.env.READER_TEST_CREDENTIAL === undefined ? 40 : 41);");
    await expect(readConfig(order(example, { program }))).rejects.toThrow("code 40");
    delete process.env["READER_TEST_CREDENTIAL"];
  });
});

describe("a config and its policy", () => {
  const prepared = (path: string) => prepare(async (verify) => (await readConfig(order(path, { verify }))).loaded);

  test("together when both are right", async () => {
    const result = await prepared(example);
    expect(result.ok && result.policy.size).toBe(result.ok && result.config.destinations.length);
  });

  test("what the compiler finds wrong has its place in the file", async () => {
    const clashing = file("clashing-2.json", config([CLASHING]));
    const result = await prepared(clashing);
    expect(result).toEqual(loadConfig(clashing, policyFindings));
    expect(!result.ok && result.problems).toHaveLength(1);
    expect(!result.ok && result.problems[0]?.line).toBeGreaterThan(0);
  });
});
