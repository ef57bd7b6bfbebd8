import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";

export interface RunOptions {
  /** The whole environment of the program; nothing of the test's own leaks in. Default: PATH, HOME and LANG. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
  /** ms until the program and its children are killed; default 30 s */
  readonly timeoutMs?: number;
}

export interface RunResult {
  /** `null` when a signal ended it */
  readonly code: number | null;
  readonly timedOut: boolean;
  /** UTF-8 */
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBytes: Buffer;
  /** hex SHA-256 of stdout */
  readonly stdoutSha256: string;
}

/**
 * Runs a program to its end, bounded by time.
 * @throws Error when the program cannot be started at all; a failing program is a result
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { env = bareEnv(), cwd, input, timeoutMs = 30_000 } = options;
  return new Promise((done, fail) => {
    // A group of its own, so that what the program starts (browsers do) ends with it.
    const child = spawn(command, args, { env: { ...env }, cwd, stdio: "pipe", detached: true });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      if (child.pid !== undefined) killGroup(child.pid);
    }, timeoutMs);
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.on("error", (error) => {
      clearTimeout(timer);
      fail(new Error(`${command} cannot be started`, { cause: error }));
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      const stdoutBytes = Buffer.concat(stdout);
      done({
        code,
        timedOut,
        stdout: stdoutBytes.toString("utf8"),
        stderr: Buffer.concat(stderr).toString("utf8"),
        stdoutBytes,
        stdoutSha256: createHash("sha256").update(stdoutBytes).digest("hex"),
      });
    });
    // A program that exits without reading its input is no failure of the test's own.
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** What any program needs and no more: no proxy, no CA setting, no credential of whoever runs the tests. */
export function bareEnv(home?: string): Record<string, string> {
  const env: Record<string, string> = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LANG: "C.UTF-8" };
  env["HOME"] = home ?? process.env["HOME"] ?? "/";
  return env;
}

/** Whether a program answers; tests put the name of an absent one into their title as skipped. */
export function isPresent(command: string, args: readonly string[] = ["--version"], exitCode = 0): boolean {
  const result = spawnSync(command, args, { stdio: "ignore", timeout: 20_000 });
  return result.error === undefined && result.status === exitCode;
}
