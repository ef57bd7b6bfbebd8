import type { CredentialEntry, CredentialKind, SourceSpec } from "../core/credential.ts";
import type { MintSpec } from "../core/mint.ts";
import type { RawCredential } from "./credential-schema.ts";
import type { FileSet } from "./file-set.ts";
import { parseCredentialHost } from "./host.ts";
import { mintOf } from "./mint/table.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";
import type { RawSource } from "./source-schema.ts";

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
  /** A rotated root has one owner. */
  const states = new Map<string, string>();
  for (const [i, raw] of raws.entries()) {
    if (raw === null) continue;
    const here = [...path, i];
    if (seen.has(raw.name))
      report.add([...here, "name"], `${quoted(raw.name)}: another credential has this name: write a different one`);
    seen.add(raw.name);
    const entry = credentialEntry(raw, here, files, report);
    entries.push(entry);
    const state = entry.mint?.as === "oauth2_refresh_token" ? entry.mint.state : null;
    const owner = state === null ? undefined : states.get(state);
    if (owner !== undefined)
      report.add([...here, "mint", "state"], `credential ${quoted(owner)} has this file: write a different one`, true);
    else if (state !== null) states.set(state, entry.name);
  }
  return Object.freeze(entries);
}

function credentialEntry(raw: RawCredential, path: Path, files: FileSet, report: Report): CredentialEntry {
  const { kind, mint } = kindAndMint(raw, path, files, report);
  if (kind === "userpass" && raw.username === undefined)
    report.add([...path, "username"], "missing: kind userpass needs the user name that goes with the password", true);
  if (kind === "header" && raw.username !== undefined)
    report.add([...path, "username"], "kind header has no user name: leave it out", true);
  if (raw.key_id !== undefined && kind !== "aws" && kind !== "signing_key")
    report.add([...path, "key_id"], `kind ${kind} has no key id: leave it out`, true);
  const hosts = raw.hosts.flatMap((text, i) => {
    const host = report.take([...path, "hosts", i], parseCredentialHost(text));
    if (host !== null && raw.hosts.indexOf(text) < i)
      report.add([...path, "hosts", i], `${quoted(text)}: written twice: keep one`);
    return host ?? [];
  });
  return Object.freeze({
    name: raw.name,
    kind,
    username: raw.username ?? null,
    keyId: raw.key_id ?? null,
    source: Object.freeze(sourceSpec(raw.source, files)),
    mint,
    hosts: Object.freeze(hosts),
    tenants: raw.tenants === undefined ? null : Object.freeze(raw.tenants),
    ttlSeconds: raw.ttl_seconds,
    maxUses: raw.max_uses ?? null,
  });
}

/** What a lease brings is said by the minter where there is one, else by the entry. */
function kindAndMint(
  raw: RawCredential,
  path: Path,
  files: FileSet,
  report: Report,
): { readonly kind: CredentialKind; readonly mint: MintSpec | null } {
  if (raw.mint === undefined) {
    if (raw.kind === undefined)
      report.add([...path, "kind"], "missing: say what a lease brings, such as kind: token", true);
    return { kind: raw.kind ?? "token", mint: null };
  }
  const source = (one: RawSource): SourceSpec => Object.freeze(sourceSpec(one, files));
  const { kind, spec } = mintOf(raw.mint, { path: [...path, "mint"], report, files, source });
  if (raw.kind !== undefined && raw.kind !== kind)
    report.add([...path, "kind"], `${quoted(raw.kind)}: ${raw.mint.as} mints kind ${kind}: leave it out`);
  return { kind, mint: spec };
}

/** Sources are watched by custody, not by the config: rotating a secret is no change of configuration. */
function sourceSpec(raw: RawSource, files: FileSet): SourceSpec {
  if ("env" in raw) return { from: "env", variable: raw.env };
  if ("file" in raw) return { from: "file", path: files.absolute(raw.file) };
  const [program = "", ...rest] = raw.exec;
  // Without a slash the program is looked for in PATH.
  const command = [program.includes("/") ? files.absolute(program) : program, ...rest];
  return { from: "exec", command: Object.freeze(command), timeoutMs: raw.timeout_ms };
}
