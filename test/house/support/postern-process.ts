import { spawn } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
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
    async stop(stopMs = 10_000) {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), stopMs);
      await gone;
      clearTimeout(timer);
    },
    async exited(exitMs = 10_000) {
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

/** Ports that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((done, fail) => {
          const server = createServer();
          server.once("error", fail);
          server.listen(0, "127.0.0.1", () => done(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  // The system may give one again that was named before and is not in use yet.
  const fresh = ports.filter((port) => !named.has(port));
  for (const port of fresh) named.add(port);
  return fresh.length === count ? fresh : [...fresh, ...(await freePorts(count - fresh.length))];
}

/** Ports that this process has named: one config never gets the same twice. */
const named = new Set<number>();
