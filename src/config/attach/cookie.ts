import { z } from "zod";
import { isToken } from "../field-name.ts";
import { boundedText } from "../primitives.ts";
import { quoted } from "../problem.ts";
import { attachConfig } from "./attach-config.ts";
import { onlyOneText } from "./text-kinds.ts";

export const cookie = attachConfig({
  schema: z
    .strictObject({ as: z.literal("cookie"), name: boundedText(200).describe("Cookie name.") })
    .describe("One cookie."),
  spec(raw, _entry, path, report) {
    if (isToken(raw.name)) return { as: "cookie", name: raw.name };
    report.add(
      [...path, "name"],
      `${quoted(raw.name)}: not a cookie name: write letters, digits, dashes or underscores`,
    );
    return null;
  },
  fit: (_spec, entry, needs) => onlyOneText(entry, needs),
  places: (spec) => [`cookie ${spec.name}`],
});
