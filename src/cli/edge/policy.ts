import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { Attachments } from "../../attach/attach.ts";
import type { AuditTrail } from "../../audit/trail.ts";
import type { PosternConfig } from "../../config/config.ts";
import type { Loaded } from "../../config/load.ts";
import { problemLine } from "../../config/problem.ts";
import type { Clock } from "../../core/clock.ts";
import type { LeaseKeeper } from "../../custody/keeper.ts";
import { compilePolicy } from "../../policy/compile.ts";
import type { PolicyHolder } from "../../policy/holder.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Custodies } from "./custodies.ts";

interface Parts {
  readonly holder: PolicyHolder;
  readonly keeper: LeaseKeeper;
  readonly custodies: Custodies;
  readonly attach: Attachments;
  readonly audit: AuditTrail;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly clock: Clock;
  /** The config that the edge was started with: what else it says is taken over by a restart only. */
  readonly running: PosternConfig;
}

/** Files were renewed, or a signal came without a change. */
const NOTHING_NEW = "the policy is in force already; renewed files of ca and custody.*.remote.tls need a restart";

/** What a reload takes over. */
const RELOADABLE: ReadonlySet<string> = new Set(["destinations", "custodies"]);

/** The policy of a running edge: taken over whole or not at all. */
export class EdgePolicy {
  readonly #parts: Parts;
  #custodies: PosternConfig["custodies"];
  #reloading: Promise<void> = Promise.resolve();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#custodies = parts.running.custodies;
  }

  /**
   * Puts a checked config's destinations and credentials in force.
   * @throws Error when the rules do not compile or the record cannot be made durable; the old policy then stays
   */
  async take(config: PosternConfig, digest: string): Promise<void> {
    const { holder, keeper, custodies, attach, audit, metrics, logger, clock } = this.#parts;
    const { policy, problems } = compilePolicy(config.destinations);
    if (problems !== null) throw new Error(problems.map(({ message }) => message).join("\n"));
    await audit.privileged({
      type: "policy_loaded",
      facts: { config: digest, destinations: config.destinations.length },
    });
    if (!isDeepStrictEqual(config.custodies, this.#custodies)) {
      const opened = await custodies.open(config.custodies);
      keeper.useCustodies(opened);
      custodies.retire(opened);
      this.#custodies = config.custodies;
    }
    attach.setStandIns(standInsOf(config));
    holder.swap(policy, { version: digest.slice(0, 12), loadedWallMs: clock.wallMs() });
    metrics.policyReloaded(true);
    logger.info({ version: digest.slice(0, 12), destinations: config.destinations.length }, "policy loaded");
  }

  /**
   * A config was read anew: takes it over, or keeps the old one and says so loudly; one after the other, so that the last
   * one read is the one in force. Never rejects.
   */
  reload(loaded: Loaded<PosternConfig>): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#reload(loaded));
    return this.#reloading;
  }

  async #reload(loaded: Loaded<PosternConfig>): Promise<void> {
    try {
      if (!loaded.ok) throw new Error(loaded.problems.map(problemLine).join("\n"));
      const { version, problem } = this.#parts.holder.state;
      // A bad file that was put back to what is in force must clear the problem as well.
      if (problem === null && loaded.digest.startsWith(version ?? "-")) {
        this.#parts.logger.info({ version }, NOTHING_NEW);
        return;
      }
      const restart = Object.entries(this.#parts.running)
        .filter(([key, value]) => !RELOADABLE.has(key) && !isDeepStrictEqual(value, Reflect.get(loaded.config, key)))
        .map(([key]) => key);
      await this.take(loaded.config, loaded.digest);
      if (restart.length > 0)
        this.#parts.logger.warn({ sections: restart }, "restart the edge to take over these sections");
    } catch (error) {
      await this.#rejected(error instanceof Error ? error.message : String(error));
    }
  }

  async #rejected(why: string): Promise<void> {
    const { holder, metrics, logger, audit, clock } = this.#parts;
    holder.reloadFailed(why, clock.wallMs());
    metrics.policyReloaded(false);
    logger.error({ why }, "config not taken over: the old policy stays in force");
    try {
      await audit.privileged({ type: "policy_rejected", facts: { why } });
    } catch (error) {
      logger.error({ err: error }, "audit");
    }
  }
}

/** Every stand-in of the config: none of them may leave unreplaced, whatever the destination. */
function* standInsOf(config: PosternConfig): Generator<string> {
  for (const { destination } of config.destinations) {
    for (const attachment of destination.attachments) if (attachment.as === "placeholder") yield attachment.value;
  }
}
