import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "postern-cli-ca-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The real command, in a directory of the test's own. */
function postern(...words: string[]): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, "ca", ...words], {
    cwd: scratch,
    encoding: "utf8",
  });
  return { code: status, out: stdout, err: stderr };
}

describe("postern ca init", () => {
  test("makes a CA and tells what to put into the config", () => {
    const { code, out, err } = postern("init", "--out", "plain", "--name", "Mine", "--days", "90");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain("CN=Mine");
    expect(out).toContain(`certificate: ${join(scratch, "plain", "ca.crt")}`);
    expect(out).toContain("90 days left");
    expect(readdirSync(join(scratch, "plain")).sort()).toEqual(["ca.crt", "ca.key"]);
    const shown = postern("show", "plain");
    expect([shown.code, shown.err]).toEqual([0, ""]);
    const { fingerprint256 } = new X509Certificate(readFileSync(join(scratch, "plain", "ca.crt")));
    expect(out).toContain(fingerprint256);
    expect(shown.out).toContain(fingerprint256);
    expect(`${out}${shown.out}`).not.toContain("PRIVATE");
  });

  test("never over an existing one: exit code 2, a next step, nothing changed", () => {
    expect(postern("init", "--out", "twice").code).toBe(0);
    const before = readdirSync(join(scratch, "twice")).map((name) =>
      readFileSync(join(scratch, "twice", name), "utf8"),
    );
    const { code, out, err } = postern("init", "--out", "twice", "--intermediate");
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(/ca\.key is there already: name another --out, or move the old CA away first\n$/);
    const after = readdirSync(join(scratch, "twice")).map((name) => readFileSync(join(scratch, "twice", name), "utf8"));
    expect(after).toEqual(before);
  });

  test("constrained, RSA, under a root, encrypted", () => {
    writeFileSync(join(scratch, "passphrase"), "correct horse battery\n", { mode: 0o600 });
    const permits = ["--permit", "example.com", "--permit", "10.0.0.0/8"];
    const words = ["--key", "rsa", ...permits, "--intermediate", "--passphrase-file", "passphrase"];
    const { code, out, err } = postern("init", "--out", "full", ...words);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain("yes, by name constraints");
    expect(out).toContain(`guests trust     ${join(scratch, "full", "root.crt")}`);
    expect(out).toContain(`passphrase_file: ${join(scratch, "passphrase")}`);
    expect(readFileSync(join(scratch, "full", "ca.key"), "utf8")).toContain("ENCRYPTED");
    expect(postern("show", "full").err).toMatch(/the key is encrypted: name its passphrase_file/);
    const shown = postern("show", "full", "--passphrase-file", "passphrase");
    const { fingerprint256 } = new X509Certificate(readFileSync(join(scratch, "full", "root.crt")));
    expect(shown.out).toContain(`anchor SHA-256   ${fingerprint256}`);
  });

  test("tells about Java when the constrained CA is the anchor itself", () => {
    expect(postern("init", "--out", "java", "--permit", "example.com").out).toMatch(/Java.*--intermediate/);
  });

  test.each<[string, string[], RegExp]>([
    ["no --out", [], /required option '--out <dir>'/],
    ["an unknown kind of key", ["--out", "x", "--key", "dsa"], /write "ec" or "rsa"/],
    ["a wildcard", ["--out", "x", "--permit", "*.example.com"], /write "example.com"/],
    ["days that are no number", ["--out", "x", "--days", "12h"], /--days "12h": write a whole number/],
    ["too long a name", ["--out", "x", "--name", "n".repeat(65)], /write 1 to 64/],
    [
      "a passphrase file that is not there",
      ["--out", "x", "--passphrase-file", "nowhere"],
      /there is no passphrase file/,
    ],
    ["an unknown option", ["--out", "x", "--force"], /unknown option '--force'/],
  ])("%s: exit code 2 and a next step", (_, words, next) => {
    const { code, out, err } = postern("init", ...words);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(next);
    expect(readdirSync(scratch)).not.toContain("x");
  });

  test("a short passphrase is refused", () => {
    writeFileSync(join(scratch, "short"), "secret\n", { mode: 0o600 });
    const { code, err } = postern("init", "--out", "x", "--passphrase-file", "short");
    expect(code).toBe(2);
    expect(err).toMatch(/at least 12 characters/);
    expect(err).not.toContain("secret");
  });
});

test("postern ca show of nothing: exit code 2 and the command that makes one", () => {
  const { code, err } = postern("show", "nothing");
  expect(code).toBe(2);
  expect(err).toMatch(/there is no CA key: make a CA with postern ca init/);
});
