import type { CredentialEntry, SourceSpec } from "../core/credential.ts";
import type { RawCredential } from "./credential-schema.ts";
import type { FileSet } from "./file-set.ts";
import { parseCredentialHost } from "./host.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";

/**
 * The catalogue of a custody.
 * @param raws `null` where an entry has not even the right shape
 * @param path where the list stands
 */
export function catalogue(
  raws: readonly (RawCredential | null)[],
  path: Path,
  files: FileSet,
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
    entries.push(credentialEntry(raw, here, files, report));
  }
  return Object.freeze(entries);
}

function credentialEntry(raw: RawCredential, path: Path, files: FileSet, report: Report): CredentialEntry {
  if (raw.kind === "userpass" && raw.username === undefined)
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
    source: Object.freeze(sourceSpec(raw.source, files)),
    hosts: Object.freeze(hosts),
    tenants: raw.tenants === undefined ? null : Object.freeze(raw.tenants),
    ttlSeconds: raw.ttl_seconds,
    maxUses: raw.max_uses ?? null,
  });
}

/** Sources are watched by custody, not by the config: rotating a secret is no change of configuration. */
export function sourceSpec(raw: RawCredential["source"], files: FileSet): SourceSpec {
  if ("env" in raw) return { from: "env", variable: raw.env };
  if ("file" in raw) return { from: "file", path: files.absolute(raw.file) };
  if ("store" in raw) return { from: "store", name: raw.store };
  const [program = "", ...rest] = raw.exec;
  // Without a slash the program is looked for in PATH.
  const command = [program.includes("/") ? files.absolute(program) : program, ...rest];
  return { from: "exec", command: Object.freeze(command), timeoutMs: raw.timeout_ms };
}
