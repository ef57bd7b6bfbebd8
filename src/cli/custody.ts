import type { Command } from "commander";
import { issueAudit } from "../audit/privileged.ts";
import { AuditTrail } from "../audit/trail.ts";
import type { CustodyConfig } from "../config/config.ts";
import { loadCustodyConfig } from "../config/load.ts";
import { nearest } from "../config/nearest.ts";
import { Catalogue, filesOf } from "../custody/catalogue.ts";
import { FileWatch } from "../custody/file-watch.ts";
import type { Caller } from "../custody/caller.ts";
import { Issuer } from "../custody/issuer.ts";
import { CustodyServer, type CustodyServerEvents, type CustodyServerOptions } from "../custody/server.ts";
import type { CustodyServerTls } from "../custody/server-tls.ts";
import type { SecretStore } from "../custody/store/secret-store.ts";
import { VaultServers } from "../custody/vault/servers.ts";
import { Log } from "../telemetry/log.ts";
import { CommandFailure, EXIT, type Terminal } from "./command.ts";
import { configOf } from "./config-option.ts";
import { CustodyCatalogue } from "./custody/catalogue.ts";
import { registerOperations } from "./custody/operations.ts";
import { openState, type State } from "./custody/state.ts";
import { registerSecret } from "./custody/secret.ts";
import { openStore } from "./custody/store.ts";
import { readCustodyTls } from "./custody/tls-files.ts";
import { type EdgeSystem, realSystem } from "./edge/system.ts";
import { ReloadRequests } from "./reload-requests.ts";
import { stopSignal } from "./stop-signal.ts";
import { startWhole, type Undo } from "./undo.ts";
import { version } from "./version.ts";

/** How long running issues may take after SIGTERM, `ms`: longer than any edge waits for one. */
const DRAIN_MS = 10_000;
const TICK_MS = 1_000;

/** `postern custody`: the issuer as a process of its own, until SIGTERM or SIGINT; SIGHUP and a changed file reload it. */
export function register(command: Command, terminal: Terminal): void {
  command
    .option("-c, --config <file>", "config file of the custody; config/custody.example.yaml shows one")
    .helpCommand(true)
    .allowExcessArguments()
    .action(({ config: path }: { config?: string }) => {
      const [word] = command.args;
      if (word !== undefined) throw new CommandFailure(unknownCommand(word, command), EXIT.usage);
      // A required option would be asked of the commands below as well.
      if (path === undefined) throw new CommandFailure(NO_CONFIG, EXIT.usage);
      return serveCustody(path);
    });
  registerOperations(command, terminal);
  registerSecret(command.command("secret"), terminal);
}

const NO_CONFIG = "postern custody: name its config with --config FILE; config/custody.example.yaml shows one";

/** Its own action would take a slip for a word too many. */
function unknownCommand(word: string, { commands }: Command): string {
  const names = commands.map((one) => one.name());
  const near = nearest(word, names);
  return `postern custody: no such command: write ${near === null ? `one of ${names.join(", ")}` : near}`;
}

async function serveCustody(path: string): Promise<void> {
  const stopped = stopSignal();
  const requests = new ReloadRequests();
  const { config, digest, ...read } = configOf(loadCustodyConfig(path));
  const custody = await startCustody(config, digest, realSystem(version()));
  const reload = (): void => {
    const loaded = loadCustodyConfig(path);
    requests.follow(loaded);
    // Never rejects: a config that is not taken over is told in log, audit and health.
    void custody.catalogue.reload(loaded);
  };
  requests.handTo(reload, read, custody.logger);
  await stopped;
  requests.close();
  await custody.stop();
}

export interface RunningCustody {
  /** `unix:/path` or `host:port`. */
  readonly address: string;
  readonly logger: Log["logger"];
  readonly catalogue: CustodyCatalogue;
  /** Drains, closes the audit and zeroes what sources hold. */
  readonly stop: () => Promise<void>;
}

/**
 * Starts one custody: audit first, so that nothing is ever issued without it, the listener last.
 * @param digest of the config, for the record
 * @throws Error with a next step when a file cannot be read, the audit cannot be written or the address cannot be had
 */
export async function startCustody(config: CustodyConfig, digest: string, system: EdgeSystem): Promise<RunningCustody> {
  const tls = readCustodyTls(config.listen.tls);
  const destination = system.logDestination === null ? {} : { destination: system.logDestination };
  const log = new Log({ level: config.log.level, clock: system.clock, ...destination });
  return await startWhole(log, (undo) => join({ config, digest, tls, system, log }, undo));
}

interface Parts {
  readonly config: CustodyConfig;
  readonly digest: string;
  readonly tls: CustodyServerTls | null;
  readonly system: EdgeSystem;
  readonly log: Log;
}

/** @param undo is given what ends each part that was begun */
async function join({ config, digest, tls, system, log }: Parts, undo: Undo): Promise<RunningCustody> {
  const { clock, randomBytes, environment, uid } = system;
  const { logger } = log;
  const warn = (warning: string) => logger.warn({ warning }, "custody");
  const audit = await AuditTrail.open({
    ...config.audit,
    instance: system.instance,
    clock,
    randomBytes,
    onAlarm: (alarm) => logger.error({ alarm }, "audit"),
    onAnchor: (head) => logger.info({ head }, "audit anchor"),
  });
  undo.add(() => audit.close());
  const state = await openState(config.state, { clock, randomBytes }, undo);
  const { revocations } = state;
  const vaults = new VaultServers({ clock, environment, uid, warn, random: system.random });
  undo.add(() => vaults.close());
  const store = await openStore(config, system, {
    warn,
    onWrite: (before, after) => files.accept(config.store?.file ?? "", before, after),
  });
  undo.add(() => store?.close());
  const sources = { clock, environment, uid, warn, randomBytes, store, vaults };
  const issuer = new Issuer({
    catalogue: Catalogue.open(config.credentials, sources),
    audit: issueAudit(audit),
    clock,
    newId: () => randomBytes(16).toString("hex"),
    salt: randomBytes(32),
    revocations,
    tenantMounts: config.tenantMounts,
    warn,
  });
  undo.add(() => issuer.close());
  // While nobody asks for anything, what has run out is still to be given back.
  const ticker = setInterval(() => issuer.ledger.tick(), TICK_MS).unref();
  undo.add(() => clearInterval(ticker));
  const files = new FileWatch({
    onChange: (path) => logger.warn({ path }, "a credential file has changed: edges ask anew for its leases"),
  });
  undo.add(() => files.close());
  files.follow(filesOf(config.credentials, config.store?.file));
  await audit.privileged({
    type: "custody_started",
    facts: { config: digest, credentials: config.credentials.length, revocations: revocations.size },
  });
  const { address } = config.listen;
  const events = eventsTo(log);
  const health = () => catalogue.health;
  const boot = randomBytes(4).toString("hex");
  const catalogue = new CustodyCatalogue(
    { issuer, server: () => server, sources, files, audit, logger, clock, running: config, digest, boot },
    tls,
  );
  const { limits, operators } = config;
  const common = { issuer, callers: config.clients, clock, events, health, limits };
  // First: edges find nobody in front of a custody that cannot be operated.
  const desk = operators === null ? null : await openOperators(operators, common);
  undo.add(() => desk?.close(0));
  const server = await CustodyServer.start({ ...common, address, tls });
  const facts = { address: server.address, credentials: config.credentials.length, revocations: revocations.size };
  logger.info({ ...facts, operators: desk?.address ?? null }, "ready");
  const stop = () =>
    stopCustody({
      servers: desk === null ? [server] : [server, desk],
      issuer,
      vaults,
      state,
      store,
      files,
      audit,
      log,
      ticker,
    });
  return { address: server.address, logger, catalogue, stop };
}

/** The operators' socket: whoever can open it may operate, and may not lease. */
function openOperators(
  { path, mode }: NonNullable<CustodyConfig["operators"]>,
  common: Omit<CustodyServerOptions, "address" | "tls">,
): Promise<CustodyServer> {
  const socketCaller: Caller = { name: "operator", tenants: null, may: ["operate"] };
  return CustodyServer.start({ ...common, address: { kind: "unix", path }, tls: null, socketMode: mode, socketCaller });
}

interface Running {
  readonly servers: readonly CustodyServer[];
  readonly issuer: Issuer;
  readonly vaults: VaultServers;
  readonly state: State;
  readonly store: SecretStore | null;
  readonly files: FileWatch;
  readonly audit: AuditTrail;
  readonly log: Log;
  readonly ticker: NodeJS.Timeout;
}

async function stopCustody({
  servers,
  issuer,
  vaults,
  state,
  store,
  files,
  audit,
  log,
  ticker,
}: Running): Promise<void> {
  log.logger.info({ drain_ms: DRAIN_MS }, "draining");
  await Promise.all(servers.map((server) => server.close(DRAIN_MS)));
  clearInterval(ticker);
  files.close();
  // Before the issuer lets go of them: a Vault that is let go waits for its leases to end.
  await vaults.close();
  issuer.close();
  store?.close();
  try {
    await state.close();
    await audit.privileged({ type: "custody_stopping", facts: {} });
    await audit.close();
    log.logger.info("stopped");
  } finally {
    await log.close();
  }
}

function eventsTo({ logger }: Log): CustodyServerEvents {
  return {
    answered: ({ caller, status, reason, durationMs }) => {
      const facts = { caller, status, reason, duration_ms: durationMs };
      if (status === 200) logger.debug(facts, "answer");
      else logger.warn(facts, "refusal");
    },
    broken: (code) => logger.info({ code }, "broken connection"),
  };
}
