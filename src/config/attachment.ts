import type { CredentialEntry } from "../core/credential.ts";
import type { AttachmentSpec, PlaceholderSpot } from "../core/destination.ts";
import type { RawAttachment } from "./destination-schema.ts";
import { fieldNameFault, isToken } from "./field-name.ts";
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
  const specs: AttachmentSpec[] = [];
  for (const [i, one] of (isList(raw) ? raw : [raw]).entries()) {
    const here = isList(raw) ? [...path, i] : path;
    const spec = attachmentOf(one, entry, here, report);
    if (spec === null) continue;
    if (entry !== null) fit(spec, entry, here, report);
    places.claim(spec, here);
    specs.push(Object.freeze(spec));
  }
  return Object.freeze(specs);
}

function attachmentOf(
  raw: RawAttachment,
  entry: CredentialEntry | null,
  path: Path,
  report: Report,
): AttachmentSpec | null {
  switch (raw.as) {
    case "bearer":
      return { as: "bearer" };
    case "basic":
      return basicOf(raw, entry, path, report);
    case "header":
      return headerOf(raw, path, report);
    case "query":
      if (/^[A-Za-z0-9._~$-]+$/.test(raw.name)) return { as: "query", name: raw.name };
      report.add([...path, "name"], `${quoted(raw.name)}: write letters, digits and . _ ~ $ -`);
      return null;
    case "cookie":
      if (isToken(raw.name)) return { as: "cookie", name: raw.name };
      report.add(
        [...path, "name"],
        `${quoted(raw.name)}: not a cookie name: write letters, digits, dashes or underscores`,
      );
      return null;
    case "placeholder":
      return placeholderOf(raw, path, report);
  }
}

function basicOf(
  raw: Extract<RawAttachment, { as: "basic" }>,
  entry: CredentialEntry | null,
  path: Path,
  report: Report,
): AttachmentSpec | null {
  const at = [...path, "username"];
  if (raw.username !== undefined && entry?.kind === "userpass") {
    report.add(at, `credential ${quoted(entry.name)} brings its own user name: leave this out`, true);
    return null;
  }
  // RFC 7617 §2: a colon would end the user name early.
  if (raw.username !== undefined && !/^[!-9;-~][ -9;-~]*$/.test(raw.username)) {
    report.add(at, `${quoted(raw.username)}: write printable ASCII characters without a colon`);
    return null;
  }
  // The lease of a token carries no user name: what the catalogue says is spelled out for the attachment.
  return { as: "basic", username: raw.username ?? (entry?.kind === "token" ? entry.username : null) };
}

function headerOf(raw: Extract<RawAttachment, { as: "header" }>, path: Path, report: Report): AttachmentSpec | null {
  const lower = raw.name.toLowerCase();
  const fault = lower === "cookie" ? 'write { as: cookie, name: "..." }' : fieldNameFault(raw.name);
  if (fault !== null) {
    report.add([...path, "name"], fault);
    return null;
  }
  if (!/\{(?:token|value|password)\}/.test(raw.format)) {
    report.add([...path, "format"], 'has no place for the credential: write it with {token}, such as "Token {token}"');
    return null;
  }
  if (!/^[!-~](?:[\t -~]*[!-~])?$/.test(raw.format)) {
    report.add([...path, "format"], "write printable ASCII characters, no blank at either end");
    return null;
  }
  return { as: "header", name: raw.name, format: raw.format };
}

/** The guest holds the stand-in, so it must never be a real secret: `postern-` in it says what it is. */
const STAND_IN = /^[A-Za-z0-9_.-]*postern-[A-Za-z0-9_.-]+$/;

function placeholderOf(
  raw: Extract<RawAttachment, { as: "placeholder" }>,
  path: Path,
  report: Report,
): AttachmentSpec | null {
  let ok = true;
  if (!STAND_IN.test(raw.value) || raw.value.length < 16 || raw.value.length > 200) {
    // The text is not shown: it may be a real secret that was pasted here.
    report.add(
      [...path, "value"],
      'write 16 to 200 letters, digits, ".", "_" or "-" with "postern-" inside, such as "sk-postern-openai"',
    );
    ok = false;
  }
  const spots: PlaceholderSpot[] = [];
  const seen = new Set<string>();
  for (const [i, text] of raw.in.entries()) {
    const spot = spotOf(text, [...path, "in", i], report);
    if (spot === null) ok = false;
    else if (seen.has(`${spot.in}:${spot.name}`))
      report.add([...path, "in", i], `${quoted(text)}: written twice: keep one`);
    else {
      seen.add(`${spot.in}:${spot.name}`);
      spots.push(Object.freeze(spot));
    }
  }
  return ok ? { as: "placeholder", value: raw.value, spots: Object.freeze(spots) } : null;
}

function spotOf(text: string, path: Path, report: Report): PlaceholderSpot | null {
  const colon = text.indexOf(":");
  const [where, name] = [text.slice(0, Math.max(colon, 0)), text.slice(colon + 1)];
  if (where === "query" && name !== "") return { in: "query", name };
  if (where === "header") {
    const fault = fieldNameFault(name);
    if (fault === null) return { in: "header", name: name.toLowerCase() };
    report.add(path, fault);
    return null;
  }
  report.add(path, `${quoted(text)}: write "header:<name>" or "query:<key>"`);
  return null;
}

/** Whether the material that custody will send can be attached this way. */
function fit(spec: AttachmentSpec, entry: CredentialEntry, path: Path, report: Report): void {
  const add = (needs: string): void =>
    report.add([...path, "as"], `credential ${quoted(entry.name)} is of kind ${entry.kind}, ${spec.as} ${needs}`);
  switch (spec.as) {
    case "bearer":
      if (entry.kind !== "token") add("needs a token: write another `as:` or `kind: token`");
      return;
    case "basic":
      if (entry.kind === "header") add("needs kind userpass, or token with a user name: write another `as:`");
      if (entry.kind === "token" && spec.username === null)
        report.add(path, `basic with a token needs a user name: write { as: basic, username: "..." }`);
      return;
    case "header":
      if (entry.kind !== "userpass" && spec.format.includes("{username}"))
        add("with {username} needs kind userpass: write the format without it");
      return;
    case "query":
    case "cookie":
    case "placeholder":
      if (entry.kind === "userpass") add("needs a token: write another `as:` or `kind: token`");
  }
}

/** The names that attachments of one destination write to: each belongs to one. */
class Places {
  readonly #report: Report;
  readonly #owners = new Map<string, string>();
  readonly #standIns: { readonly place: string; readonly value: string }[] = [];

  constructor(report: Report) {
    this.#report = report;
  }

  claim(spec: AttachmentSpec, path: Path): void {
    if (spec.as === "placeholder") {
      for (const spot of spec.spots) this.#claimSpot(`${spot.in} ${spot.name}`, spec.value, path);
      return;
    }
    const place = placeOf(spec);
    const taken =
      this.#owners.get(place) ?? (this.#standIns.some((one) => one.place === place) ? "placeholder" : undefined);
    if (taken !== undefined) this.#clash(path, place, taken);
    else this.#owners.set(place, spec.as);
  }

  #claimSpot(place: string, value: string, path: Path): void {
    const taken = this.#owners.get(place) ?? (place === "header cookie" ? this.#cookieOwner() : undefined);
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

  #clash(path: Path, place: string, taken: string): void {
    this.#report.add(path, `${place} is written by the ${taken} attachment already: keep one of them`);
  }
}

function placeOf(spec: Exclude<AttachmentSpec, { as: "placeholder" }>): string {
  switch (spec.as) {
    case "bearer":
    case "basic":
      return "header authorization";
    case "header":
      return `header ${spec.name.toLowerCase()}`;
    case "query":
    case "cookie":
      return `${spec.as} ${spec.name}`;
  }
}
