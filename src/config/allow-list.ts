import type { DestinationRule } from "../core/destination.ts";
import type { CredentialBook } from "./credential-book.ts";
import { type Body, bodyOf, mustBeCovered, type RawBody } from "./destination.ts";
import type { RawDestination } from "./destination-schema.ts";
import type { FileSet } from "./file-set.ts";
import { parseHost } from "./host.ts";
import type { ParentBook } from "./parent.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";
import { sameMembers } from "./same-members.ts";

/** What is an entry's own among thousands that are alike. */
const OWN = ["name", "host"];

/** The allow-list, taken in piece by piece. */
export class AllowList {
  readonly rules: DestinationRule[] = [];
  readonly #book: CredentialBook;
  readonly #parents: ParentBook;
  readonly #files: FileSet;
  readonly #report: Report;
  readonly #names = new Map<string, number>();
  /** By scheme and port, then by host as it is written: a host has one spelling here. */
  readonly #places = new Map<number, Map<string, number>>();
  /** Of faultless entries, by the very object that their `allow` is: entries that `LikeItems` has read share all but name and host. */
  readonly #known = new WeakMap<object, { readonly raw: RawBody; readonly body: Body }>();
  #count = 0;

  constructor(book: CredentialBook, parents: ParentBook, files: FileSet, report: Report) {
    this.#book = book;
    this.#parents = parents;
    this.#files = files;
    this.#report = report;
  }

  /** @param raw `null` where an entry has not even the right shape */
  add(raw: RawDestination | null): void {
    const index = this.#count++;
    if (raw === null) return;
    const path = ["destinations", index];
    const namesake = claimed(this.#names, raw.name, index);
    if (namesake !== null)
      this.#report.add(
        [...path, "name"],
        `${quoted(raw.name)}: destinations[${namesake}] has this name: write a different one`,
      );
    const rule = this.#rule(raw, path);
    if (rule === null) return;
    const twin = claimed(this.#hostsAt(raw.scheme, rule.port), raw.host, index);
    if (twin !== null)
      this.#report.add(
        [...path, "host"],
        `${quoted(raw.host)}: destinations[${twin}] has this host, port and scheme: put the rules into one`,
      );
    this.rules.push(rule);
  }

  #rule(raw: RawDestination, path: Path): DestinationRule | null {
    const { entry, common, port, allow } = this.#body(raw, path);
    const host = this.#report.take(path, parseHost(raw.host), "host");
    if (host === null) return null;
    if (entry !== null) mustBeCovered(entry, host, port, [...path, "credential"], this.#report);
    const destination = Object.freeze({ name: raw.name, ...common });
    return Object.freeze({ destination, host: Object.freeze(host), port, allow });
  }

  #body(raw: RawBody, path: Path): Body {
    const known = raw.allow === undefined ? undefined : this.#known.get(raw.allow);
    if (known !== undefined && sameMembers(raw, known.raw, OWN)) return known.body;
    const before = this.#report.findings.length;
    const body = bodyOf(raw, path, this.#book, this.#parents, this.#files, this.#report);
    if (raw.allow !== undefined && this.#report.findings.length === before) this.#known.set(raw.allow, { raw, body });
    return body;
  }

  #hostsAt(scheme: string, port: number): Map<string, number> {
    const place = scheme === "https" ? port : -port;
    let hosts = this.#places.get(place);
    if (hosts === undefined) this.#places.set(place, (hosts = new Map()));
    return hosts;
  }
}

/** Who had `key` before, or `null` now that it is `index`'s. */
function claimed(owners: Map<string, number>, key: string, index: number): number | null {
  const owner = owners.get(key);
  if (owner !== undefined) return owner;
  owners.set(key, index);
  return null;
}
