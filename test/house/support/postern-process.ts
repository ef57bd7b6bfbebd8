import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { bareEnv } from "./run.ts";

/** One running `postern` command. */
export interface PosternProcess {
  readonly pid: number;
  /** Everything it wrote so far, standard output and standard error as they came. */
  output(): string;
  /** `null` while it runs. */
  readonly exit: { readonly code: number | null; readonly signal: NodeJS.Signals | null } | null;
  /** Sends a signal to this process alone. */
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL when that has not ended it in `timeoutMs`. Resolves once it is gone. */
  stop(timeoutMs?: number): Promise<void>;
  /** Resolves with the exit code. @throws Error when it still runs after `timeoutMs` */
  exited(timeoutMs?: number): Promise<number | null>;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Names for the process's own lookups; others do not exist. */
  readonly hosts?: Readonly<Record<string, readonly string[]>>;
  /** Asked every 20 ms until it says true. */
  readonly ready: () => Promise<boolean>;
  /** ms; default 30 s */
  readonly timeoutMs?: number;
}

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
const support = dirname(fileURLToPath(import.meta.url));
const running = new Set<{ readonly kill: () => void }>();
// A test run that is broken off must not leave edges behind.
process.on("exit", () => running.forEach(({ kill }) => kill()));

/**
 * Starts `node src/main.ts ARGS` and waits until it is ready.
 * @throws Error with the whole output when it exits or is not ready in time
 */
export async function startPostern(args: readonly string[], options: StartOptions): Promise<PosternProcess> {
  const { hosts = {}, cwd = root, timeoutMs = 30_000 } = options;
  const env = { ...bareEnv(), ...options.env, POSTERN_TEST_HOSTS: JSON.stringify(hosts) };
  const preload = ["--import", join(support, "hosts-preload.ts")];
  const child = spawn(process.execPath, [...preload, join(root, "src/main.ts"), ...args], { cwd, env, stdio: "pipe" });
  const chunks: string[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk.toString("utf8")));
  child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk.toString("utf8")));
  const owner = { kill: () => child.kill("SIGKILL") };
  running.add(owner);
  let exit: PosternProcess["exit"] = null;
  const gone = new Promise<void>((done) => {
    child.on("close", (code, signal) => {
      exit = { code, signal };
      running.delete(owner);
      done();
    });
  });
  const postern: PosternProcess = {
    pid: child.pid ?? 0,
    output: () => chunks.join(""),
    get exit() {
      return exit;
    },
    signal: (signal) => void child.kill(signal),
    async stop(stopMs = 30_000) {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), stopMs);
      await gone;
      clearTimeout(timer);
    },
    async exited(exitMs = 30_000) {
      await within(exitMs, gone, () => `still running after ${exitMs} ms\n${chunks.join("")}`);
      return exit?.code ?? null;
    },
  };
  await untilReady(postern, args, options.ready, timeoutMs);
  return postern;
}

async function untilReady(
  postern: PosternProcess,
  args: readonly string[],
  ready: () => Promise<boolean>,
  timeoutMs: number,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await ready())) {
    const late = performance.now() > deadline;
    if (!late && postern.exit === null) {
      await new Promise((done) => setTimeout(done, 20));
      continue;
    }
    const exited = postern.exit !== null;
    if (!exited) await postern.stop();
    throw new Error(`postern ${args.join(" ")} ${exited ? "exited" : "is not ready in time"}\n${postern.output()}`);
  }
}

async function within(ms: number, work: Promise<void>, say: () => string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new Error(say())), ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Where `freePorts` looks: below what the system gives to connections and to whoever asks for any port (from 32768 on). */
const FIRST_PORT = 10_000;
/** Each of the processes that run tests at the same time has ports of its own. */
const SLOTS = 8;
const SLOT_PORTS = 2_800;
const slot = Number(process.env["VITEST_POOL_ID"] ?? 0) % SLOTS;
let looked = Math.floor(Math.random() * SLOT_PORTS);

/** Ports that are free, all different, and never the same twice: nobody gets one by chance before whoever asked listens there. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count; tries++) {
    if (tries === SLOT_PORTS) throw new Error(`no ${count} free ports from ${FIRST_PORT + slot * SLOT_PORTS} on`);
    const port = FIRST_PORT + slot * SLOT_PORTS + (looked++ % SLOT_PORTS);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(false));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });
}
