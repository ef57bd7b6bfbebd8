import type { CredentialEntry, CredentialKind, SourceSpec } from "../core/credential.ts";
import type { MintSpec } from "../core/mint.ts";
import type { RawCredential } from "./credential-schema.ts";
import type { FileSet } from "./file-set.ts";
import { parseCredentialHost } from "./host.ts";
import { mintOf } from "./mint/table.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";
import { localSource } from "./local-source.ts";
import type { RawSource } from "./source-schema.ts";
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
  /** A rotated root has one owner. */
  const places = new Map<string, string>();
  for (const [i, raw] of raws.entries()) {
    if (raw === null) continue;
    const here = [...path, i];
    if (seen.has(raw.name))
      report.add([...here, "name"], `${quoted(raw.name)}: another credential has this name: write a different one`);
    seen.add(raw.name);
    const entry = credentialEntry(raw, here, books, report);
    entries.push(entry);
    const place = rotationPlace(entry, here);
    const owner = place === null ? undefined : places.get(place.key);
    if (place !== null && owner !== undefined)
      report.add(place.path, `credential ${quoted(owner)} ${place.says}: write a different one`, true);
    else if (place !== null) places.set(place.key, entry.name);
  }
  return Object.freeze(entries);
}

/** Where the successors of a root are kept, `null` where there are none. */
function rotationPlace(
  { mint, source }: CredentialEntry,
  here: Path,
): { readonly key: string; readonly path: Path; readonly says: string } | null {
  if (mint?.as !== "oauth2_refresh_token") return null;
  if (mint.state !== null)
    return { key: `file ${mint.state}`, path: [...here, "mint", "state"], says: "has this file" };
  if (source.from !== "store") return null;
  return { key: `store ${source.name}`, path: [...here, "source", "store"], says: "rotates this entry of the store" };
}

/** A custody in the edge has no operators: what waits for one would wait for ever. */
export function nobodyApproves(raws: readonly (RawCredential | null)[], path: Path, report: Report): void {
  for (const [i, raw] of raws.entries())
    if (raw?.approval !== undefined)
      report.add(
        [...path, i, "approval"],
        "nobody could approve in an embedded custody: run `postern custody` with `operators`, or leave it out",
        true,
      );
}

function credentialEntry(raw: RawCredential, path: Path, books: SourceBooks, report: Report): CredentialEntry {
  const { kind, mint } = kindAndMint(raw, path, books, report);
  if (kind === "userpass" && raw.username === undefined && !("vault" in raw.source))
    report.add([...path, "username"], "missing: kind userpass needs the user name that goes with the password", true);
  if (kind === "header" && raw.username !== undefined)
    report.add([...path, "username"], "kind header has no user name: leave it out", true);
  if (raw.key_id !== undefined && kind === "aws" && "vault" in raw.source && raw.source.field === undefined)
    report.add([...path, "source", "field"], "missing: name the field that is the secret access key of key_id", true);
  if (raw.key_id !== undefined && kind !== "aws" && kind !== "signing_key")
    report.add([...path, "key_id"], `kind ${kind} has no key id: leave it out`, true);
  if (raw.key_at !== undefined && kind !== "dpop")
    report.add([...path, "key_at"], `kind ${kind} makes no proofs: leave it out`, true);
  if (kind === "dpop" && raw.username !== undefined)
    report.add([...path, "username"], "kind dpop has no user name: leave it out", true);
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
    keyAt: kind === "dpop" ? (raw.key_at ?? "custody") : null,
    source: sourceSpec(raw.source, mint === null ? kind : "token", [...path, "source"], books),
    mint,
    hosts: Object.freeze(hosts),
    tenants: raw.tenants === undefined ? null : Object.freeze(raw.tenants),
    ttlSeconds: raw.ttl_seconds,
    maxUses: raw.max_uses ?? null,
    approval: raw.approval === "required",
  });
}

/** What a lease brings is said by the minter where there is one, else by the entry. */
function kindAndMint(
  raw: RawCredential,
  path: Path,
  books: SourceBooks,
  report: Report,
): { readonly kind: CredentialKind; readonly mint: MintSpec | null } {
  if (raw.mint === undefined) {
    if (raw.kind === undefined)
      report.add([...path, "kind"], "missing: say what a lease brings, such as kind: token", true);
    return { kind: raw.kind ?? "token", mint: null };
  }
  const here = [...path, "mint"];
  if ("vault" in raw.source && raw.source.engine === "dynamic")
    report.add(here, "engine dynamic makes what is leased by itself: leave it out", true);
  const source = (one: RawSource): SourceSpec => sourceSpec(one, "token", here, books);
  const { kind, spec } = mintOf(raw.mint, { path: here, report, files: books.files, root: raw.source, source });
  if (raw.kind !== undefined && raw.kind !== kind)
    report.add([...path, "kind"], `${quoted(raw.kind)}: ${raw.mint.as} mints kind ${kind}: leave it out`);
  return { kind, mint: spec };
}

/** A source that is in the report: such a config is never handed out. */
const NONE: SourceSpec = Object.freeze({ from: "env", variable: "NONE" });

/** @param kind what it yields */
function sourceSpec(raw: RawSource, kind: CredentialKind, path: Path, { files, vaults }: SourceBooks): SourceSpec {
  if ("vault" in raw) return vaults.source(raw, kind, path) ?? NONE;
  if ("store" in raw) return Object.freeze({ from: "store", name: raw.store });
  return Object.freeze(localSource(raw, files));
}
