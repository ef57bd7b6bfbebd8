import { z } from "zod";
import { attachConfig } from "./attach-config.ts";

export const bearer = attachConfig({
  schema: z.strictObject({ as: z.literal("bearer") }).describe("`Authorization: Bearer <token>`."),
  spec: () => ({ as: "bearer" }),
  fit(_spec, entry, needs) {
    if (entry.kind !== "token") needs("needs a token: write another `as:` or `kind: token`");
  },
  places: () => ["header authorization"],
});
