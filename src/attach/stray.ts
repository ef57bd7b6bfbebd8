import type { Destination, PlaceholderSpot } from "../core/destination.ts";
import type { OutboundHead } from "../core/exchange.ts";
import type { Fields } from "../core/fields.ts";
import { openBasic } from "./basic-credentials.ts";
import { rewriteQuery } from "./query-string.ts";
import type { StandIns } from "./stand-ins.ts";

/** The places where a destination replaces stand-ins, by field name and by query key. */
export interface Home {
  readonly fields: ReadonlyMap<string, readonly string[]>;
  readonly keys: ReadonlyMap<string, readonly string[]>;
}

/** The home of stand-ins when no credential follows. */
export const NOWHERE: Home = { fields: new Map(), keys: new Map() };

export function homeOf(destination: Destination): Home {
  const home = { fields: new Map<string, string[]>(), keys: new Map<string, string[]>() };
  for (const spec of destination.attachments) {
    if (spec.as !== "placeholder") continue;
    for (const spot of spec.spots) {
      // No place in a head.
      if (spot.in === "websocket") continue;
      const places = placesFor(home, spot);
      places.set(spot.name, [...(places.get(spot.name) ?? []), spec.value]);
    }
  }
  return home;
}

function placesFor<Places>(home: { readonly fields: Places; readonly keys: Places }, spot: PlaceholderSpot): Places {
  return spot.in === "header" ? home.fields : home.keys;
}

/**
 * The close look at a head that may hold a stand-in: anywhere but at home, and at home only when a credential will follow,
 * it would leave the edge as it is.
 */
export function hasStrayStandIn(known: StandIns, home: Home, head: OutboundHead): boolean {
  return strayInTarget(known, home, head.target) || strayInFields(known, home, head.fields);
}

function strayInTarget(known: StandIns, home: Home, target: string): boolean {
  if (!known.mayHold(target)) return false;
  if (known.isFlooded(target)) return true;
  let stray = false;
  let rest = target;
  for (const [key, own] of home.keys) {
    rest = rewriteQuery(rest, key, (raw) => {
      stray ||= known.hasStray(raw, own);
      return "";
    });
  }
  return stray || known.hasStray(rest, []);
}

/** The same for one field section. */
export function strayInFields(known: StandIns, home: Home, fields: Fields): boolean {
  if (known.isFlooded(fields.text)) return true;
  for (let i = 0; i < fields.length; i++) {
    if (fields.isDropped(i)) continue;
    const name = fields.names[i] as string;
    if (known.mayHold(name) && known.hasStray(fields.rawName(i), [])) return true;
    const value = fields.value(i);
    if (!known.mayHold(value)) continue;
    const own = home.fields.get(name);
    const stray = own === undefined ? known.hasStray(value, []) : known.hasStray(openBasic(value)?.pair ?? value, own);
    if (stray) return true;
  }
  return false;
}
