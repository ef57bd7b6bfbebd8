import { spawn } from "node:child_process";
import { textOf } from "./root-text.ts";
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
  const done = Promise.withResolvers<void>();
  const child = start(program, args, environment, where);
  const chunks: Buffer[] = [];
  let printed = 0;
  let stderrBytes = 0;
  const fail = (text: string) => done.reject(new SourceError(`${where} ${text}`));
  const timer = setTimeout(
    () => fail(`did not end within ${timeoutMs} ms: make it faster or raise timeout_ms`),
    timeoutMs,
  );
  const onAbort = () => fail("was stopped: its entry was changed, or custody is shutting down");

  child.stdout.on("data", (chunk: Buffer) => {
    printed += chunk.length;
    if (printed > MAX_ROOT_BYTES) fail(`printed more than ${MAX_ROOT_BYTES} bytes: print the credential alone`);
    else chunks.push(chunk);
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderrBytes += chunk.length;
  });
  child.stdout.on("error", () => fail("has an output that cannot be read: run it by hand"));
  child.stderr.on("error", () => fail("has an output that cannot be read: run it by hand"));
  child.on("error", (error: NodeJS.ErrnoException) =>
    fail(`cannot be started (${error.code ?? "unknown error"}): give an absolute path to a program`),
  );
  // The leader is gone: whatever it left behind would keep the pipes open.
  child.on("exit", () => killGroup(child.pid));
  child.on("close", (code, killedBy) => {
    if (code === 0) done.resolve();
    else
      fail(`ended with ${code === null ? killedBy : `code ${code}`} (${stderrBytes} bytes on stderr): run it by hand`);
  });
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    await done.promise;
    return joined(chunks, where);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    if (child.exitCode === null && child.signalCode === null) killGroup(child.pid);
    child.stdout.destroy();
    child.stderr.destroy();
    for (const chunk of chunks) chunk.fill(0);
  }
}

function start(program: string, args: string[], environment: HelperRun["environment"], where: string) {
  try {
    return spawn(program, args, {
      cwd: "/",
      detached: true,
      env: { ...environment },
      shell: false,
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
    });
  } catch (error) {
    // What cannot be handed to a program at all, such as a NUL; the text would quote it.
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    throw new SourceError(`${where} cannot be started (${code}): look at its arguments`);
  }
}

function joined(chunks: readonly Buffer[], where: string): string {
  const output = Buffer.concat(chunks);
  try {
    return textOf(output, `the output of ${where}`);
  } finally {
    output.fill(0);
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
