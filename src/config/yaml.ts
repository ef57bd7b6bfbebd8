import { constructFromEvents, EVENT_ID, type Event, load, parseEvents, YAMLException } from "js-yaml";
import { layoutOf, type Layout } from "./layout.ts";
import type { Finding } from "./problem.ts";

/** Largest config file, bytes: 1,000,000 destinations fit. */
export const MOST_BYTES = 256 * 1024 * 1024;

/** Nodes that aliases may add to a document: a few nested ones can stand for billions. */
const MOST_ALIASED_NODES = 1_000_000;
const MOST_ALIASES = 10_000;

/** A fault of the text itself, with the offset of the character it was found at. */
export interface SyntaxFault {
  readonly offset: number;
  readonly message: string;
}

export type YamlReading =
  /** `findings`: duplicate keys; the value holds the last of each, so that the rest can be checked as well. */
  | { readonly ok: true; readonly value: unknown; readonly findings: readonly Finding[]; readonly layout: () => Layout }
  | { readonly ok: false; readonly fault: SyntaxFault };

/**
 * One YAML 1.2 document, core schema, as a plain value; JSON is read the same way. The common case runs without positions;
 * whatever is unusual (an error, an alias, a duplicate key) goes through the events of the text, which know every offset.
 */
export function readYaml(text: string): YamlReading {
  try {
    const value = load(text, { maxAliases: 0 });
    return { ok: true, value, findings: [], layout: () => layoutOf(text, parseEvents(text, {})) };
  } catch (error) {
    if (error instanceof YAMLException) return readSlow(text);
    throw error;
  }
}

function readSlow(text: string): YamlReading {
  try {
    const events = parseEvents(text, {});
    const fault = documentFault(events) ?? aliasFault(text, events);
    if (fault !== null) return { ok: false, fault };
    const layout = layoutOf(text, events);
    const [value] = constructFromEvents(events, { source: text, json: true, maxAliases: MOST_ALIASES });
    return { ok: true, value, findings: layout.duplicateKeys(), layout: () => layout };
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    return { ok: false, fault: { offset: error.mark?.position ?? 0, message: `not valid YAML: ${error.reason}` } };
  }
}

function documentFault(events: readonly Event[]): SyntaxFault | null {
  const documents = events.filter((event) => event.type === EVENT_ID.DOCUMENT).length;
  if (documents === 0) return { offset: 0, message: "the file is empty: start from config/postern.example.yaml" };
  return documents === 1
    ? null
    : { offset: 0, message: "more than one YAML document: write one, without `---` inside" };
}

/** Counts the nodes of the document as if every alias were written out. */
function aliasFault(text: string, events: readonly Event[]): SyntaxFault | null {
  const sizes = new Map<string, number>();
  const open: { anchor: string | null; size: number }[] = [];
  let aliases = 0;
  const add = (size: number): void => {
    const top = open.at(-1);
    if (top !== undefined) top.size += size;
  };
  for (const event of events) {
    if (event.type === EVENT_ID.POP) {
      const closed = open.pop();
      if (closed === undefined) continue;
      if (closed.size > events.length + MOST_ALIASED_NODES)
        return { offset: 0, message: "its aliases stand for too much: write the values out" };
      if (closed.anchor !== null) sizes.set(closed.anchor, closed.size);
      add(closed.size);
    } else if (event.type === EVENT_ID.ALIAS) {
      const name = text.slice(event.anchorStart, event.anchorEnd);
      const size = sizes.get(name);
      const fault = { offset: event.anchorStart, message: "" };
      if (open.some(({ anchor }) => anchor === name))
        return { ...fault, message: "an alias of the value that it is in" };
      if (size === undefined) return { ...fault, message: "an alias without an anchor before it" };
      if (++aliases > MOST_ALIASES) return { ...fault, message: "too many aliases: write the values out" };
      add(size);
    } else if (event.type === EVENT_ID.DOCUMENT) {
      open.push({ anchor: null, size: 1 });
    } else {
      const anchor = event.anchorStart < 0 ? null : text.slice(event.anchorStart, event.anchorEnd);
      if (event.type === EVENT_ID.SCALAR) {
        if (anchor !== null) sizes.set(anchor, 1);
        add(1);
      } else open.push({ anchor, size: 1 });
    }
  }
  return null;
}
