import type { CredentialEntry } from "../core/credential.ts";
import type { AllowRule, Destination, HostPattern } from "../core/destination.ts";
import { formatIp } from "../core/ip.ts";
import { allowRule } from "./allow.ts";
import { syntheticSpec } from "./synthetic.ts";
import { addressRanges } from "./address-ranges.ts";
import { attachmentsOf } from "./attachment.ts";
import type { CredentialBook } from "./credential-book.ts";
import { type CredentialUse, mustBeIssuedFor, withoutCredential } from "./credential-use.ts";
import type { RawDestination } from "./destination-schema.ts";
import { fieldNameFault } from "./field-name.ts";
import type { FileSet } from "./file-set.ts";
import { narrowedRef } from "./narrow.ts";
import type { ParentBook } from "./parent.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";

/** An entry without what is its own among thousands that are alike. */
export type RawBody = Omit<RawDestination, "name" | "host">;

/** What it comes to, the same for every name and host. */
export interface Body {
  readonly common: Omit<Destination, "name">;
  readonly port: number;
  readonly allow: readonly AllowRule[];
  /** Of the credential; `null` where there is none, or a remote custody knows it alone. */
  readonly entry: CredentialEntry | null;
}

/** As an authority spells it; a block as `base/prefix`. */
export function hostText(host: HostPattern): string {
  if (host.kind === "exact") return host.host;
  if (host.kind === "subdomains") return `*.${host.suffix}`;
  const text = formatIp(host.range.base);
  const single = host.range.prefix === host.range.base.length * 8;
  return single ? (text.includes(":") ? `[${text}]` : text) : `${text}/${host.range.prefix}`;
}

const NONE: readonly never[] = Object.freeze([]);

/** @param path of the entry */
export function bodyOf(
  raw: RawBody,
  path: Path,
  book: CredentialBook,
  parents: ParentBook,
  files: FileSet,
  report: Report,
): Body {
  const { credential, attachments, entry } = credentialPart(raw, path, book, report);
  const common: Body["common"] = Object.freeze({
    scheme: raw.scheme,
    tls: raw.tls,
    http: raw.http,
    mode: raw.mode,
    credential,
    attachments,
    dropHeaders: dropHeaders(raw.drop_headers, path, report),
    addresses: addressRanges(raw.addresses, path, report),
    trust: raw.trust === undefined ? null : report.take(path, files.roots(raw.trust), "trust"),
    synthetic: raw.synthetic === undefined ? null : syntheticSpec(raw.synthetic, [...path, "synthetic"], report),
    parent: raw.synthetic === undefined ? parents.of(raw.parent, [...path, "parent"]) : null,
  });
  const allow = raw.allow?.map((one, i) => allowRule(one, [...path, "allow", i], report)) ?? NONE;
  httpFaults(raw, path, report);
  if (raw.synthetic !== undefined) syntheticFaults(raw, path, report);
  if (attachments.some(({ as }) => as === "sigv4")) signedFaults(common.dropHeaders, path, report);
  if (raw.tls === "passthrough") passthroughFaults(raw, path, report);
  else if (allow.length === 0)
    report.add(
      [...path, "allow"],
      'missing: nothing would be allowed: write allow: [{ methods: [GET], paths: ["/**"] }]',
      true,
    );
  const port = raw.port ?? (raw.scheme === "https" ? 443 : 80);
  return { common, port, allow: Object.freeze(allow), entry };
}

/** HTTP/2 has a name for each of the two ways that it is spoken. */
function httpFaults(raw: RawBody, path: Path, report: Report): void {
  if (raw.http === "h2c" && raw.scheme === "https")
    report.add([...path, "http"], '"h2c": is HTTP/2 without TLS: write `http: h2`, or `scheme: http`');
  if (raw.http === "h2" && raw.scheme === "http")
    report.add([...path, "http"], '"h2": is HTTP/2 over TLS: write `http: h2c`, or `scheme: https`');
}

/** Nothing is sent: what says how to send has no meaning. */
function syntheticFaults(raw: RawBody, path: Path, report: Report): void {
  const nowhere = (key: string): void =>
    report.add([...path, key], "means nothing beside `synthetic`: the edge answers itself: leave it out", true);
  if (raw.credential !== undefined) nowhere("credential");
  if (raw.drop_headers.length > 0) nowhere("drop_headers");
  if (raw.addresses.length > 0) nowhere("addresses");
  if (raw.parent !== undefined) nowhere("parent");
  if (raw.trust !== undefined) nowhere("trust");
  if (raw.http !== "auto") nowhere("http");
  if (raw.tls === "passthrough")
    report.add([...path, "tls"], '"passthrough": the edge cannot answer inside of it: write `tls: inspect`');
  if (raw.mode === "report")
    report.add([...path, "mode"], '"report": there is no upstream to let anything through to: write `mode: enforce`');
}

/** What says how a body is signed is read ahead of it: it cannot be said and dropped. */
function signedFaults(dropHeaders: readonly string[], path: Path, report: Report): void {
  for (const [i, name] of dropHeaders.entries()) {
    if (name.startsWith("x-amz-") || name === "authorization")
      report.add(
        [...path, "drop_headers", i],
        `${quoted(name)}: sigv4 reads it, and drops what only it may say: leave it out`,
      );
  }
}

/** A tunnel is relayed byte for byte: nothing in it can be judged, dropped or attached. */
function passthroughFaults(raw: RawBody, path: Path, report: Report): void {
  const inside = (key: string): void =>
    report.add(
      [...path, key],
      "cannot be applied inside of `tls: passthrough`: leave it out, or write `tls: inspect`",
      true,
    );
  if (raw.allow !== undefined) inside("allow");
  if (raw.credential !== undefined) inside("credential");
  if (raw.drop_headers.length > 0) inside("drop_headers");
  if (raw.trust !== undefined) inside("trust");
  if (raw.http !== "auto") inside("http");
  if (raw.scheme === "http")
    report.add(
      [...path, "tls"],
      '"passthrough": scheme http has no TLS to pass: leave `tls` out, or write `scheme: https`',
    );
}

function credentialPart(
  raw: RawBody,
  path: Path,
  book: CredentialBook,
  report: Report,
): CredentialUse & Pick<Body, "entry"> {
  if (raw.credential === undefined) return { ...withoutCredential(raw, path, report), entry: null };
  if (raw.attach === undefined)
    report.add(
      [...path, "attach"],
      "missing: say how the credential is attached, such as attach: { as: bearer }",
      true,
    );
  if (raw.scheme === "http" && raw.plain_http_credential === undefined)
    report.add(
      [...path, "credential"],
      "would travel readable over http: write `scheme: https`, or accept it with `plain_http_credential: accept`",
    );
  if (raw.scheme === "http" && isPresented(raw.attach))
    report.add(
      [...path, "attach"],
      `client_certificate: is presented in TLS, which ${raw.http === "h2c" ? "http: h2c" : "scheme http"} has not: write \`scheme: https\``,
    );
  const found = book.find(raw.credential, [...path, "credential"], report);
  const entry = found?.entry ?? null;
  return {
    credential: narrowedRef(found, raw.narrow, path, report),
    attachments: raw.attach === undefined ? NONE : attachmentsOf(raw.attach, entry, [...path, "attach"], report),
    entry,
  };
}

function isPresented(attach: RawBody["attach"]): boolean {
  return attach !== undefined && [attach].flat().some(({ as }) => as === "client_certificate");
}

/** A destination's host as a credential has to be issued for it. */
export function mustBeCovered(
  entry: CredentialEntry,
  host: HostPattern,
  port: number,
  path: Path,
  report: Report,
): void {
  const wanted = `${hostText(host)}:${port}`;
  if (host.kind === "ip" && wanted.includes("/")) {
    report.add(path, "a credential goes to single hosts, not to a block: write one destination an address");
    return;
  }
  mustBeIssuedFor(entry, wanted, path, report);
}

function dropHeaders(names: readonly string[], path: Path, report: Report): readonly string[] {
  if (names.length === 0) return NONE;
  for (const [i, name] of names.entries()) {
    const fault = fieldNameFault(name);
    if (fault !== null) report.add([...path, "drop_headers", i], fault);
  }
  return Object.freeze(names.map((name) => name.toLowerCase()));
}
