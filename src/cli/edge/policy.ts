import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { Attachments } from "../../attach/attach.ts";
import type { AuditTrail } from "../../audit/trail.ts";
import type { PosternConfig } from "../../config/config.ts";
import { problemLine } from "../../config/problem.ts";
import type { Clock } from "../../core/clock.ts";
import type { LeaseKeeper } from "../../custody/keeper.ts";
import type { PolicyHolder } from "../../policy/holder.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { FixedSections } from "../fixed-sections.ts";
import type { Prepared, Ready } from "../read-config/prepare.ts";
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
  /** The config that the edge was started with. */
  readonly running: PosternConfig;
}

/** Files were renewed, or a signal came without a change. */
const NOTHING_NEW =
  "the policy is in force already; renewed files of ca and custody.*.remote.tls need a restart, those of listeners do not";

/** What a reload takes over. */
const RELOADABLE: ReadonlySet<string> = new Set(["destinations", "custodies", "parents"]);

/** The policy of a running edge: taken over whole or not at all. */
export class EdgePolicy {
  readonly #parts: Omit<Parts, "running">;
  readonly #fixed: FixedSections;
  #custodies: PosternConfig["custodies"];
  #reloading: Promise<void> = Promise.resolve();
  #waiting = false;
  #closed = false;

  constructor({ running, ...parts }: Parts) {
    this.#parts = parts;
    this.#fixed = new FixedSections(running, RELOADABLE);
    this.#custodies = running.custodies;
  }

  /**
   * Puts a checked config's destinations and credentials in force.
   * @throws Error when the record cannot be made durable; the old policy then stays
   */
  async take({ config, digest, policy }: Ready): Promise<void> {
    const { holder, keeper, custodies, attach, audit, metrics, logger, clock } = this.#parts;
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
   * Reads a config anew and takes it over, or keeps the old one and says so loudly. One after the other, so that the last one
   * read is the one in force; who asks while another one waits for its turn is served by that one. Never rejects.
   */
  reload(read: () => Promise<Prepared>): Promise<void> {
    if (!this.#waiting) {
      this.#waiting = true;
      this.#reloading = this.#reloading.then(() => {
        this.#waiting = false;
        return this.#reload(read);
      });
    }
    return this.#reloading;
  }

  /** Nothing is taken over any more. */
  close(): void {
    this.#closed = true;
  }

  async #reload(read: () => Promise<Prepared>): Promise<void> {
    if (this.#closed) return;
    try {
      const prepared = await read();
      if (!prepared.ok) throw new Error(prepared.problems.map(problemLine).join("\n"));
      if (this.#closed) return;
      if (this.#isInForce(prepared.digest)) {
        this.#parts.logger.info({ version: prepared.digest.slice(0, 12) }, NOTHING_NEW);
        return;
      }
      const restart = this.#fixed.changedIn(prepared.config);
      await this.take(prepared);
      if (restart.length > 0)
        this.#parts.logger.warn({ sections: restart }, "restart the edge to take over these sections");
    } catch (error) {
      if (!this.#closed) await this.#rejected(error instanceof Error ? error.message : String(error));
    }
  }

  /** A fault that was mended by writing the old text again is over, which only taking it over anew will tell. */
  #isInForce(digest: string): boolean {
    const { version, problem } = this.#parts.holder.state;
    return problem === null && version !== null && digest.startsWith(version);
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
function standInsOf(config: PosternConfig): string[] {
  const found: string[] = [];
  for (const { destination } of config.destinations) {
    for (const attachment of destination.attachments) if (attachment.as === "placeholder") found.push(attachment.value);
    const { synthetic } = destination;
    if (synthetic !== null) found.push(synthetic.as === "aws_sts" ? synthetic.sessionToken : synthetic.token);
  }
  return found;
}
