import { EVENT_ID, type Event, getScalarValue, SCALAR_STYLE } from "js-yaml";
import type { Finding, Path } from "./problem.ts";

/** Where things stand in a YAML text. */
export interface Layout {
  /** Offset of the value at `path` (of its key with `atKey`), or of the nearest one above it that is written down. */
  offsetOf(path: Path, atKey: boolean): number;
  /** Every key that its mapping holds already. */
  duplicateKeys(): Finding[];
}

/** @param events what `parseEvents` gave for `text`; one document */
export function layoutOf(text: string, events: readonly Event[]): Layout {
  const ends = closings(events);
  // Event 0 opens the document; event 1 is its value.
  return {
    offsetOf: (path, atKey) => descend(text, events, ends, path, atKey),
    duplicateKeys: () => duplicates(text, events, ends),
  };
}

/** For each event the index behind it: behind the matching POP for a collection. */
function closings(events: readonly Event[]): Int32Array {
  const ends = new Int32Array(events.length);
  const open: number[] = [];
  events.forEach(({ type }, i) => {
    ends[i] = i + 1;
    if (type === EVENT_ID.POP) {
      const opened = open.pop();
      if (opened !== undefined) ends[opened] = i + 1;
    } else if (type !== EVENT_ID.SCALAR && type !== EVENT_ID.ALIAS) open.push(i);
  });
  return ends;
}

function descend(text: string, events: readonly Event[], ends: Int32Array, path: Path, atKey: boolean): number {
  let at = 1;
  let offset = offsetOfEvent(events[at]);
  for (const [depth, part] of path.entries()) {
    const child = childOf(text, events, ends, at, part);
    if (child === null) break;
    at = child.value;
    const wantsKey = atKey && depth === path.length - 1;
    const place = offsetOfEvent(events[wantsKey ? child.key : child.value]);
    // An empty value has no place of its own.
    offset = place < 0 ? offsetOfEvent(events[child.key]) : place;
  }
  return Math.max(offset, 0);
}

interface Child {
  readonly key: number;
  readonly value: number;
}

function childOf(
  text: string,
  events: readonly Event[],
  ends: Int32Array,
  at: number,
  part: string | number,
): Child | null {
  const type = events[at]?.type;
  const last = (ends[at] ?? 0) - 1;
  if (type === EVENT_ID.SEQUENCE && typeof part === "number") {
    let item = at + 1;
    for (let i = 0; i < part && item < last; i++) item = ends[item] as number;
    return item < last ? { key: item, value: item } : null;
  }
  if (type !== EVENT_ID.MAPPING) return null;
  let found: Child | null = null;
  for (const child of children(ends, at)) {
    // The last one counts, as it does for the value.
    if (keyText(text, events[child.key]) === String(part)) found = child;
  }
  return found;
}

function* children(ends: Int32Array, at: number): Generator<Child> {
  const last = (ends[at] as number) - 1;
  for (let key = at + 1; key < last;) {
    const value = ends[key] as number;
    yield { key, value };
    key = ends[value] as number;
  }
}

function duplicates(text: string, events: readonly Event[], ends: Int32Array): Finding[] {
  const found: Finding[] = [];
  const walk = (at: number, path: Path): void => {
    const type = events[at]?.type;
    if (type === EVENT_ID.SEQUENCE) {
      let index = 0;
      for (let item = at + 1; item < (ends[at] as number) - 1; item = ends[item] as number)
        walk(item, [...path, index++]);
    } else if (type === EVENT_ID.MAPPING) {
      const seen = new Set<string>();
      for (const { key, value } of children(ends, at)) {
        const name = keyText(text, events[key]);
        if (name === null) continue;
        if (seen.has(name)) found.push({ path: [...path, name], message: "written twice: keep one", atKey: true });
        seen.add(name);
        walk(value, [...path, name]);
      }
    }
  };
  walk(1, []);
  return found;
}

function keyText(text: string, event: Event | undefined): string | null {
  return event?.type === EVENT_ID.SCALAR ? getScalarValue(text, event) : null;
}

function offsetOfEvent(event: Event | undefined): number {
  switch (event?.type) {
    case EVENT_ID.SCALAR:
      // The value of a quoted scalar begins behind its quote.
      return event.style === SCALAR_STYLE.SINGLE_QUOTED || event.style === SCALAR_STYLE.DOUBLE_QUOTED
        ? event.valueStart - 1
        : event.valueStart;
    case EVENT_ID.MAPPING:
    case EVENT_ID.SEQUENCE:
      return event.start;
    case EVENT_ID.ALIAS:
      return event.anchorStart;
    default:
      return -1;
  }
}
