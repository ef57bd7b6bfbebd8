import type { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import { collectGarbageOfStart } from "./collect-garbage.ts";
import type { Terminal } from "./command.ts";
import { addConfigOption, configOf } from "./config-option.ts";
import { startEdge } from "./edge/edge.ts";
import { realSystem } from "./edge/system.ts";
import { policyFindings } from "./policy-findings.ts";
import { Hangups } from "./hangups.ts";
import { runUntilStopped, stopAsked } from "./run-until-stopped.ts";
import { watchConfig } from "../config/watch.ts";
import { version } from "./version.ts";

/** `postern serve`: the edge, until SIGTERM or SIGINT; SIGHUP and a changed file reload the policy. */
export function register(command: Command, terminal: Terminal): void {
  addConfigOption(command, terminal).action(async ({ config: path }: { config: string }) => {
    // Signals that come while it is starting are heard once it has started.
    const asked = stopAsked();
    const hangups = new Hangups();
    const { config, digest, files } = configOf(loadConfig(path, policyFindings));
    const edge = await startEdge(config, digest, realSystem(version()));
    const { logger } = edge.log;
    collectGarbageOfStart();
    // What runs is logged, so that `ready` is one JSON line like all others.
    logger.info({ listeners: Object.fromEntries(edge.listeners), admin: edge.admin }, "ready");
    const watch = watchConfig(files, () => reload("the config changed"), {
      onDegraded: (why) =>
        logger.warn({ why }, "a directory of the config cannot be watched: looking at it every few seconds"),
    });
    const reload = (why: string): void => {
      logger.info({ why }, "reading the config anew");
      const loaded = loadConfig(path, policyFindings);
      watch.follow(loaded.files);
      // Never rejects: a config that is not taken over is told in log, metrics and readiness.
      void edge.policy.reload(loaded);
    };
    hangups.handTo(() => reload("SIGHUP"));
    await runUntilStopped(async () => {
      watch.close();
      await edge.drain();
    }, asked);
  });
}
