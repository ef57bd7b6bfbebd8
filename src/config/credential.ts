import type { CredentialEntry, SourceSpec } from "../core/credential.ts";
import type { RawCredential } from "./credential-schema.ts";
import type { FileSet } from "./file-set.ts";
import { parseCredentialHost } from "./host.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";
import { localSource } from "./local-source.ts";
import type { VaultBook } from "./vault.ts";

/** What sources are made with. */
export interface SourceBooks {
  readonly files: FileSet;
  readonly vaults: VaultBook;
}

/**
 * The catalogue of a custody.
 * @param raws `null` where an entry has not even the right shape
 * @param path where the list stands
 */
export function catalogue(
  raws: readonly (RawCredential | null)[],
  path: Path,
  books: SourceBooks,
  report: Report,
): readonly CredentialEntry[] {
  const entries: CredentialEntry[] = [];
  const seen = new Set<string>();
  for (const [i, raw] of raws.entries()) {
    if (raw === null) continue;
    const here = [...path, i];
    if (seen.has(raw.name))
      report.add([...here, "name"], `${quoted(raw.name)}: another credential has this name: write a different one`);
    seen.add(raw.name);
    entries.push(credentialEntry(raw, here, books, report));
  }
  return Object.freeze(entries);
}

function credentialEntry(raw: RawCredential, path: Path, books: SourceBooks, report: Report): CredentialEntry {
  if (raw.kind === "userpass" && raw.username === undefined && !("vault" in raw.source))
    report.add([...path, "username"], "missing: kind userpass needs the user name that goes with the password", true);
  if (raw.kind === "header" && raw.username !== undefined)
    report.add([...path, "username"], "kind header has no user name: leave it out", true);
  if (raw.key_id !== undefined && raw.kind !== "aws" && raw.kind !== "signing_key")
    report.add([...path, "key_id"], `kind ${raw.kind} has no key id: leave it out`, true);
  const hosts = raw.hosts.flatMap((text, i) => {
    const host = report.take([...path, "hosts", i], parseCredentialHost(text));
    if (host !== null && raw.hosts.indexOf(text) < i)
      report.add([...path, "hosts", i], `${quoted(text)}: written twice: keep one`);
    return host ?? [];
  });
  return Object.freeze({
    name: raw.name,
    kind: raw.kind,
    username: raw.username ?? null,
    keyId: raw.key_id ?? null,
    source: Object.freeze(sourceSpec(raw, path, books)),
    hosts: Object.freeze(hosts),
    tenants: raw.tenants === undefined ? null : Object.freeze(raw.tenants),
    ttlSeconds: raw.ttl_seconds,
    maxUses: raw.max_uses ?? null,
  });
}

/** A source that is in the report: such a config is never handed out. */
const NONE: SourceSpec = Object.freeze({ from: "env", variable: "NONE" });

function sourceSpec(raw: RawCredential, path: Path, { files, vaults }: SourceBooks): SourceSpec {
  if (!("vault" in raw.source)) return localSource(raw.source, files);
  return vaults.source(raw.source, raw.kind, [...path, "source"]) ?? NONE;
}
