import { z } from "zod";
import { boundedText } from "../primitives.ts";
import { endpointOf, endpointSchema } from "./endpoint.ts";
import { jwtKeys, jwtTemplate } from "./jwt.ts";
import { mintConfig } from "./mint-config.ts";
import { besideClientSchema, clientOf, targetKeys, targetOf } from "./oauth2.ts";

export const jwtBearer = mintConfig({
  schema: z
    .strictObject({
      as: z.literal("oauth2_jwt_bearer"),
      token_endpoint: endpointSchema.describe("Where the token is asked for."),
      client: besideClientSchema.optional().describe("The client; left out: none is named."),
      assertion: z
        .strictObject({
          issuer: boundedText(512).describe("`iss`."),
          subject: boundedText(512).optional().describe("`sub`; left out: the issuer."),
          audience: boundedText(2000).optional().describe("`aud`; left out: the URL of the endpoint."),
          ...jwtKeys,
        })
        .describe("What is signed with the root, a key as PEM."),
      ...targetKeys,
    })
    .describe("An access token for an assertion that custody signs (RFC 7523)."),
  kind: () => "token",
  spec(raw, context) {
    const endpoint = endpointOf(raw.token_endpoint, "token_endpoint", context);
    const { issuer, subject, audience, claims, ...assertion } = raw.assertion;
    const path = [...context.path, "assertion"];
    if (Object.hasOwn(claims, "sub"))
      context.report.add([...path, "claims", "sub"], "sub: write it as `subject`", true);
    const template = jwtTemplate(
      {
        ...assertion,
        issuer,
        audiences: [audience ?? endpoint.url],
        claims: { ...claims, sub: subject ?? issuer },
      },
      path,
      context.report,
    );
    return {
      as: "oauth2_jwt_bearer",
      endpoint,
      client: raw.client === undefined ? null : clientOf(raw.client, false, context),
      template,
      ...targetOf(raw),
    };
  },
});
