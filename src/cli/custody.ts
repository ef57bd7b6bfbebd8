import { readFileSync, statSync } from "node:fs";
import type { Command } from "commander";
import { issueAudit } from "../audit/privileged.ts";
import { AuditTrail } from "../audit/trail.ts";
import type { CustodyConfig, CustodyListen } from "../config/config.ts";
import { loadCustodyConfig } from "../config/load.ts";
import { Catalogue } from "../custody/catalogue.ts";
import { Issuer } from "../custody/issuer.ts";
import { CustodyServer, type CustodyServerEvents, type CustodyServerOptions } from "../custody/server.ts";
import { Log } from "../telemetry/log.ts";
import { CommandFailure, EXIT, type Terminal } from "./command.ts";
import { configOf } from "./config-option.ts";
import { type EdgeSystem, realSystem } from "./edge/system.ts";
import { stopSignal } from "./stop-signal.ts";
import { version } from "./version.ts";

/** How long running issues may take after SIGTERM, `ms`: longer than any edge waits for one. */
const DRAIN_MS = 10_000;

/** `postern custody`: the issuer as a process of its own, until SIGTERM or SIGINT. */
export function register(command: Command, _terminal: Terminal): void {
  command
    .requiredOption("-c, --config <file>", "config file of the custody; config/custody.example.yaml shows one")
    .action(async ({ config: path }: { config: string }) => {
      const stopped = stopSignal();
      const { config, digest } = configOf(loadCustodyConfig(path));
      const custody = await startCustody(config, digest, realSystem(version()));
      await stopped;
      await custody.stop();
    });
}

export interface RunningCustody {
  /** `unix:/path` or `host:port`. */
  readonly address: string;
  /** Drains, closes the audit and zeroes what sources hold. */
  readonly stop: () => Promise<void>;
}

/**
 * Starts one custody: audit first, so that nothing is ever issued without it, the listener last.
 * @param digest of the config, for the record
 * @throws Error with a next step when a file cannot be read, the audit cannot be written or the address cannot be had
 */
export async function startCustody(config: CustodyConfig, digest: string, system: EdgeSystem): Promise<RunningCustody> {
  const { clock, randomBytes, environment, uid, logDestination } = system;
  const tls = readTls(config.listen.tls);
  const destination = logDestination === null ? {} : { destination: logDestination };
  const log = new Log({ level: config.log.level, clock, ...destination });
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
  const issuer = new Issuer({
    catalogue: Catalogue.open(config.credentials, { clock, environment, uid, warn }),
    audit: issueAudit(audit),
    clock,
    newId: () => randomBytes(16).toString("base64url"),
    salt: randomBytes(32),
    warn,
  });
  try {
    await audit.privileged({
      type: "custody_started",
      facts: { config: digest, credentials: config.credentials.length },
    });
    const { address } = config.listen;
    const events = eventsTo(log);
    const server = await CustodyServer.start({ issuer, address, tls, callers: config.clients, clock, events });
    logger.info({ address: server.address, credentials: config.credentials.length }, "ready");
    return { address: server.address, stop: () => stop(server, issuer, audit, log) };
  } catch (error) {
    issuer.close();
    await audit.close();
    log.close();
    throw error;
  }
}

async function stop(server: CustodyServer, issuer: Issuer, audit: AuditTrail, log: Log): Promise<void> {
  log.logger.info({ drain_ms: DRAIN_MS }, "draining");
  await server.close(DRAIN_MS);
  issuer.close();
  try {
    await audit.privileged({ type: "custody_stopping", facts: {} });
    await audit.close();
    log.logger.info("stopped");
  } finally {
    log.close();
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

function readTls(files: CustodyListen["tls"]): CustodyServerOptions["tls"] {
  if (files === null) return null;
  const { certificate, key, clientCa } = files;
  return { certificate: readPem(certificate), key: readKey(key), clientCa: readPem(clientCa) };
}

function readPem(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CommandFailure(`${path}: cannot be read (${code ?? "unknown error"}): check path and owner`, EXIT.usage);
  }
}

/** A key that others can read is not a secret any more. */
function readKey(path: string): string {
  const text = readPem(path);
  if ((statSync(path).mode & 0o007) === 0) return text;
  throw new CommandFailure(`${path}: the key is open to everybody: chmod 0600 it, and think of a new one`, EXIT.usage);
}
