import type { SessionClaims } from "../core/exchange.ts";
import type { AdminConfig, ListenerConfig, SessionRule } from "./config.ts";
import type { FileSet } from "./file-set.ts";
import { isLocal, type ListenAddress, overlap, parseListenAddress } from "./listen-address.ts";
import { proxySendersOf, socketAccessOf, tlsFilesOf } from "./listener-ways.ts";
import type { RawListener } from "./listener-schema.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";
import type { RawAdmin } from "./schema.ts";

/** The guest listeners. @param raws `null` where an entry has not even the right shape */
export function listenerConfigs(
  raws: readonly (RawListener | null)[],
  files: FileSet,
  report: Report,
): readonly ListenerConfig[] {
  const listeners: ListenerConfig[] = [];
  const names = new Set<string>();
  const sessions = new Set<string>();
  for (const [i, raw] of raws.entries()) {
    if (raw === null) continue;
    const path = ["listeners", i];
    if (names.has(raw.name))
      report.add([...path, "name"], `${quoted(raw.name)}: another listener has this name: write a different one`);
    names.add(raw.name);
    const address = report.take([...path, "address"], parseListenAddress(raw.address, files.baseDir));
    const session = sessionRule(raw.session);
    if (session.mode === "listener") {
      const id = `${session.claims.tenant} ${session.claims.id}`;
      if (sessions.has(id))
        report.add(
          [...path, "session", "id"],
          `${quoted(session.claims.id)}: another listener has this session: write a different id`,
        );
      sessions.add(id);
    }
    const tls = tlsFilesOf(raw, path, files, report);
    if (address === null) continue;
    const proxySenders = proxySendersOf(raw, address, path, report);
    const socket = socketAccessOf(raw, address, path, report);
    const twin = listeners.find((other) => overlap(other.address, address));
    if (twin !== undefined)
      report.add(
        [...path, "address"],
        `${quoted(raw.address)}: listener ${quoted(twin.name)} has this address: write another port`,
      );
    if (raw.session.mode === "open" && !isLocal(address) && !raw.session.allow_open_on_network)
      report.add([...path, "session", "mode"], openAdvice(address));
    listeners.push(
      Object.freeze({ name: raw.name, address, protocol: raw.protocol, tls, proxySenders, session, socket }),
    );
  }
  return Object.freeze(listeners);
}

function openAdvice(address: ListenAddress): string {
  return `"open": everybody who reaches ${address.text} would be this session: listen on 127.0.0.1 or a unix socket, or write \`allow_open_on_network: true\``;
}

function sessionRule(raw: RawListener["session"]): SessionRule {
  const claims: SessionClaims = Object.freeze({
    id: raw.id,
    tenant: raw.tenant,
    workspace: raw.workspace,
    subject: raw.subject ?? raw.id,
    roles: Object.freeze(raw.roles),
  });
  return Object.freeze({ mode: raw.mode, claims });
}

/** The admin listener, which no guest may reach. */
export function adminConfig(
  raw: RawAdmin,
  listeners: readonly ListenerConfig[],
  baseDir: string,
  report: Report,
): AdminConfig | null {
  const path: Path = ["admin", "address"];
  const address = report.take(path, parseListenAddress(raw.address, baseDir));
  if (address === null) return null;
  const guests = listeners.find((listener) => overlap(listener.address, address));
  if (guests !== undefined)
    report.add(path, `${quoted(raw.address)}: guests reach it as listener ${quoted(guests.name)}: write another port`);
  if (!isLocal(address) && !raw.allow_network)
    report.add(
      path,
      `${quoted(raw.address)}: other machines can reach it: listen on 127.0.0.1 or a unix socket, or write \`allow_network: true\``,
    );
  return Object.freeze({ address });
}
