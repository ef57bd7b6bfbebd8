import { z } from "zod";
import { endpointOf, endpointSchema } from "./endpoint.ts";
import { mintConfig } from "./mint-config.ts";
import { clientOf, dpopKeys, dpopOf, kindOf, rootClientSchema, targetKeys, targetOf } from "./oauth2.ts";

export const clientCredentials = mintConfig({
  schema: z
    .strictObject({
      as: z.literal("oauth2_client_credentials"),
      token_endpoint: endpointSchema.describe("Where the token is asked for."),
      client: rootClientSchema.describe("The client; the root is its secret, or its private key as PEM."),
      ...targetKeys,
      ...dpopKeys,
    })
    .describe("An access token for the client itself (RFC 6749 §4.4)."),
  kind: kindOf,
  spec: (raw, context) => ({
    as: "oauth2_client_credentials",
    endpoint: endpointOf(raw.token_endpoint, "token_endpoint", context),
    client: clientOf(raw.client, true, context),
    ...targetOf(raw),
    dpop: dpopOf(raw, context),
  }),
});
