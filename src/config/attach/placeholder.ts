import { z } from "zod";
import type { PlaceholderSpot } from "../../core/destination.ts";
import { fieldNameFault } from "../field-name.ts";
import { boundedText } from "../primitives.ts";
import { type Path, quoted } from "../problem.ts";
import type { Report } from "../report.ts";
import { attachConfig } from "./attach-config.ts";
import { onlyOneText } from "./text-kinds.ts";

/** The guest holds the stand-in, so it must never be a real secret: `postern-` in it says what it is. */
const STAND_IN = /^[A-Za-z0-9_.-]*postern-[A-Za-z0-9_.-]+$/;

export const placeholder = attachConfig({
  schema: z
    .strictObject({
      as: z.literal("placeholder"),
      value: boundedText(1000).describe(
        "Harmless stand-in that the guest sends; it holds `postern-` and has 16 to 200 characters.",
      ),
      in: z
        .array(boundedText(220))
        .min(1)
        .max(16)
        .describe(
          "Where it is replaced: `header:<name>`, `query:<key>`, or `websocket:first` for the first message of a WebSocket.",
        ),
    })
    .describe("The guest's stand-in is replaced where it stands."),
  spec(raw, _entry, path, report) {
    let ok = true;
    if (!isStandIn(raw.value)) {
      // The text is not shown: it may be a real secret that was pasted here.
      report.add([...path, "value"], STAND_IN_ADVICE);
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
  },
  fit: (_spec, entry, needs) => onlyOneText(entry, needs),
  places: (spec) => spec.spots.map((spot) => `${spot.in} ${spot.name}`),
});

/** Whether a text says of itself that it is no secret. */
export function isStandIn(text: string): boolean {
  return STAND_IN.test(text) && text.length >= 16 && text.length <= 200;
}

export const STAND_IN_ADVICE =
  'write 16 to 200 letters, digits, ".", "_" or "-" with "postern-" inside, such as "sk-postern-openai"';

function spotOf(text: string, path: Path, report: Report): PlaceholderSpot | null {
  const colon = text.indexOf(":");
  const [where, name] = [text.slice(0, Math.max(colon, 0)), text.slice(colon + 1)];
  if (where === "query" && name !== "") return { in: "query", name };
  if (where === "websocket" && name === "first") return { in: "websocket", name };
  if (where === "header") {
    const fault = fieldNameFault(name);
    if (fault === null) return { in: "header", name: name.toLowerCase() };
    report.add(path, fault);
    return null;
  }
  report.add(path, `${quoted(text)}: write "header:<name>", "query:<key>" or "websocket:first"`);
  return null;
}
