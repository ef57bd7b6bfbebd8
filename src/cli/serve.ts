import type { Command } from "commander";
import { collectGarbageOfStart } from "./collect-garbage.ts";
import type { Terminal } from "./command.ts";
import { addConfigOption, configOf } from "./config-option.ts";
import type { Edge } from "./edge/edge.ts";
import { prepare } from "./read-config/prepare.ts";
import { readConfig } from "./read-config/reader.ts";
import { type ReadFrom, ReloadRequests } from "./reload-requests.ts";
import { stopSignal } from "./stop-signal.ts";
import { version } from "./version.ts";

/** `postern serve`: the edge, until SIGTERM or SIGINT; SIGHUP and a changed file reload the policy. */
export function register(command: Command, terminal: Terminal): void {
  addConfigOption(command, terminal).action(({ config: path }: { config: string }) => serve(path));
}

/** `serve --config FILE`, as the image starts it. */
export async function unparsed(words: readonly string[]): Promise<boolean> {
  const [option, path, ...others] = words;
  if (option !== "--config" || path === undefined || path === "" || path.startsWith("-") || others.length > 0)
    return false;
  await serve(path);
  return true;
}

async function serve(path: string): Promise<void> {
  const stopped = stopSignal();
  const requests = new ReloadRequests();
  const stopping = new AbortController();
  void stopped.then(() => stopping.abort());
  const started = await startUnless(stopping.signal, path);
  if (started === null) return;
  const { edge, read } = started;
  // Never rejects: a config that is not taken over is told in log, metrics and readiness.
  const reload = () => {
    edge.certificates.renew();
    void edge.policy.reload(async () => {
      const prepared = await prepare(async (verify) => {
        const { loaded } = await readConfig({ path, verify, roots: false, signal: stopping.signal });
        return loaded;
      });
      requests.follow(prepared);
      return prepared;
    });
  };
  collectGarbageOfStart();
  // What runs is logged, so that `ready` is one JSON line like all others.
  const { logger } = edge.log;
  logger.info({ listeners: Object.fromEntries(edge.listeners), admin: edge.admin }, "ready");
  requests.handTo(reload, read, logger);
  await stopped;
  requests.close();
  await edge.drain();
}

interface Started {
  readonly edge: Edge;
  readonly read: ReadFrom;
}

/** @returns `null` when it was stopped while its config was read, which may take long or hang: nothing is open by then */
async function startUnless(stopping: AbortSignal, path: string): Promise<Started | null> {
  try {
    return await start(path, stopping);
  } catch (error) {
    if (stopping.aborted && error === stopping.reason) return null;
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
  return { edge, read: { files: ready.files, seen: ready.seen } };
}
