import type { CredentialEntry } from "../core/credential.ts";
import type { AttachmentSpec } from "../core/destination.ts";
import { BodyClash } from "./attach/body-clash.ts";
import { SigningOrder } from "./attach/signing-order.ts";
import { configOf, type RawAttachment } from "./attach/table.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";

/**
 * `attach:` of a destination.
 * @param entry the credential, or `null` when a remote custody knows it alone
 * @returns what could be understood; what could not is in the report
 */
export function attachmentsOf(
  raw: RawAttachment | readonly RawAttachment[],
  entry: CredentialEntry | null,
  path: Path,
  report: Report,
): readonly AttachmentSpec[] {
  const isList = (value: RawAttachment | readonly RawAttachment[]): value is readonly RawAttachment[] =>
    Array.isArray(value);
  const places = new Places(report);
  const order = new SigningOrder(report);
  const bodies = new BodyClash(report);
  const specs: AttachmentSpec[] = [];
  const raws = isList(raw) ? raw : [raw];
  for (const [i, one] of raws.entries()) {
    const here = isList(raw) ? [...path, i] : path;
    if (one.as === "sigv4" && i < raws.length - 1)
      report.add([...here, "as"], "sigv4 signs what the others write: put it last in the list");
    const config = configOf(one.as);
    const spec = config.spec(one, entry, here, report);
    if (spec === null) continue;
    const needs = (text: string): void =>
      report.add(
        [...here, "as"],
        `credential ${quoted(entry?.name ?? "")} is of kind ${entry?.kind}, ${one.as} ${text}`,
      );
    if (entry !== null) config.fit(spec, entry, needs, here, report);
    if (config.alone !== undefined && isList(raw) && raw.length > 1)
      report.add([...here, "as"], `${one.as} stands alone: ${config.alone}: leave the others out`);
    const written = config.places(spec);
    places.claim(spec, written, here);
    bodies.add(spec, here);
    order.add(one.as, written, config.signs?.(spec) ?? null, here);
    specs.push(Object.freeze(spec));
  }
  return Object.freeze(specs);
}

/** The names that attachments of one destination write to: each belongs to one. */
class Places {
  readonly #report: Report;
  readonly #owners = new Map<string, string>();
  readonly #standIns: { readonly place: string; readonly value: string }[] = [];

  constructor(report: Report) {
    this.#report = report;
  }

  claim(spec: AttachmentSpec, places: readonly string[], path: Path): void {
    for (const place of places) {
      if (spec.as === "placeholder") this.#claimSpot(place, spec.value, path);
      else this.#claimWhole(place, spec.as, path);
    }
  }

  #claimWhole(place: string, as: string, path: Path): void {
    const taken =
      this.#owners.get(place) ?? (this.#standIns.some((one) => one.place === place) ? "placeholder" : undefined);
    if (taken !== undefined) this.#clash(path, place, taken);
    else this.#owners.set(place, as);
  }

  #claimSpot(place: string, value: string, path: Path): void {
    const taken =
      this.#owners.get(place) ?? (place === "header cookie" ? this.#cookieOwner() : this.#messageOwner(place));
    if (taken !== undefined) this.#clash(path, place, taken);
    // One stand-in inside of another would be replaced in the middle of it.
    else if (
      this.#standIns.some((one) => one.place === place && (one.value.includes(value) || value.includes(one.value)))
    )
      this.#report.add(
        [...path, "value"],
        `another placeholder of ${place} is the same or part of it: write a different one`,
      );
    else this.#standIns.push({ place, value });
  }

  #cookieOwner(): string | undefined {
    return [...this.#owners.keys()].some((place) => place.startsWith("cookie ")) ? "cookie" : undefined;
  }

  /** A message is read once, for one of them. */
  #messageOwner(place: string): string | undefined {
    const isTaken = place === "websocket first" && this.#standIns.some((one) => one.place === place);
    return isTaken ? "placeholder" : undefined;
  }

  #clash(path: Path, place: string, taken: string): void {
    this.#report.add(path, `${place} is written by the ${taken} attachment already: keep one of them`);
  }
}
