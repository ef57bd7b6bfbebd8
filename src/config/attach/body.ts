import { z } from "zod";
import type { BodyPlace, BodySpec } from "../../core/signing.ts";
import { boundedText } from "../primitives.ts";
import { type Path, quoted } from "../problem.ts";
import type { Report } from "../report.ts";
import { attachConfig } from "./attach-config.ts";
import { bodyBytes } from "./signing-kinds.ts";
import { onlyOneText } from "./text-kinds.ts";

const schema = z
  .strictObject({
    as: z.literal("body"),
    pointer: boundedText(500)
      .optional()
      .describe(
        "Place in a JSON body as a JSON pointer (RFC 6901), such as `/auth/token`; members that are missing are written.",
      ),
    field: boundedText(200).optional().describe("Field of a form (`application/x-www-form-urlencoded`)."),
    format: boundedText(500).default("{token}").describe("Value; `{token}` is where the credential goes."),
    body_bytes: bodyBytes,
  })
  .describe("A field of the body: `pointer` in JSON, or `field` of a form. What the guest has there is overwritten.");

export const body = attachConfig({
  schema,
  spec(raw, _entry, path, report) {
    const before = report.findings.length;
    if (!raw.format.includes("{token}") || !/^[ -~]+$/.test(raw.format))
      report.add([...path, "format"], "write printable ASCII characters with {token} among them");
    const place = placeOf(raw, path, report);
    if (place === null || report.findings.length > before) return null;
    return {
      as: "body",
      place: Object.freeze(place),
      format: raw.format,
      bodyBytes: raw.body_bytes,
    } satisfies BodySpec;
  },
  fit: (_spec, entry, needs) => onlyOneText(entry, needs),
  places: ({ place }) =>
    place.in === "form" ? [`form ${place.name}`] : [`body ${place.pointer.map((token) => `/${token}`).join("")}`],
});

function placeOf({ pointer, field }: z.output<typeof schema>, path: Path, report: Report): BodyPlace | null {
  if ((pointer === undefined) === (field === undefined)) {
    report.add(path, "write `pointer:` for JSON or `field:` for a form, one of them");
    return null;
  }
  if (field !== undefined) {
    if (/^[!-~]+$/.test(field)) return { in: "form", name: field };
    report.add([...path, "field"], `${quoted(field)}: write printable ASCII characters without blanks`);
    return null;
  }
  const tokens = tokensOf(pointer as string);
  if (tokens !== null) return { in: "json", pointer: Object.freeze(tokens) };
  report.add([...path, "pointer"], `${quoted(pointer as string)}: not a JSON pointer: write one such as "/auth/token"`);
  return null;
}

/** RFC 6901 §3 and §4. The whole document and the element behind the last are no places for a credential. */
function tokensOf(pointer: string): string[] | null {
  if (!/^(?:\/(?:[ -.0-}]|~[01])+)+$/.test(pointer)) return null;
  const tokens = pointer
    .slice(1)
    .split("/")
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
  return tokens.length > 64 || tokens.includes("-") ? null : tokens;
}
