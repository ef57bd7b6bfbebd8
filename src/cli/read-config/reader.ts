import { fork, type StdioOptions } from "node:child_process";
import { extname, join } from "node:path";
import type { PosternConfig } from "../../config/config.ts";
import type { Loaded } from "../../config/load.ts";
import type { DestinationRule } from "../../core/destination.ts";
import type { Message, ReadOrder, Settings } from "./messages.ts";
import { frozen, PageReader } from "./rule-pages.ts";

/**
 * A config is read in a process of its own that ends when it is done: the YAML parser, the schemas and the garbage of both never
 * are in the process that serves, and a long list keeps no guest waiting while it is read.
 */
export interface ConfigReading {
  readonly loaded: Loaded<PosternConfig>;
  /** PEM roots of the system; empty unless they were asked for. */
  readonly systemRoots: readonly string[];
}

export interface ReadOptions extends ReadOrder {
  /** Ends the reading; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** A reading that takes longer has failed, `ms`. */
  readonly limitMs?: number;
  /** Module of the reading process. */
  readonly program?: string;
}

/** The largest file that is taken at all is read within a minute on a slow core. */
const LIMIT_MS = 180_000;

/**
 * It makes garbage and little else: with some room to let it lie a long list takes a quarter less of the CPU. None of the
 * flags that the edge itself was started with: a debugger or a profiler is meant for that one.
 */
const FLAGS = ["--max-semi-space-size=16"];

/** What it may see of the environment: where the system's roots are, and no credential. */
const INHERITED = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"];

const PROGRAM = join(import.meta.dirname, `program${extname(import.meta.filename)}`);

/** @throws Error when the process cannot be started, dies, or takes too long; never for what a file may hold */
export async function readConfig(options: ReadOptions): Promise<ConfigReading> {
  const { path, verify, roots, signal, limitMs = LIMIT_MS, program = PROGRAM } = options;
  signal?.throwIfAborted();
  const done = Promise.withResolvers<ConfigReading>();
  const fail = (why: string): void => done.reject(new Error(`the process that reads the config ${why}`));
  const child = fork(program, [JSON.stringify({ path, verify, roots } satisfies ReadOrder)], {
    env: inherited(),
    execArgv: FLAGS,
    serialization: "advanced",
    stdio: stdioFor(path),
  });
  const pages = new PageReader();
  const destinations: DestinationRule[] = [];
  const take = (message: Message): void => {
    if (message.kind === "page") for (const rule of pages.read(message.page)) destinations.push(rule);
    else
      done.resolve({
        loaded: withRules(message.loaded, Object.freeze(destinations)),
        systemRoots: frozen(message.systemRoots),
      });
  };
  child.on("message", (message: Message) => {
    try {
      take(message);
    } catch (error) {
      done.reject(error);
    }
  });
  child.on("error", (error: NodeJS.ErrnoException) => fail(`cannot be run (${error.code ?? error.message})`));
  // The end of a process may be known before its last words; when the channel has closed too, there are none.
  let exit: string | null = null;
  const ended = (): void => {
    if (exit !== null && !child.connected) fail(`ended by itself (${exit}): its memory may not have been enough`);
  };
  child.on("exit", (code, killedBy) => {
    exit = killedBy ?? `code ${code}`;
    ended();
  });
  child.on("disconnect", ended);
  const timer = setTimeout(() => fail(`had no answer after ${limitMs / 1000} s`), limitMs);
  const onAbort = (): void => done.reject(signal?.reason);
  signal?.addEventListener("abort", onAbort);
  try {
    return await done.promise;
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

function withRules(loaded: Loaded<Settings>, destinations: readonly DestinationRule[]): Loaded<PosternConfig> {
  if (!loaded.ok) return loaded;
  return { ...loaded, config: Object.freeze({ ...frozen(loaded.config), destinations }) };
}

/**
 * Standard input, so that `--config /dev/stdin` is what it says, and the descriptor that a path like that of `--config <(...)`
 * means. What a process says that dies goes to standard error.
 */
function stdioFor(path: string): StdioOptions {
  const stdio: (number | "ignore" | "inherit" | "ipc")[] = ["inherit", "ignore", "inherit"];
  const descriptor = Number(/^\/(?:dev|proc\/self)\/fd\/([0-9]{1,4})$/.exec(path)?.[1] ?? 0);
  while (stdio.length <= descriptor) stdio.push(stdio.length === descriptor ? descriptor : "ignore");
  return [...stdio, "ipc"];
}

function inherited(): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of INHERITED) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}
