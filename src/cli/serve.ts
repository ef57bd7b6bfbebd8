import type { Command } from "commander";
import { watchConfig } from "../config/watch.ts";
import { collectGarbageOfStart } from "./collect-garbage.ts";
import type { Terminal } from "./command.ts";
import { addConfigOption, configOf } from "./config-option.ts";
import type { Edge } from "./edge/edge.ts";
import { type Prepared, prepare } from "./read-config/prepare.ts";
import { readConfig } from "./read-config/reader.ts";
import { Hangups } from "./hangups.ts";
import { stopSignal } from "./stop-signal.ts";
import { version } from "./version.ts";

/** `postern serve`: the edge, until SIGTERM or SIGINT; SIGHUP and a changed file reload the policy. */
export function register(command: Command, terminal: Terminal): void {
  addConfigOption(command, terminal).action(({ config: path }: { config: string }) => serve(path));
}

async function serve(path: string): Promise<void> {
  const stopped = stopSignal();
  const hangups = new Hangups();
  const stopping = new AbortController();
  const started = await startUnless(stopped, path);
  if (started === null) return;
  const { edge, files, seen } = started;
  const { logger } = edge.log;
  const watch = watchConfig(files, () => reload("the config changed"), {
    seen,
    onDegraded: (why) =>
      logger.warn({ why }, "a directory of the config cannot be watched: looking at it every few seconds"),
  });
  const reload = (why: string): void => {
    logger.info({ why }, "reading the config anew");
    // Never rejects: a config that is not taken over is told in log, metrics and readiness.
    void edge.policy.reload(async () => {
      const read = (verify: boolean) => readConfig({ path, verify, roots: false, signal: stopping.signal });
      const prepared = await prepare(async (verify) => (await read(verify)).loaded);
      watch.follow(prepared.files, prepared.seen);
      return prepared;
    });
  };
  collectGarbageOfStart();
  // What runs is logged, so that `ready` is one JSON line like all others.
  logger.info({ listeners: Object.fromEntries(edge.listeners), admin: edge.admin }, "ready");
  hangups.handTo(() => reload("SIGHUP"));
  await stopped;
  watch.close();
  stopping.abort();
  await edge.drain();
}

interface Started extends Pick<Prepared, "files" | "seen"> {
  readonly edge: Edge;
}

/** @returns `null` when it was stopped while its config was read, which may take long or hang: nothing is open by then */
async function startUnless(stopped: Promise<void>, path: string): Promise<Started | null> {
  const giveUp = new AbortController();
  void stopped.then(() => giveUp.abort());
  try {
    return await start(path, giveUp.signal);
  } catch (error) {
    if (giveUp.signal.aborted && error === giveUp.signal.reason) return null;
    throw error;
  }
}

/** Of the config itself nothing is kept but what the edge keeps: a long allow-list would lie there twice. */
async function start(path: string, signal: AbortSignal): Promise<Started> {
  let systemRoots: readonly string[] = [];
  const reading = prepare(async (verify) => {
    const { loaded, ...rest } = await readConfig({ path, verify, roots: true, signal });
    ({ systemRoots } = rest);
    return loaded;
  });
  // While another process reads the config, this one loads what it will need to run it.
  const [prepared, { startEdge }, { realSystem }] = await Promise.all([
    reading,
    import("./edge/edge.ts"),
    import("./edge/system.ts"),
  ]);
  const ready = configOf(prepared);
  const edge = await startEdge(ready, { ...realSystem(version()), systemRoots: () => systemRoots });
  return { edge, files: ready.files, seen: ready.seen };
}
