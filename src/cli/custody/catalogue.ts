import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { AuditTrail } from "../../audit/trail.ts";
import type { CustodyConfig } from "../../config/config.ts";
import type { Loaded } from "../../config/load.ts";
import { problemLine } from "../../config/problem.ts";
import type { Clock } from "../../core/clock.ts";
import type { CustodyHealth } from "../../core/custody.ts";
import { filesOf } from "../../custody/catalogue.ts";
import type { FileWatch } from "../../custody/file-watch.ts";
import type { Issuer } from "../../custody/issuer.ts";
import type { CustodyServer } from "../../custody/server.ts";
import type { CustodyServerTls } from "../../custody/server-tls.ts";
import type { SourceContext } from "../../custody/sources/source.ts";
import { FixedSections } from "../fixed-sections.ts";
import { readCustodyTls } from "./tls-files.ts";

interface Parts {
  readonly issuer: Issuer;
  readonly server: () => CustodyServer;
  readonly sources: SourceContext;
  readonly files: FileWatch;
  readonly audit: AuditTrail;
  readonly logger: Logger;
  readonly clock: Clock;
  /** The config that the custody was started with. */
  readonly running: CustodyConfig;
  readonly digest: string;
  /** Of this start alone. */
  readonly boot: string;
}

/** What a reload takes over. */
const RELOADABLE: ReadonlySet<string> = new Set(["credentials", "clients", "tenantMounts"]);

/**
 * The catalogue, the clients and the certificates of a running custody: taken over whole or not at all. Leases that were
 * issued stay; an edge asks anew for them once it sees in the health that the catalogue is another one.
 */
export class CustodyCatalogue {
  readonly #parts: Parts;
  readonly #fixed: FixedSections;
  #digest: string;
  #tls: CustodyServerTls | null;
  #problem: string | null = null;
  #reloading: Promise<void> = Promise.resolve();

  /** @param tls the certificates that the listener was started with */
  constructor(parts: Parts, tls: CustodyServerTls | null) {
    this.#parts = parts;
    this.#fixed = new FixedSections(parts.running, RELOADABLE);
    this.#digest = parts.digest;
    this.#tls = tls;
  }

  get health(): CustodyHealth {
    const { boot, files, sources } = this.#parts;
    // A file that was rotated changes what may be leased as much as the config does. Of what changed while no custody ran, its
    // environment included, nobody can tell: each start counts as a change.
    const catalogue = `${this.#digest.slice(0, 12)}.${boot}.${files.revision}`;
    return { catalogue, problem: this.#problem ?? sources.vaults?.problem ?? null };
  }

  /**
   * A config was read anew: takes it over, or keeps the old one and says so loudly; one after the other, so that the last
   * one read is the one in force. Never rejects.
   */
  reload(loaded: Loaded<CustodyConfig>): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#reload(loaded));
    return this.#reloading;
  }

  async #reload(loaded: Loaded<CustodyConfig>): Promise<void> {
    try {
      if (!loaded.ok) throw new Error(loaded.problems.map(problemLine).join("\n"));
      const tls = readCustodyTls(this.#parts.running.listen.tls);
      const isSame = loaded.digest === this.#digest && isDeepStrictEqual(tls, this.#tls);
      // What was put back to what is in force clears the problem as well.
      if (isSame && this.#problem === null) {
        this.#parts.logger.info({ version: loaded.digest.slice(0, 12) }, "the catalogue is in force already");
        return;
      }
      await this.#take(loaded.config, loaded.digest, tls);
    } catch (error) {
      await this.#rejected(error instanceof Error ? error.message : String(error));
    }
  }

  async #take(config: CustodyConfig, digest: string, tls: CustodyServerTls | null): Promise<void> {
    const { issuer, server, sources, files, audit, logger, running } = this.#parts;
    const next = issuer.catalogue.succeededBy(config.credentials, sources);
    const credentials = config.credentials.length;
    try {
      await audit.privileged({ type: "catalogue_loaded", facts: { config: digest, credentials } });
      // The last step that can fail; nothing is awaited between here and the end.
      if (tls !== null && !isDeepStrictEqual(tls, this.#tls)) server().useTls(tls);
    } catch (error) {
      next.closeExcept(issuer.catalogue);
      throw error;
    }
    this.#tls = tls;
    server().useCallers(config.clients);
    issuer.useCatalogue(next, config.tenantMounts);
    files.follow(filesOf(config.credentials, running.store?.file));
    this.#digest = digest;
    this.#problem = null;
    logger.info({ version: digest.slice(0, 12), credentials }, "catalogue loaded");
    const restart = this.#fixed.changedIn(config);
    if (restart.length > 0) logger.warn({ sections: restart }, "restart the custody to take over these sections");
  }

  async #rejected(why: string): Promise<void> {
    const { logger, audit, clock } = this.#parts;
    const at = new Date(clock.wallMs()).toISOString();
    this.#problem = `the reload at ${at} was rejected: ${why.split("\n", 1)[0]}`;
    logger.error({ why }, "config not taken over: the old catalogue stays in force");
    try {
      await audit.privileged({ type: "catalogue_rejected", facts: { why } });
    } catch (error) {
      logger.error({ err: error }, "audit");
    }
  }
}
