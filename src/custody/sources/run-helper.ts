import { spawn } from "node:child_process";
import { MAX_ROOT_BYTES, SourceError } from "./source.ts";

export interface HelperRun {
  /** `command[0]` is the program; no shell looks at any of it. */
  readonly command: readonly string[];
  readonly timeoutMs: number;
  readonly environment: Readonly<Record<string, string>>;
  /** Names the helper in errors. */
  readonly where: string;
  readonly signal: AbortSignal;
}

/**
 * Runs a helper in a process group of its own and gives what it printed. It is over when the helper ends, when its time is up,
 * when it prints too much or when `signal` fires; then the whole group is killed, so that no grandchild stays behind.
 * Its stderr is read and thrown away: helpers print secrets there when they are being debugged.
 * @throws SourceError
 */
export async function runHelper({ command, timeoutMs, environment, where, signal }: HelperRun): Promise<string> {
  const [program = "", ...args] = command;
  const done = Promise.withResolvers<string>();
  const child = spawn(program, args, {
    cwd: "/",
    detached: true,
    env: { ...environment },
    shell: false,
    stdio: ["ignore", "pipe", "pipe"],
    windowsHide: true,
  });
  const chunks: Buffer[] = [];
  let printed = 0;
  let stderrBytes = 0;
  const fail = (text: string) => done.reject(new SourceError(`${where} ${text}`));
  const timer = setTimeout(
    () => fail(`did not end within ${timeoutMs} ms: make it faster or raise timeout_ms`),
    timeoutMs,
  );
  const onAbort = () => fail("was stopped");

  child.stdout.on("data", (chunk: Buffer) => {
    printed += chunk.length;
    if (printed > MAX_ROOT_BYTES) fail(`printed more than ${MAX_ROOT_BYTES} bytes`);
    else chunks.push(chunk);
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderrBytes += chunk.length;
  });
  child.stdout.on("error", () => fail("has an output that cannot be read"));
  child.stderr.on("error", () => fail("has an output that cannot be read"));
  child.on("error", (error: NodeJS.ErrnoException) =>
    fail(`cannot be started (${error.code ?? "unknown error"}): give an absolute path to a program`),
  );
  // The leader is gone: whatever it left behind would keep the pipes open.
  child.on("exit", () => killGroup(child.pid));
  child.on("close", (code, killedBy) => {
    if (code === 0) done.resolve(Buffer.concat(chunks).toString("utf8"));
    else
      fail(`ended with ${code === null ? killedBy : `code ${code}`} (${stderrBytes} bytes on stderr): run it by hand`);
  });
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await done.promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    if (child.exitCode === null && child.signalCode === null) killGroup(child.pid);
    child.stdout.destroy();
    child.stderr.destroy();
    for (const chunk of chunks) chunk.fill(0);
  }
}

/** SIGKILL, because a helper that is late or broken has no claim to be asked. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // kill(2) can fail here in two ways, both good: ESRCH, nobody of the group is left; EPERM, what is left changed its user
    // and is not ours to end.
  }
}
