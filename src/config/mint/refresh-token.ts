import { z } from "zod";
import { pathText } from "../primitives.ts";
import { endpointOf, endpointSchema } from "./endpoint.ts";
import { mintConfig } from "./mint-config.ts";
import { besideClientSchema, clientOf, dpopKeys, dpopOf, kindOf, targetKeys, targetOf } from "./oauth2.ts";

export const refreshToken = mintConfig({
  schema: z
    .strictObject({
      as: z.literal("oauth2_refresh_token"),
      token_endpoint: endpointSchema.describe("Where the token is asked for."),
      client: besideClientSchema.describe("The client that the refresh token was given to."),
      state: pathText
        .optional()
        .describe(
          "File that custody keeps the successors of the root in, in the clear, made with mode 0600; for one custody process and one entry alone. Left out where `source` is `store`: they are then versions of that entry.",
        ),
      ...targetKeys,
      ...dpopKeys,
    })
    .describe("An access token for a refresh token (RFC 6749 §6), which the issuer may replace each time."),
  kind: kindOf,
  spec(raw, context) {
    // RFC 9449 §5: what a public client was given is bound to its key, and ends with it.
    if (raw.client.auth === "none" && raw.dpop !== undefined && raw.dpop.key === undefined)
      context.report.add(
        [...context.path, "dpop", "key"],
        "missing: the refresh token of a public client is bound to its key: say where it is read",
        true,
      );
    if (raw.state === undefined && !("store" in context.root))
      context.report.add(
        [...context.path, "state"],
        "missing: an issuer may replace the refresh token: name a file to keep its successors in, or read it from the store with source: { store: NAME }",
        true,
      );
    return {
      as: "oauth2_refresh_token",
      endpoint: endpointOf(raw.token_endpoint, "token_endpoint", context),
      client: clientOf(raw.client, false, context),
      state: raw.state === undefined ? null : context.files.absolute(raw.state),
      ...targetOf(raw),
      dpop: dpopOf(raw, context),
    };
  },
});
