import type { Authority } from "../core/authority.ts";
import { Denial } from "../core/denial.ts";
import type { Destination } from "../core/destination.ts";
import { type Ask, Permit, type Session } from "../core/exchange.ts";
import type { Fields } from "../core/fields.ts";
import type { PolicyPort } from "../core/ports.ts";
import { type AllowEntry, methodFits, type Refusal, refusalOf } from "./allow.ts";
import type { HostIndex, Scheme } from "./host-index.ts";
import { classOf } from "./method-class.ts";
import { isNeverForwarded } from "./override.ts";
import { readTarget, type TargetReading } from "./path.ts";

/** One destination of the allow-list, compiled. */
export interface PolicyEntry {
  readonly destination: Destination;
  readonly allow: readonly AllowEntry[];
}

/** One for all: it says nothing of the request, and a flood of refusals is to cost as little as it can. */
const NOT_ALLOWED = Object.freeze(new Denial("destination_not_allowed"));

/** A whole allow-list, compiled and never changed: a reload makes another one. Made by `compilePolicy`. */
export class CompiledPolicy implements PolicyPort {
  readonly #index: HostIndex<PolicyEntry>;
  /** Number of destinations. */
  readonly size: number;

  constructor(index: HostIndex<PolicyEntry>, size: number) {
    this.#index = index;
    this.size = size;
  }

  /** The entry that names the authority for this scheme, or `null`. */
  find(scheme: Scheme, authority: Authority): PolicyEntry | null {
    return this.#index.find(scheme, authority);
  }

  admit(session: Session, authority: Authority): Permit | Denial {
    // Cleartext HTTP in a tunnel is what some clients send (undici before 8.7, ws://): a destination for http will do.
    const entry = this.find("https", authority) ?? this.find("http", authority);
    if (entry === null) return NOT_ALLOWED;
    return Permit.grant(session, authority, entry.destination, "connect");
  }

  spells(authority: Authority): boolean {
    return this.#index.spells(authority);
  }

  decide(session: Session, ask: Ask): Permit {
    const { method, authority, fields } = ask;
    if (isNeverForwarded(method)) throw new Denial("method_not_allowed", { cause: `${method} is never forwarded` });
    const entry = this.find(ask.scheme, authority);
    if (entry === null) throw NOT_ALLOWED;
    const { destination } = entry;
    const target = readTarget(ask.target);
    for (const allow of entry.allow) {
      // The method first: it costs least, and which part refuses is of no interest here.
      if (methodFits(allow, method) && refusalOf(allow, method, target, fields) === null) {
        return Permit.grant(session, authority, destination, allow.rule, null, classOf(ask, destination));
      }
    }
    const refusal = plainestRefusal(entry.allow, method, target, fields);
    if (destination.mode === "report") return Permit.grant(session, authority, destination, "report", refusal);
    throw new Denial(refusal, { cause: causeOf(refusal, target), destination: destination.name });
  }
}

/** From the vaguest to the most telling: how far the nearest entry went. */
const ORDER: readonly Refusal[] = [
  "path_not_allowed",
  "method_not_allowed",
  "ambiguous_path",
  "query_not_allowed",
  "header_not_allowed",
];

/** The refusal of the entry that came nearest to allowing; a malformed path is told even where there is no entry. */
export function plainestRefusal(
  allow: readonly AllowEntry[],
  method: string,
  target: TargetReading,
  fields: Fields,
): Refusal {
  let furthest = target.malformed === null ? 0 : ORDER.indexOf("ambiguous_path");
  for (const entry of allow) {
    const refusal = refusalOf(entry, method, target, fields);
    if (refusal !== null) furthest = Math.max(furthest, ORDER.indexOf(refusal));
  }
  return ORDER[furthest] as Refusal;
}

function causeOf(refusal: Refusal, target: TargetReading): string | undefined {
  return refusal === "ambiguous_path" ? ambiguityOf(target) : undefined;
}

/** For operators: what makes a path ambiguous, and what can be done. */
export function ambiguityOf(target: TargetReading): string {
  if (target.malformed !== null) return target.malformed;
  if (target.doubt !== null)
    return `${target.doubt}: only an entry with the path /** and without query rules allows it`;
  return "an encoded delimiter: one entry must allow each way to read it; spell it in the pattern";
}
