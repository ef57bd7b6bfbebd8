import { z } from "zod";
import { endpointOf, endpointSchema } from "./endpoint.ts";
import { mintConfig } from "./mint-config.ts";

/** The public cloud; the others have names of their own. */
const AUTHORITY = "https://login.microsoftonline.com";

export const azureClientCredentials = mintConfig({
  schema: z
    .strictObject({
      as: z.literal("azure_client_credentials"),
      tenant: z
        .string()
        .regex(/^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/, "write the id or a domain of the tenant")
        .describe("Id or a domain of the tenant."),
      authority: endpointSchema
        .optional()
        .describe("Another cloud, such as https://login.microsoftonline.us; left out: the public one."),
      client_id: z
        .string()
        .regex(/^[A-Za-z0-9-]{1,64}$/, "write the id of the application")
        .describe("Id of the application."),
      proof: z
        .enum(["client_secret", "certificate", "federated_token"])
        .describe(
          "What the root is: a client secret; PEM of a certificate and its RSA key; a token of another issuer that the application trusts.",
        ),
      scopes: z
        .array(
          z
            .string()
            .regex(
              /^[!#-[\]-~]{1,500}\/\.default$/,
              "write a resource with /.default at its end, such as https://vault.azure.net/.default",
            ),
        )
        .min(1)
        .max(100)
        .describe(
          "Resources, each as `<resource>/.default`; a token is for one: a destination narrows to it where there are more.",
        ),
    })
    .describe("An access token of Entra for an application."),
  kind: () => "token",
  spec(raw, context) {
    const { url, ...more } = raw.authority ?? { url: AUTHORITY, timeout_ms: 5000 };
    const authority = endpointOf({ url, ...more }, "authority", context);
    const base = authority.url.replace(/\/$/, "");
    return {
      as: "azure_client_credentials",
      endpoint: Object.freeze({ ...authority, url: `${base}/${raw.tenant}/oauth2/v2.0/token` }),
      clientId: raw.client_id,
      proof: raw.proof,
      scopes: Object.freeze([...new Set(raw.scopes)]),
    };
  },
});
