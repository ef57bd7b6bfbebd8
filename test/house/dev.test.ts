import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { root } from "./support/postern-process.ts";
import { bareEnv, run } from "./support/run.ts";

/** `npm start`: the demo says what to paste, what it says is true, and Ctrl-C leaves nothing behind. */

let temporary = "";
let demo: ChildProcess;
let output = "";

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), "postern-dev test's-"));
  const env = { ...bareEnv(temporary), TMPDIR: temporary };
  demo = spawn(process.execPath, [join(root, "src/main.ts"), "dev", "--port", "0"], {
    env,
    cwd: temporary,
    stdio: "pipe",
  });
  demo.stdout?.on("data", (chunk) => (output += String(chunk)));
  demo.stderr?.on("data", (chunk) => (output += String(chunk)));
  await vi.waitFor(() => expect(output).toContain("The config of this demo"), { timeout: 30_000, interval: 20 });
});

afterAll(async () => {
  if (demo.exitCode === null) demo.kill("SIGKILL");
  await rm(temporary, { recursive: true, force: true });
});

/** Each command with what the comment above it says to expect. */
function commands(): { expected: string; command: string }[] {
  const lines = output.split("\n");
  return lines.flatMap((command, i) =>
    command.startsWith("curl ") ? [{ expected: lines[i - 1] ?? "", command }] : [],
  );
}

describe("the demo", () => {
  test("is what `npm start` runs", async () => {
    const manifest = (await import("../../package.json", { with: { type: "json" } })).default;
    expect(manifest.scripts.start).toBe("node src/main.ts dev");
  });

  test("prints three commands, each below what it gives", async () => {
    expect(commands().map(({ expected }) => /^# (\d+ \w+)/.exec(expected)?.[1])).toEqual([
      "200 OK",
      "403 destination_not_allowed",
      "503 custody_unavailable",
    ]);
  });

  test("200: the upstream saw a credential that the guest does not have", async () => {
    const result = await run("sh", ["-c", commands()[0]?.command ?? ""], { env: bareEnv(temporary) });
    expect(result.code).toBe(0);
    expect(result.stdout).toMatch(/^HTTP\/1\.1 200 /m);
    expect(result.stdout).toMatch(/"credential_seen":"Bearer demo\*{10,}"/);
  });

  test.each([
    [1, 403, "destination_not_allowed"],
    [2, 503, "custody_unavailable"],
  ])("command %i: %i %s", async (index, status, code) => {
    const result = await run("sh", ["-c", commands()[index]?.command ?? ""], { env: bareEnv(temporary) });
    expect(result.stdout).toMatch(new RegExp(`^HTTP/(?:1\\.1|2) ${status} `, "m"));
    expect(result.stdout).toContain(`x-deny-reason: ${code}`);
    expect(result.stdout).not.toContain("credential_seen");
  });

  test("Ctrl-C ends it with 0, and nothing is left behind", async () => {
    expect(await readdir(temporary)).not.toEqual([]);
    demo.kill("SIGINT");
    expect(await once(demo, "close")).toEqual([0, null]);
    expect(await readdir(temporary)).toEqual([]);
    expect(output).not.toMatch(/error|warning/i);
  });

  test("so does a Ctrl-C while it is starting", async () => {
    const early = spawn(process.execPath, [join(root, "src/main.ts"), "dev", "--port", "0"], {
      env: { ...bareEnv(temporary), TMPDIR: temporary },
      stdio: "ignore",
    });
    const ended = once(early, "close");
    await vi.waitFor(async () => expect(await readdir(temporary)).toHaveLength(1), { timeout: 30_000, interval: 1 });
    early.kill("SIGINT");
    expect(await ended).toEqual([0, null]);
    expect(await readdir(temporary)).toEqual([]);
  });
});
