import { z } from "zod";
import { pathText } from "../primitives.ts";
import { endpointOf, endpointSchema } from "./endpoint.ts";
import { mintConfig } from "./mint-config.ts";
import { besideClientSchema, clientOf, targetKeys, targetOf } from "./oauth2.ts";

export const refreshToken = mintConfig({
  schema: z
    .strictObject({
      as: z.literal("oauth2_refresh_token"),
      token_endpoint: endpointSchema.describe("Where the token is asked for."),
      client: besideClientSchema.describe("The client that the refresh token was given to."),
      state: pathText.describe(
        "File that custody keeps the successors of the root in, made with mode 0600; for one custody process and one entry alone.",
      ),
      ...targetKeys,
    })
    .describe("An access token for a refresh token (RFC 6749 §6), which the issuer may replace each time."),
  kind: () => "token",
  spec: (raw, context) => ({
    as: "oauth2_refresh_token",
    endpoint: endpointOf(raw.token_endpoint, "token_endpoint", context),
    client: clientOf(raw.client, false, context),
    state: context.files.absolute(raw.state),
    ...targetOf(raw),
  }),
});
