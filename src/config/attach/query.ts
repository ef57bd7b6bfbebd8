import { z } from "zod";
import { boundedText } from "../primitives.ts";
import { quoted } from "../problem.ts";
import { attachConfig } from "./attach-config.ts";
import { onlyOneText } from "./text-kinds.ts";

export const query = attachConfig({
  schema: z
    .strictObject({ as: z.literal("query"), name: boundedText(200).describe("Query key.") })
    .describe("A query parameter. It shows in the upstream's logs: prefer a header where there is one."),
  spec(raw, _entry, path, report) {
    if (/^[A-Za-z0-9._~$-]+$/.test(raw.name)) return { as: "query", name: raw.name };
    report.add([...path, "name"], `${quoted(raw.name)}: write letters, digits and . _ ~ $ -`);
    return null;
  },
  fit: (_spec, entry, needs) => onlyOneText(entry, needs),
  places: (spec) => [`query ${spec.name}`],
});
