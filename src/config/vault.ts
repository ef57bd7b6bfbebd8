import { Authority } from "../core/authority.ts";
import type { CredentialKind } from "../core/credential.ts";
import type { VaultAddress, VaultLogin, VaultServer, VaultSourceSpec } from "../core/vault.ts";
import type { FileSet } from "./file-set.ts";
import type { Advice } from "./listen-address.ts";
import { parseRemoteAddress } from "./listen-address.ts";
import { localSource } from "./local-source.ts";
import { nearest } from "./nearest.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";
import type { RawVault, RawVaultSource } from "./vault-schema.ts";

/** The Vaults of one custody; looks up what sources name. */
export class VaultBook {
  readonly #servers = new Map<string, VaultServer | null>();
  readonly #report: Report;
  /** Every name is known, so that another one is a mistake. */
  readonly #isWhole: boolean;

  /**
   * @param raws by name; `null` where one has not even the right shape, and `null` altogether where none can be read
   * @param path where they stand
   */
  constructor(raws: ReadonlyMap<string, RawVault | null> | null, path: Path, files: FileSet, report: Report) {
    this.#report = report;
    this.#isWhole = raws !== null;
    for (const [name, raw] of raws ?? [])
      this.#servers.set(name, raw === null ? null : vaultServer(name, raw, [...path, name], files, report));
  }

  /** @param path where the source stands. @returns `null` when what is wrong is in the report */
  source(raw: RawVaultSource, kind: CredentialKind, path: Path): VaultSourceSpec | null {
    const report = this.#report;
    const server = this.#find(raw.vault, [...path, "vault"]);
    const mount = raw.mount ?? raw.path.split("/", 1)[0] ?? "";
    const below = raw.path.startsWith(`${mount}/`) ? raw.path.slice(mount.length + 1) : "";
    if (below === "")
      report.add(
        [...path, "path"],
        `${quoted(raw.path)}: nothing is left below the mount ${quoted(mount)}: write "mount/path"`,
      );
    if (raw.engine === "kv2" && below.startsWith("data/"))
      report.add([...path, "path"], `${quoted(raw.path)}: "data/" is put in by itself: leave it out`);
    if (raw.version !== undefined && raw.engine !== "kv2")
      report.add([...path, "version"], `engine ${raw.engine} has no versions: leave it out`, true);
    if (raw.shared_by === "tenant" && raw.engine !== "dynamic")
      report.add([...path, "shared_by"], `engine ${raw.engine} makes no credentials: leave it out`, true);
    const needsField = kind === "token" || kind === "header" || kind === "signing_key";
    if (needsField && raw.field === undefined)
      report.add([...path, "field"], `missing: name the field that is the ${kind}`, true);
    if (server === null) return null;
    return Object.freeze({
      from: "vault",
      server,
      engine: raw.engine,
      mount,
      path: below,
      field: raw.field ?? null,
      version: raw.version ?? null,
      sharedBy: raw.shared_by,
    });
  }

  #find(name: string, path: Path): VaultServer | null {
    const server = this.#servers.get(name);
    if (server !== undefined) return server;
    if (!this.#isWhole) return null;
    const near = nearest(name, this.#servers.keys());
    const advice = near === null ? `add it to \`vaults:\` of this custody` : `write ${quoted(near)}`;
    this.#report.add(path, `${quoted(name)}: there is no vault of this name: ${advice}`);
    return null;
  }
}

/** Stands in for an address that is in the report: such a config is never handed out. */
const NOWHERE: VaultAddress = Object.freeze({ kind: "unix", path: "/nonexistent" });

function vaultServer(name: string, raw: RawVault, path: Path, files: FileSet, report: Report): VaultServer {
  const address = report.take([...path, "address"], parseVaultAddress(raw.address, files.baseDir)) ?? NOWHERE;
  const isTls = address.kind === "https";
  if (raw.ca !== undefined && !isTls && address !== NOWHERE)
    report.add([...path, "ca"], "there is no TLS on this address: leave it out", true);
  if (raw.server_name !== undefined && !isTls && address !== NOWHERE)
    report.add([...path, "server_name"], "there is no TLS on this address: leave it out", true);
  const ca = raw.ca === undefined || !isTls ? null : report.take([...path, "ca"], files.roots(raw.ca));
  return Object.freeze({
    name,
    address: Object.freeze(address),
    namespace: raw.namespace ?? null,
    ca,
    serverName: raw.server_name ?? (address.kind === "unix" ? "" : address.host),
    login: Object.freeze(vaultLogin(raw.login, [...path, "login"], files, report)),
    timeoutMs: raw.timeout_ms,
  });
}

function vaultLogin(raw: RawVault["login"], path: Path, files: FileSet, report: Report): VaultLogin {
  if ("kubernetes" in raw) {
    const { role, mount, token_file } = raw.kubernetes;
    return { by: "kubernetes", mount, role, token: Object.freeze({ from: "file", path: files.absolute(token_file) }) };
  }
  if ("jwt" in raw) {
    const { role, mount, token } = raw.jwt;
    return { by: "jwt", mount, role, token: Object.freeze(localSource(token, files)) };
  }
  if ("token" in raw) {
    const { token } = raw;
    if ("sink" in token)
      return { by: "token", isSink: true, token: Object.freeze({ from: "file", path: files.absolute(token.sink) }) };
    return { by: "token", isSink: false, token: Object.freeze(localSource(token, files)) };
  }
  const { role_id, mount, secret_id, wrapped_secret_id } = raw.approle;
  const secretId = wrapped_secret_id ?? secret_id ?? { env: "NONE" };
  if ((secret_id === undefined) === (wrapped_secret_id === undefined))
    report.add(
      [...path, "approle", "secret_id"],
      "write either `secret_id` or `wrapped_secret_id`, one of them",
      secret_id === undefined,
    );
  return {
    by: "approle",
    mount,
    roleId: role_id,
    secretId: Object.freeze(localSource(secretId, files)),
    isWrapped: wrapped_secret_id !== undefined,
  };
}

/** @param text `https://host[:port]`, `http://` of a loopback address, or `unix:/path` */
function parseVaultAddress(text: string, baseDir: string): VaultAddress | Advice {
  if (text.startsWith("unix:")) {
    const address = parseRemoteAddress(text, baseDir);
    return "advice" in address || address.kind !== "unix" ? (address as Advice) : address;
  }
  const [, scheme, rest = ""] = /^(https?):\/\/([^/?#@]+)\/?$/.exec(text) ?? [];
  const authority = Authority.parse(rest, 8200);
  if ((scheme !== "https" && scheme !== "http") || authority === null)
    return { advice: `${quoted(text)}: write an address such as "https://vault.internal:8200", without a path` };
  const { host, port, ip } = authority;
  const isLoopback = ip !== null && (host.startsWith("127.") || host === "::1");
  if (scheme === "http" && !isLoopback)
    return { advice: `${quoted(text)}: tokens and secrets would cross the network in clear: write "https://${rest}"` };
  return { kind: scheme, host, port };
}
