import {
  type CanonicalReference,
  formatReference,
  type MountGrant,
  parseMountGrant,
} from "../core/canonical-reference.ts";
import type { CredentialEntry } from "../core/credential.ts";
import { furtherSources } from "../core/mint.ts";
import type { StoreSpec } from "../core/secret-store.ts";
import { referenceOfSource } from "../core/source-reference.ts";
import { mayReach, type TenantMounts } from "../core/tenant-mounts.ts";
import type { RawCatalogueSections } from "./catalogue-schema.ts";
import { catalogue, type SourceBooks } from "./credential.ts";
import type { RawCredential } from "./credential-schema.ts";
import type { FileSet } from "./file-set.ts";
import { localSource } from "./local-source.ts";
import { mustBeItsOwn, rotatedFiles, sourceFiles, storeFiles } from "./own-files.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";

/** What one custody may issue, from where and for whom. */
export interface CatalogueConfig {
  readonly credentials: readonly CredentialEntry[];
  readonly store: StoreSpec | null;
  /** `null`: tenants are not told apart by where a credential is kept. */
  readonly tenantMounts: TenantMounts | null;
}

/**
 * The credentials of a custody and what stands beside them.
 * @param raws `null` where an entry has not even the right shape
 * @param path of the mapping that has `credentials`
 */
export function catalogueConfig(
  raws: readonly (RawCredential | null)[],
  sections: RawCatalogueSections,
  path: Path,
  books: SourceBooks,
  report: Report,
): CatalogueConfig {
  const credentials = catalogue(raws, [...path, "credentials"], books, report);
  const store = storeSpec(sections, path, books.files, report);
  const tenantMounts = mountsOf(sections, [...path, "tenants"], report);
  const places = raws.flatMap((raw, i) => (raw === null ? [] : i));
  const placeOf = (i: number): Path => [...path, "credentials", places[i] ?? i];
  const reads = sourceFiles(credentials);
  const rotated = rotatedFiles(credentials).map(({ file, at }) => ({ file, path: [...placeOf(at), "mint", "state"] }));
  mustBeItsOwn(rotated, [...storeFiles(store), ...reads], report);
  if (store !== null) mustBeItsOwn([{ file: store.file, path: [...path, "store", "file"] }], reads, report);
  if (store === null && credentials.some(({ source }) => source.from === "store"))
    report.add(
      [...path, "store"],
      "missing: credentials are read from it: write store: { file: secrets.store, key: { file: store.key } }",
      true,
    );
  if (tenantMounts !== null) {
    for (const [i, entry] of credentials.entries()) mustBeReachable(entry, tenantMounts, placeOf(i), report);
    mountsOfOneServer(credentials, placeOf, report);
  }
  return { credentials, store, tenantMounts };
}

function storeSpec({ store }: RawCatalogueSections, path: Path, files: FileSet, report: Report): StoreSpec | null {
  if (store === undefined) return null;
  const file = files.absolute(store.file);
  const key = localSource(store.key, files);
  if (key.from === "file" && key.path === file)
    report.add([...path, "store", "key", "file"], "the store cannot hold its own key: name another file");
  return Object.freeze({ file, key: Object.freeze(key) });
}

function mountsOf({ tenants }: RawCatalogueSections, path: Path, report: Report): TenantMounts | null {
  if (tenants === undefined) return null;
  const grants = Object.entries(tenants).map(([tenant, { mounts }]): [string, readonly MountGrant[]] => [
    tenant,
    Object.freeze(
      mounts.flatMap((text, i) => {
        const grant = parseMountGrant(text);
        const here = [...path, tenant, "mounts", i];
        if (grant === null) report.add(here, `${quoted(text)}: ${grantAdvice(text)}`);
        else if (mounts.indexOf(text) < i) report.add(here, `${quoted(text)}: written twice: keep one`);
        return grant ?? [];
      }),
    ),
  ]);
  return new Map(grants);
}

function grantAdvice(text: string): string {
  if (/^[a-z0-9+-]+$/.test(text)) return `write "${text}://"`;
  const trimmed = text.replace(/\/+$/, "");
  if (trimmed !== text && parseMountGrant(trimmed) !== null) return `write "${trimmed}"`;
  return 'write a mount such as "env://", "store://acme", "vault+kv2://team-a" or "file:///run/secrets/acme"';
}

/** A mount says nothing of its server: what a tenant may reach on one it could reach on the other. */
function mountsOfOneServer(
  credentials: readonly CredentialEntry[],
  placeOf: (i: number) => Path,
  report: Report,
): void {
  const servers = new Map<string, string>();
  for (const [i, { source, mint }] of credentials.entries()) {
    for (const one of mint === null ? [source] : [source, ...furtherSources(mint)]) {
      if (one.from !== "vault") continue;
      const { server, engine, mount } = one;
      const key = JSON.stringify([engine, mount]);
      const first = servers.get(key) ?? server.name;
      servers.set(key, first);
      if (first === server.name) continue;
      report.add(
        [...placeOf(i), one === source ? "source" : "mint"],
        `vault ${quoted(first)} has a mount ${quoted(mount)} as well, and \`tenants\` tells mounts apart by their names alone: run a custody for each vault, or name the mounts apart`,
      );
    }
  }
}

/** An entry that no tenant can ever be issued is a slip in one of the two places. */
function mustBeReachable(entry: CredentialEntry, mounts: TenantMounts, path: Path, report: Report): void {
  const { source, mint, tenants } = entry;
  for (const one of mint === null ? [source] : [source, ...furtherSources(mint)]) {
    const reference = referenceOfSource(one);
    const mount = quoted(mountText(reference));
    if (tenants === null) {
      if ([...mounts.keys()].some((tenant) => mayReach(mounts, tenant, reference))) continue;
      const at = one === source ? "source" : "mint";
      report.add([...path, at], `no tenant may reach it: add ${mount} to the mounts of one under \`tenants\``);
      continue;
    }
    for (const [i, tenant] of tenants.entries()) {
      if (mayReach(mounts, tenant, reference)) continue;
      const what = mounts.has(tenant)
        ? `add ${mount} to tenants.${tenant}.mounts`
        : `name the tenant with ${mount} there`;
      report.add(
        [...path, "tenants", i],
        `${quoted(tenant)}: under \`tenants\` it may not reach where this is kept: ${what}, or leave it out here`,
      );
    }
  }
}

/** The whole mount; of what has no mounts, the place itself. */
function mountText(reference: CanonicalReference): string {
  const isWhole = reference.mount !== "" || reference.provider === "env" || reference.provider === "store";
  return formatReference(isWhole ? { ...reference, path: [], fragment: null } : { ...reference, fragment: null });
}
