import { z } from "zod";
import { boundedText } from "../primitives.ts";
import { jwtKeys, jwtTemplate } from "./jwt.ts";
import { mintConfig } from "./mint-config.ts";
import { targetKeys } from "./oauth2.ts";

export const signedJwt = mintConfig({
  schema: z
    .strictObject({
      as: z.literal("signed_jwt"),
      issuer: boundedText(512).optional().describe("`iss`."),
      audiences: z
        .array(boundedText(2000))
        .min(1)
        .max(20)
        .describe("`aud`: one as a text, several as a list; a destination may narrow them."),
      scopes: targetKeys.scopes.describe("Claim `scope`, which a destination may narrow; left out: none."),
      type: boundedText(64).default("JWT").describe("`typ` of the header."),
      ...jwtKeys,
    })
    .describe("A JWT of custody's own making; the root is the key, as PEM."),
  kind: () => "token",
  spec(raw, { path, report }) {
    const taken = raw.scopes.length === 0 ? [] : ["scope"];
    return {
      as: "signed_jwt",
      template: jwtTemplate(raw, path, report, taken),
      type: raw.type,
      scopes: Object.freeze([...new Set(raw.scopes)]),
    };
  },
});
