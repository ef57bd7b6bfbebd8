import { z } from "zod";
import { camelKeys } from "./camel.ts";
import type { CustodyBinding, PosternConfig, RemoteAddress } from "./config.ts";
import { catalogueConfig } from "./catalogue.ts";
import { nobodyApproves } from "./credential.ts";
import { CredentialBook } from "./credential-book.ts";
import { AllowList } from "./allow-list.ts";
import { destinationSchema, type RawDestination } from "./destination-schema.ts";
import type { FileSet } from "./file-set.ts";
import { findingsOf } from "./issues.ts";
import { parseRemoteAddress } from "./listen-address.ts";
import { adminConfig, listenerConfigs } from "./listener.ts";
import { LikeItems } from "./like-items.ts";
import type { LongList } from "./long-list.ts";
import { mixedUp } from "./mixed-up.ts";
import { resolverConfig } from "./resolver.ts";
import { type CustodyPart, type Parts, soundParts, wholeParts } from "./parts.ts";
import { ParentBook } from "./parent.ts";
import type { Finding, Path } from "./problem.ts";
import { independent } from "./prune.ts";
import { Report } from "./report.ts";
import { posternSchema, type RawPostern, type RawRemote } from "./schema.ts";
import { VaultBook } from "./vault.ts";

/** Compiled for long lists only: 100,000 destinations may pass through it on every load, and it costs 8 MB to have. */
let compiled: ReturnType<typeof compile> | null = null;
const compile = () => ({
  item: z.compile(destinationSchema),
  own: z.compile(destinationSchema.pick({ name: true, host: true })),
});

/** A config, or `null` when anything is wrong; `findings` says what. */
export interface Taken<Config> {
  readonly config: Config | null;
  readonly findings: readonly Finding[];
}

/**
 * The edge's config from the plain value of its file.
 * @param files remembers what the config depends on
 */
export function posternConfig(value: unknown, files: FileSet): Taken<PosternConfig> {
  const parsed = posternSchema.safeParse(value);
  const report = new Report();
  if (!parsed.success) {
    const mistaken = mixedUp(value, "edge");
    if (mistaken !== null) return { config: null, findings: mistaken };
    const shape = findingsOf(posternSchema, value, parsed.error.issues);
    sectionsOf(soundParts(value), files, report);
    return { config: null, findings: [...shape, ...independent(report.findings, shape)] };
  }
  const sections = sectionsOf(wholeParts(parsed.data), files, report);
  return {
    config: report.findings.length === 0 ? assemble(parsed.data, sections, files) : null,
    findings: report.findings,
  };
}

/**
 * As `posternConfig`, for a long allow-list that comes item by item.
 * @returns `null` when anything is wrong; what, is found by reading the file whole
 */
export function longPosternConfig(file: LongList, files: FileSet): PosternConfig | null {
  const parsed = posternSchema.safeParse(file.rest);
  if (!parsed.success) return null;
  const { item, own } = (compiled ??= compile());
  const report = new Report();
  const parts = wholeParts(parsed.data);
  const items = new LikeItems<RawDestination>({
    item: (value) => item.safeParse(value).data ?? null,
    own: (value) => own.safeParse(value).data ?? null,
  });
  const destinations = function* (): Generator<RawDestination | null> {
    for (const text of file.items) {
      const raw = items.read(text);
      if (raw === null || report.findings.length > 0) return report.add([], "the file is to be read whole");
      yield raw;
    }
  };
  const sections = sectionsOf({ ...parts, destinations: destinations() }, files, report);
  return report.findings.length === 0 ? assemble(parsed.data, sections, files) : null;
}

type Sections = ReturnType<typeof sectionsOf>;

function sectionsOf(parts: Parts, files: FileSet, report: Report) {
  const listeners = listenerConfigs(parts.listeners, files, report);
  const custodies = custodyBindings(parts.custody, files, report);
  const book = new CredentialBook(custodies, unreadable(parts.custody));
  const admin = parts.admin === null ? null : adminConfig(parts.admin, listeners, files.baseDir, report);
  const parents = new ParentBook(parts.parents, parts.upstream?.parent, { book, listeners, admin, files, report });
  const list = new AllowList(book, parents, files, report);
  for (const raw of parts.destinations) list.add(raw);
  const destinations = Object.freeze(list.rules);
  if (parts.ca === null && destinations.some(({ destination }) => needsCa(destination)))
    report.add(
      ["ca"],
      "missing: destinations with `tls: inspect` need a CA: run `postern ca init`, then write ca: { certificate: ..., key: ... }",
      true,
    );
  return {
    listeners,
    admin,
    parents: parents.all,
    resolver: parts.resolver === null ? null : resolverConfig(parts.resolver, report),
    custodies,
    destinations,
    extraRoots: (parts.upstream?.extra_roots ?? []).flatMap(
      (path, i) => report.take(["upstream", "extra_roots", i], files.roots(path)) ?? [],
    ),
  };
}

function needsCa(destination: { readonly tls: string; readonly scheme: string }): boolean {
  return destination.tls === "inspect" && destination.scheme === "https";
}

function assemble(raw: RawPostern, sections: Sections, files: FileSet): PosternConfig {
  const { ca } = raw;
  return Object.freeze({
    listeners: sections.listeners,
    admin: sections.admin,
    ca:
      ca === undefined
        ? null
        : Object.freeze({
            certificate: files.depend(ca.certificate),
            key: files.depend(ca.key),
            passphraseFile: ca.passphrase_file === undefined ? null : files.depend(ca.passphrase_file),
          }),
    tls: camelKeys(raw.tls),
    upstream: Object.freeze({ extraRoots: Object.freeze(sections.extraRoots) }),
    parents: sections.parents,
    resolver: sections.resolver ?? resolverConfig(raw.resolver, new Report()),
    limits: camelKeys(raw.limits),
    timeouts: camelKeys(raw.timeouts),
    log: camelKeys(raw.log),
    audit: camelKeys({ ...raw.audit, file: files.absolute(raw.audit.file) }),
    custodies: sections.custodies,
    destinations: sections.destinations,
  });
}

function unreadable(custody: ReadonlyMap<string, CustodyPart>): ReadonlySet<string> {
  const names = [...custody].flatMap(([name, { broken }]) =>
    broken === "all" ? [name] : [...broken].map((credential) => `${name}/${credential}`),
  );
  return new Set(names);
}

function custodyBindings(
  parts: ReadonlyMap<string, CustodyPart>,
  files: FileSet,
  report: Report,
): readonly CustodyBinding[] {
  const bindings = [...parts].flatMap(([name, part]): CustodyBinding[] => {
    const path = ["custody", name];
    if (part.credentials !== null) {
      const here = [...path, "embedded"];
      nobodyApproves(part.credentials, [...here, "credentials"], report);
      const vaults = new VaultBook(part.vaults, [...here, "vaults"], files, report);
      const catalogue = catalogueConfig(part.credentials, part.sections, here, { files, vaults }, report);
      return [Object.freeze({ name, kind: "embedded", ...catalogue })];
    }
    return part.remote === null ? [] : [remoteBinding(name, part.remote, [...path, "remote"], files, report)];
  });
  return Object.freeze(bindings);
}

/** Stands in for an address that is in the report: such a config is never handed out. */
const NOWHERE: RemoteAddress = Object.freeze({ kind: "unix", path: "/nonexistent" });

function remoteBinding(name: string, raw: RawRemote, path: Path, files: FileSet, report: Report): CustodyBinding {
  const address = report.take([...path, "address"], parseRemoteAddress(raw.address, files.baseDir));
  if (address?.kind === "tcp" && raw.tls === undefined)
    report.add(
      [...path, "tls"],
      "missing: leases cross the network: write tls: { ca: ..., certificate: ..., key: ... }",
      true,
    );
  const serverName = raw.tls?.server_name ?? (address?.kind === "tcp" ? address.host : null);
  if (raw.tls !== undefined && serverName === null && address !== null)
    report.add(
      [...path, "tls", "server_name"],
      "missing: a socket path says no name: write the one in the custody's certificate",
      true,
    );
  return Object.freeze({
    name,
    kind: "remote",
    address: Object.freeze(address ?? NOWHERE),
    tls:
      raw.tls === undefined
        ? null
        : Object.freeze({
            ca: files.depend(raw.tls.ca),
            certificate: files.depend(raw.tls.certificate),
            key: files.depend(raw.tls.key),
            serverName: serverName ?? "",
          }),
    timeoutMs: raw.timeout_ms,
  });
}
