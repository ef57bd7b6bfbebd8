import { spawn } from "node:child_process";
import { bareEnv } from "./run.ts";

/** A program that runs while a test talks to it; `run.ts` is for those that are waited for. */
export interface Program {
  /** Everything it wrote so far, standard output and standard error as they came (UTF-8). */
  readonly text: string;
  /** Resolves with the match once it is there. @throws Error when the program has ended without it, or after 30 s */
  until(pattern: RegExp): Promise<RegExpExecArray>;
  write(text: string): void;
  /** Resolves with the exit code (`null` after a signal). @throws Error after 30 s */
  ended(): Promise<number | null>;
  /** Resolves once it is gone. */
  stop(): Promise<void>;
}

const PATIENCE_MS = 30_000;
const running = new Set<{ kill(signal: NodeJS.Signals): boolean }>();
// A test run that is broken off must not leave clients behind.
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** @param env whole environment; default PATH, HOME and LANG. Its input stays open. */
export function startProgram(
  command: string,
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Program {
  const { env = bareEnv(), cwd } = options;
  const child = spawn(command, args, { env: { ...env }, cwd, stdio: "pipe" });
  running.add(child);
  const waiting = new Set<() => void>();
  let text = "";
  let exit: { readonly code: number | null } | null = null;
  const wake = (): void => waiting.forEach((look) => look());
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (chunk: string) => {
      text += chunk;
      wake();
    });
  }
  // A program that has gone does not read any more; what it wrote tells why.
  child.stdin.on("error", () => undefined);
  const over = (code: number | null): void => {
    running.delete(child);
    exit = { code };
    wake();
  };
  child.on("error", (error) => {
    text += String(error);
    over(null);
  });
  child.on("close", over);

  const when = (isDone: () => boolean, what: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        waiting.delete(look);
      };
      const fail = (why: string): void => {
        settle();
        reject(new Error(`${command}: ${what} ${why}\n${text}`));
      };
      const look = (): void => {
        if (isDone()) {
          settle();
          resolve();
        } else if (exit !== null) fail("did not come before its end");
      };
      const timer = setTimeout(() => fail("did not come in time"), PATIENCE_MS);
      waiting.add(look);
      look();
    });
  return {
    get text() {
      return text;
    },
    async until(pattern) {
      await when(() => pattern.test(text), String(pattern));
      return pattern.exec(text) as RegExpExecArray;
    },
    write: (more) => void child.stdin.write(more),
    async ended() {
      await when(() => exit !== null, "the end");
      return exit?.code ?? null;
    },
    async stop() {
      if (exit === null) child.kill("SIGKILL");
      await when(() => exit !== null, "the end");
    },
  };
}
