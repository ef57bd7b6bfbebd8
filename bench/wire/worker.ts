import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";

/**
 * A process of the bench, pinned to a core. `Worker` also speaks with it: jobs go over the IPC channel, one reply each.
 */

export interface ProcessOptions {
  readonly command: readonly string[];
  /** CPU core that the process and its children are bound to, or `null`. */
  readonly core: number | null;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** File that takes standard output and error; appended to, so that it can be truncated between rounds. */
  readonly logFile: string;
  readonly ipc?: boolean;
}

export function spawnPinned({ command, core, env = {}, cwd, logFile, ipc = false }: ProcessOptions): ChildProcess {
  const [program = "", ...args] = core === null ? command : ["taskset", "-c", String(core), ...command];
  const log = openSync(logFile, "a");
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    ...(cwd === undefined ? {} : { cwd }),
    stdio: ipc ? ["ignore", log, log, "ipc"] : ["ignore", log, log],
  });
  closeSync(log);
  alive.add(child);
  child.once("exit", () => alive.delete(child));
  return child;
}

/** Everything that was started and has not ended. */
const alive = new Set<ChildProcess>();

/** Ends what is still there, such as a contender that was just starting when the run was interrupted. */
export async function stopEverything(): Promise<void> {
  await Promise.all([...alive].map((child) => stopProcess(child)));
}

// The last resort, when there is no time to be kind: a second Ctrl-C, a crash of the bench.
process.on("exit", () => alive.forEach((child) => child.kill("SIGKILL")));

/** Ends the process: SIGTERM, and SIGKILL when it does not heed that. */
export async function stopProcess(child: ChildProcess, graceMs = 5_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const kill = setTimeout(() => child.kill("SIGKILL"), graceMs);
  await exited;
  clearTimeout(kill);
}

interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export class Worker {
  readonly child: ChildProcess;
  readonly #name: string;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;

  constructor(name: string, options: Omit<ProcessOptions, "ipc">) {
    this.#name = name;
    this.child = spawnPinned({ ...options, ipc: true });
    this.child.on("message", (message) => this.#settle(message as Reply));
    this.child.on("error", (error) => this.#failAll(error.message));
    this.child.on("exit", (code, signal) => this.#failAll(`ended (${signal ?? code}); see ${options.logFile}`));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** @throws Error when the worker reports one, ends, or is silent for `deadlineMs` */
  call(job: object, deadlineMs: number): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new Error(`${this.#name}: no answer within ${deadlineMs} ms`));
      }, deadlineMs);
      this.#pending.set(id, { resolve, reject, timer });
      if (!this.child.connected) this.#failAll("has ended");
      else this.child.send({ id, job });
    });
  }

  stop(): Promise<void> {
    return stopProcess(this.child);
  }

  #settle({ id, result, error }: Reply): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if (error === undefined) pending.resolve(result);
    else pending.reject(new Error(error));
  }

  #failAll(why: string): void {
    for (const id of this.#pending.keys()) this.#settle({ id, error: `${this.#name} ${why}` });
  }
}

/** The worker's side: answers jobs until the parent goes away. */
export function serveJobs(answer: (job: never) => Promise<unknown>): void {
  process.on("disconnect", () => process.exit(0));
  // Ctrl-C reaches the whole group; the parent decides when its workers end.
  process.on("SIGINT", () => undefined);
  process.on("message", ({ id, job }: { id: number; job: never }) => {
    answer(job).then(
      (result) => process.send?.({ id, result }),
      (error: unknown) => process.send?.({ id, error: error instanceof Error ? error.message : String(error) }),
    );
  });
}
