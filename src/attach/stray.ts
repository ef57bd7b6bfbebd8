import type { OutboundHead, Permit } from "../core/exchange.ts";
import type { Fields } from "../core/fields.ts";
import { openBasic } from "./basic-credentials.ts";
import { rewriteQuery } from "./query-string.ts";
import type { StandIns } from "./stand-ins.ts";

/**
 * The close look at a head that may hold a stand-in. One is at home in a spot of the destination's own placeholder, and
 * only when a credential will follow; anywhere else it would leave the edge as it is.
 */
export function hasStrayStandIn(known: StandIns, permit: Permit, head: OutboundHead): boolean {
  const spots = permit.needsCredential ? spotsOf(permit) : [];
  return strayInTarget(known, head.target, spots) || strayInFields(known, head.fields, spots);
}

/** The same where nothing is replaced. */
export function hasStrayStandInIn(known: StandIns, fields: Fields): boolean {
  return strayInFields(known, fields, []);
}

interface Spot {
  readonly in: "header" | "query";
  readonly name: string;
  readonly standIn: string;
}

function spotsOf(permit: Permit): Spot[] {
  return permit.destination.attachments.flatMap((spec) =>
    spec.as === "placeholder" ? spec.spots.map((spot) => ({ in: spot.in, name: spot.name, standIn: spec.value })) : [],
  );
}

function strayInTarget(known: StandIns, target: string, spots: readonly Spot[]): boolean {
  let stray = false;
  let rest = target;
  for (const key of new Set(spots.filter((spot) => spot.in === "query").map(({ name }) => name))) {
    const own = ownAt(spots, "query", key);
    rest = rewriteQuery(rest, key, (raw) => {
      stray ||= known.hasStray(raw, own);
      return "";
    });
  }
  return stray || known.hasStray(rest, []);
}

function strayInFields(known: StandIns, fields: Fields, spots: readonly Spot[]): boolean {
  for (let i = 0; i < fields.length; i++) {
    if (fields.isDropped(i)) continue;
    const own = ownAt(spots, "header", fields.names[i] as string);
    const value = fields.value(i);
    const text = own.length > 0 ? (openBasic(value)?.pair ?? value) : value;
    if (known.hasStray(text, own) || known.hasStray(fields.rawName(i), [])) return true;
  }
  return false;
}

function ownAt(spots: readonly Spot[], place: Spot["in"], name: string): string[] {
  return spots.filter((spot) => spot.in === place && spot.name === name).map(({ standIn }) => standIn);
}
