import { chmod, chown, mkdtemp, readFile, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ExecSource } from "../../src/custody/sources/exec.ts";
import { FileSource } from "../../src/custody/sources/file.ts";
import { type CredentialSource, type RootShape, SourceError } from "../../src/custody/sources/source.ts";
import { ManualClock, realClock } from "./support/clocks.ts";

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-sources-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const uid = process.getuid?.() ?? null;
let named = 0;
const freshPath = (suffix = "") => join(directory, `f${named++}${suffix}`);

async function errorOf(work: () => Promise<unknown>): Promise<Error> {
  try {
    await work();
  } catch (thrown) {
    if (thrown instanceof Error) return thrown;
    throw new Error("not an error", { cause: thrown });
  }
  throw new Error("expected an error, but it went through");
}

async function textOf(source: CredentialSource, fresh = false): Promise<string> {
  return (await source.read(fresh)).secret.reveal();
}

/** Writes a program; its text is a script of the running Node. */
async function helper(script: string): Promise<string> {
  const path = freshPath(".mjs");
  await writeFile(path, `#!${process.execPath}\n${script}\n`, { mode: 0o700 });
  return path;
}

describe("file", () => {
  const sourceOf = (path: string, warnings: string[] = []) =>
    new FileSource(path, {
      uid,
      warn: (text) => {
        warnings.push(text);
      },
    });

  test("one trailing line end is not part of the root, everything else is", async () => {
    const path = freshPath();
    for (const [text, root] of [
      ["root\n", "root"],
      ["root\r\n", "root"],
      ["root\n\n", "root\n"],
      [" root ", " root "],
    ] as const) {
      await writeFile(path, text, { mode: 0o600 });
      expect(await textOf(sourceOf(path))).toBe(root);
    }
  });

  test("a change in place that keeps size and mtime is seen", async () => {
    const path = freshPath();
    await writeFile(path, "root-1", { mode: 0o600 });
    const source = sourceOf(path);
    await utimes(path, 1_000, 1_000);
    expect(await textOf(source)).toBe("root-1");
    await writeFile(path, "root-2");
    await utimes(path, 1_000, 1_000);
    expect(await textOf(source)).toBe("root-2");
  });

  test("a swapped symbolic link, as mounted secrets are rotated, is seen", async () => {
    const [one, two, link] = [freshPath(), freshPath(), freshPath()];
    await writeFile(one, "root-1", { mode: 0o400 });
    await writeFile(two, "root-2", { mode: 0o400 });
    await symlink(one, link);
    const source = sourceOf(link);
    expect(await textOf(source)).toBe("root-1");
    await symlink(two, `${link}.new`);
    await rename(`${link}.new`, link);
    expect(await textOf(source)).toBe("root-2");
  });

  test.each([0o604, 0o606, 0o602, 0o644, 0o777, 0o601])(
    "mode %o is open to everybody: refused, also after it was good",
    async (mode) => {
      const path = freshPath();
      await writeFile(path, "root", { mode: 0o600 });
      const source = sourceOf(path);
      await source.read(false);
      await chmod(path, mode);
      expect((await errorOf(() => source.read(false))).message).toContain("chmod 0400");
      await chmod(path, 0o400);
      expect(await textOf(source)).toBe("root");
    },
  );

  test("open to its group: works, and is warned of once", async () => {
    const path = freshPath();
    const warnings: string[] = [];
    await writeFile(path, "root", { mode: 0o600 });
    await chmod(path, 0o640);
    const source = sourceOf(path, warnings);
    await source.read(false);
    await source.read(false);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("0640");
  });

  test.runIf(uid === 0)(`a file of another user is refused${uid === 0 ? "" : " (skipped: needs root)"}`, async () => {
    const path = freshPath();
    await writeFile(path, "root", { mode: 0o600 });
    await chown(path, 12_345, 12_345);
    expect((await errorOf(() => sourceOf(path).read(false))).message).toContain("user 12345");
  });

  test("bytes that are no text are refused, not bent into one", async () => {
    const path = freshPath();
    await writeFile(path, Buffer.from([0x6b, 0xff, 0xfe, 0x80]), { mode: 0o600 });
    expect((await errorOf(() => sourceOf(path).read(false))).message).toMatch(/is not UTF-8: .*base64/);
  });

  test("a directory, a named pipe and a missing file are refused, and none hangs", async () => {
    const fifo = freshPath();
    execFileSync("mkfifo", ["-m", "600", fifo]);
    for (const path of [directory, fifo, freshPath()]) {
      expect(await errorOf(() => sourceOf(path).read(false))).toBeInstanceOf(SourceError);
    }
  });
});

describe("exec", () => {
  const exec = (command: readonly string[], kind: RootShape = "token", clock = new ManualClock(), timeoutMs = 20_000) =>
    new ExecSource({ command, timeoutMs }, kind, { clock, environment: process.env });
  const printing = async (answer: unknown) => [await helper(`console.log(${JSON.stringify(JSON.stringify(answer))})`)];
  const SECRET = "helper-secret-77aa";

  test("each kind has its own shape", async () => {
    const pair = await exec(await printing({ username: "u", password: SECRET }), "userpass").read(false);
    expect([pair.username, pair.secret.reveal()]).toEqual(["u", SECRET]);
    expect(await textOf(exec(await printing({ value: SECRET }), "header"))).toBe(SECRET);
    expect(await textOf(exec(await printing({ token: SECRET }), "token"))).toBe(SECRET);
  });

  test.each<[string, unknown]>([
    ["another kind's shape", { password: SECRET }],
    ["an unknown key", { token: SECRET, toke: SECRET }],
    ["a number", { token: 7 }],
    ["a list", [SECRET]],
    ["nothing", ""],
    ["an expiry that has passed", { token: SECRET, expires_at: "2001-01-01T00:00:00Z" }],
    ["a life of zero", { token: SECRET, expires_in_s: 0 }],
    ["an expiry without a zone", { token: SECRET, expires_at: "2040-01-01T00:00:00" }],
  ])("%s is refused, and the output is not told", async (_what, answer) => {
    const error = await errorOf(async () => exec(await printing(answer)).read(false));
    expect(error).toBeInstanceOf(SourceError);
    expect(error.message).not.toContain(SECRET);
  });

  test("output that is not JSON is refused, and not quoted", async () => {
    const path = await helper(`console.log("${SECRET}")`);
    const error = await errorOf(() => exec([path]).read(false));
    expect(error).toBeInstanceOf(SourceError);
    expect(error.message).not.toContain(SECRET);
  });

  test("a helper that fails is told by its code, never by its stderr", async () => {
    const path = await helper(`console.error("debug: ${SECRET}"); console.log("{}"); process.exitCode = 3`);
    const error = await errorOf(() => exec([path]).read(false));
    expect(error.message).toContain("code 3");
    expect(error.message).not.toContain(SECRET);
  });

  test("no shell looks at the arguments", async () => {
    const path = await helper(`console.log(JSON.stringify({ token: process.argv.slice(2).join("|") }))`);
    expect(await textOf(exec([path, "$(id)", "; ls", "`x`", "a b"]))).toBe("$(id)|; ls|`x`|a b");
  });

  test("the environment is small: roots of other credentials are not in it", async () => {
    const path = await helper(`console.log(JSON.stringify({ token: Object.keys(process.env).sort().join(",") }))`);
    const environment = { ...process.env, OPENAI_API_KEY: SECRET, NODE_OPTIONS: "--no-warnings", LANG: "C" };
    const source = new ExecSource({ command: [path], timeoutMs: 20_000 }, "token", { clock: realClock, environment });
    const seen = (await textOf(source)).split(",");
    expect(seen).toContain("PATH");
    expect(seen.filter((name) => !["PATH", "HOME", "LANG", "TZ", "TMPDIR"].includes(name))).toEqual([]);
  });

  test("output that is no text, and a word that no program can be given, are clear errors", async () => {
    const path = await helper(`process.stdout.write(Buffer.from('{"token":"a\\xff"}', "latin1"))`);
    expect((await errorOf(() => exec([path]).read(false))).message).toMatch(/the output of helper .* is not UTF-8/);
    const error = await errorOf(() => exec([path, `${SECRET}\0`]).read(false));
    expect(error).toBeInstanceOf(SourceError);
    expect(error.message).toMatch(/cannot be started .*look at its arguments/);
    expect(error.message).not.toContain(SECRET);
  });

  test("a program that is not there is a clear error", async () => {
    expect((await errorOf(() => exec(["/nonexistent/program"]).read(false))).message).toContain("ENOENT");
  });

  test("too much output ends it", async () => {
    const path = await helper(`process.stdout.write("x".repeat(1_000_000)); setInterval(() => {}, 1000)`);
    expect((await errorOf(() => exec([path]).read(false))).message).toContain("more than");
  });

  test("a helper that hangs is killed with everything it started", async () => {
    const pids = freshPath();
    // A shell: it is there at once, also on a machine that is busy.
    const path = freshPath();
    const script = `#!/bin/sh\nsleep 600 &\necho "$$ $!" > "${pids}"\nwait\n`;
    await writeFile(path, script, { mode: 0o700 });
    const source = exec([path], "token", new ManualClock(), 4_000);
    expect((await errorOf(() => source.read(false))).message).toContain("4000 ms");
    await expectGone((await readFile(pids, "utf8")).split(" ").map(Number));
  });

  test("a helper that ends but leaves a child on its pipes does not hang the read", async () => {
    const pids = freshPath();
    const path = await helper(`
      import { spawn } from "node:child_process";
      import { writeFileSync } from "node:fs";
      const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "inherit" });
      writeFileSync(${JSON.stringify(pids)}, String(child.pid));
      process.stdout.write(JSON.stringify({ token: "t" }), () => process.exit(0));`);
    expect(await textOf(exec([path]))).toBe("t");
    await expectGone([Number(await readFile(pids, "utf8"))]);
  });

  test("closing the source ends a run", async () => {
    const path = await helper(`setInterval(() => {}, 1000)`);
    const source = exec([path]);
    const read = errorOf(() => source.read(false));
    source.close();
    expect((await read).message).toContain("was stopped");
  });

  describe("expiry", () => {
    /** Counts its runs in a file and prints the count. */
    const counting = async (life: string) => {
      const count = freshPath();
      await writeFile(count, "");
      const path = await helper(`
        import { appendFileSync, readFileSync } from "node:fs";
        appendFileSync(${JSON.stringify(count)}, "x");
        const token = "t" + readFileSync(${JSON.stringify(count)}, "utf8").length;
        console.log(JSON.stringify({ token, ${life} }));`);
      return [path];
    };

    test("a result with a life is given out again for half of it", async () => {
      const clock = new ManualClock();
      const source = exec(await counting("expires_in_s: 600"), "token", clock);
      const first = await source.read(false);
      expect(first.expiresAtMs).toBe(clock.monotonicMs() + 600_000);
      clock.advance(299_000);
      expect((await source.read(false)).expiresAtMs).toBe(first.expiresAtMs);
      expect(await textOf(source)).toBe("t1");
      clock.advance(2_000);
      expect(await textOf(source)).toBe("t2");
    });

    test("a result that the upstream refused is not given out again", async () => {
      const source = exec(await counting("expires_in_s: 600"));
      expect(await textOf(source)).toBe("t1");
      expect(await textOf(source, true)).toBe("t2");
      expect(await textOf(source)).toBe("t2");
    });

    test("expires_at is read on the wall clock and kept on the monotonic one; the shorter of both counts", async () => {
      const clock = new ManualClock();
      const at = new Date(clock.wallMs() + 60_000).toISOString();
      const asText = await exec(await counting(`expires_at: "${at}"`), "token", clock).read(false);
      expect(asText.expiresAtMs).toBe(clock.monotonicMs() + 60_000);
      const asNumber = await exec(await counting(`expires_at: ${clock.wallMs() / 1000 + 30}`), "token", clock).read(
        false,
      );
      expect(asNumber.expiresAtMs).toBe(clock.monotonicMs() + 30_000);
      const both = await exec(await counting(`expires_in_s: 10, expires_at: "${at}"`), "token", clock).read(false);
      expect(both.expiresAtMs).toBe(clock.monotonicMs() + 10_000);
    });

    test("readers at the same time share one run", async () => {
      const source = exec(await counting(""));
      const texts = await Promise.all(Array.from({ length: 10 }, () => textOf(source)));
      expect(new Set(texts)).toEqual(new Set(["t1"]));
    });
  });
});

/** A killed process is reaped a moment later. */
async function expectGone(pids: readonly number[]): Promise<void> {
  for (const pid of pids) {
    expect(pid).toBeGreaterThan(1);
    await expect.poll(() => isAlive(pid)).toBe(false);
  }
}

/** A zombie that nobody reaps (its parent is gone, and the init of a container may not care) is dead as well. */
async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/\) [ZX] /.test(await readFile(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return process.platform !== "linux";
  }
}
