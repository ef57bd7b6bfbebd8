import { Authority } from "../core/authority.ts";
import type { Destination, UpstreamParent } from "../core/destination.ts";
import { addressRanges } from "./address-ranges.ts";
import { attachmentsOf } from "./attachment.ts";
import type { AdminConfig, ListenerConfig } from "./config.ts";
import type { CredentialBook } from "./credential-book.ts";
import { type CredentialUse, mustBeIssuedFor, withoutCredential } from "./credential-use.ts";
import type { FileSet } from "./file-set.ts";
import { type Advice, type ListenAddress, overlap } from "./listen-address.ts";
import { narrowedRef } from "./narrow.ts";
import { nearest } from "./nearest.ts";
import { DIRECT, type RawParent } from "./parent-schema.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";

/** What a parent is checked against. */
export interface ParentContext {
  readonly book: CredentialBook;
  readonly listeners: readonly ListenerConfig[];
  readonly admin: AdminConfig | null;
  readonly files: FileSet;
  readonly report: Report;
}

/** The parents of a config, and which of them a destination goes through. */
export class ParentBook {
  readonly #parents = new Map<string, UpstreamParent | null>();
  readonly #usual: UpstreamParent | null;
  readonly #report: Report;

  /**
   * @param raws by name; `null` where one has not even the right shape: no second fault is told of it
   * @param usual name of the parent for all destinations that say nothing
   */
  constructor(raws: ReadonlyMap<string, RawParent | null>, usual: string | undefined, context: ParentContext) {
    this.#report = context.report;
    for (const [name, raw] of raws) {
      const path = ["upstream", "parents", name];
      if (name === DIRECT)
        this.#report.add(path, '"direct": says that there is no parent: write a different name', true);
      this.#parents.set(name, raw === null ? null : upstreamParent(name, raw, path, context));
    }
    this.#usual = usual === undefined ? null : this.#find(usual, ["upstream", "parent"]);
  }

  /** Every parent that was understood. */
  get all(): readonly UpstreamParent[] {
    return Object.freeze([...this.#parents.values()].filter((parent) => parent !== null));
  }

  /** @param said what the destination says; left out: what holds for all */
  of(said: string | undefined, path: Path): UpstreamParent | null {
    return said === undefined ? this.#usual : this.#find(said, path);
  }

  #find(name: string, path: Path): UpstreamParent | null {
    if (name === DIRECT) return null;
    const found = this.#parents.get(name);
    if (found !== undefined) return found;
    const near = nearest(name, [...this.#parents.keys(), DIRECT]);
    const advice = near === null ? "add it to upstream.parents" : `write ${quoted(near)}`;
    this.#report.add(path, `${quoted(name)}: no parent has this name: ${advice}`);
    return null;
  }
}

function upstreamParent(name: string, raw: RawParent, path: Path, context: ParentContext): UpstreamParent | null {
  const { book, files, report } = context;
  const authority = report.take(path, parentAuthority(raw.address), "address");
  if (authority !== null) ownFaults(authority, raw.address, [...path, "address"], context);
  const serverName = raw.tls?.server_name ?? authority?.host ?? "";
  const isName = Authority.parse(serverName.includes(":") ? `[${serverName}]` : serverName, 443)?.host === serverName;
  if (raw.tls?.server_name !== undefined && !isName)
    report.add([...path, "tls", "server_name"], `${quoted(serverName)}: write a name such as "proxy.corp.example"`);
  const destination: Destination = Object.freeze({
    name,
    scheme: raw.tls === undefined ? "http" : "https",
    tls: "inspect",
    http: "h1",
    mode: "enforce",
    ...credentialPart(raw, authority, path, book, report),
    dropHeaders: NONE,
    addresses: addressRanges(raw.addresses, path, report),
    trust: raw.tls?.trust === undefined ? null : report.take([...path, "tls"], files.roots(raw.tls.trust), "trust"),
    synthetic: null,
    parent: null,
  });
  if (authority === null) return null;
  return Object.freeze({ name, address: authority.text, connectBy: raw.connect_by, serverName, destination });
}

function parentAuthority(text: string): Authority | Advice {
  const authority = Authority.parse(text, null);
  if (authority !== null && authority.text === text) return authority;
  if (authority !== null) return { advice: `${quoted(text)}: write ${quoted(authority.text)}` };
  const bare = text.replace(/^[a-z]+:\/\//i, "").replace(/\/.*$/, "");
  const meant = Authority.parse(bare, null);
  if (meant !== null) {
    const tls = /^https:/i.test(text) ? ", and tls: {}" : "";
    return { advice: `${quoted(text)}: write ${quoted(meant.text)}${tls}` };
  }
  return { advice: `${quoted(text)}: write host:port, such as "proxy.corp.example:3128"` };
}

/** What is plain to see; the rest is seen by the address guard each time that the parent is dialled. */
function ownFaults(authority: Authority, text: string, path: Path, { listeners, admin, report }: ParentContext): void {
  const host = authority.host === "localhost" ? "127.0.0.1" : authority.host;
  if (authority.ip === null && host === authority.host) return;
  const place: ListenAddress = { kind: "tcp", host, port: authority.port, text };
  const isLoopback = host.startsWith("127.") || host === "::1";
  const leadsTo = (address: ListenAddress): boolean =>
    // A wildcard listener is on this machine's addresses, and the parent may be on another one.
    address.kind === "tcp" && overlap(address, place) && (isLoopback || address.host === host);
  const guests = listeners.find(({ address }) => leadsTo(address));
  const own =
    guests !== undefined
      ? `listener ${quoted(guests.name)}`
      : admin !== null && leadsTo(admin.address)
        ? "admin"
        : null;
  if (own !== null) report.add(path, `${quoted(text)}: this is ${own} of the edge itself: write the parent's address`);
}

const NONE: readonly never[] = Object.freeze([]);

function credentialPart(
  raw: RawParent,
  authority: Authority | null,
  path: Path,
  book: CredentialBook,
  report: Report,
): CredentialUse {
  if (raw.credential === undefined) return withoutCredential(raw, path, report);
  if (raw.attach === undefined)
    report.add([...path, "attach"], "missing: say how the credential is said, such as attach: { as: basic }", true);
  if (raw.tls === undefined && raw.plain_http_credential === undefined)
    report.add(
      [...path, "credential"],
      "would travel readable to the parent: write `tls: {}` where it speaks TLS, or accept it with `plain_http_credential: accept`",
    );
  if (raw.tls !== undefined && raw.plain_http_credential !== undefined)
    report.add([...path, "plain_http_credential"], "the parent is spoken to over TLS: leave it out", true);
  const found = book.find(raw.credential, [...path, "credential"], report);
  const entry = found?.entry ?? null;
  if (entry !== null && authority !== null) mustBeIssuedFor(entry, authority.text, [...path, "credential"], report);
  return {
    credential: narrowedRef(found, raw.narrow, path, report),
    attachments: raw.attach === undefined ? NONE : attachmentsOf(raw.attach, entry, [...path, "attach"], report),
  };
}
