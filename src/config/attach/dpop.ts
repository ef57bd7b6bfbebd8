import { z } from "zod";
import { attachConfig } from "./attach-config.ts";

export const dpop = attachConfig({
  schema: z
    .strictObject({ as: z.literal("dpop") })
    .describe("`Authorization: DPoP <token>`, and a proof of its key in `DPoP` (RFC 9449)."),
  spec: () => ({ as: "dpop" }),
  fit(_spec, entry, needs) {
    if (entry.kind !== "dpop") needs("needs a token that is bound to a key: write another `as:` or `kind: dpop`");
  },
  places: () => ["header authorization", "header dpop"],
  alone: "its credential holds nothing that another one could attach",
});
