import { z } from "zod";
import { boundedText } from "../primitives.ts";
import { sourceSchema } from "../source-schema.ts";
import { endpointOf, endpointSchema } from "./endpoint.ts";
import { jwtKeys, jwtTemplate } from "./jwt.ts";
import { mintConfig } from "./mint-config.ts";
import { besideClientSchema, clientOf, targetKeys, targetOf } from "./oauth2.ts";

/** RFC 8693 §3. */
const TYPES = ["access_token", "refresh_token", "id_token", "saml1", "saml2", "jwt"] as const;
const typeSchema = z.enum(TYPES);

const subjectSchema = z.union([
  z.strictObject({ root: typeSchema.describe("Its type.") }).describe("The root is the subject token."),
  z
    .strictObject({
      session: z
        .strictObject({
          issuer: boundedText(512).describe("`iss`: who custody is to the issuer."),
          audience: boundedText(2000).optional().describe("`aud`; left out: the URL of the endpoint."),
          ...jwtKeys,
        })
        .describe("What is signed; without a claim `sub` that is `{subject}`."),
    })
    .describe("The root is a key as PEM, which signs who the session is: each session gets a token of its own."),
]);

export const tokenExchange = mintConfig({
  schema: z
    .strictObject({
      as: z.literal("oauth2_token_exchange"),
      token_endpoint: endpointSchema.describe("Where the token is asked for."),
      client: besideClientSchema.optional().describe("The client; left out: none is named."),
      subject: subjectSchema.describe("Whose token is exchanged."),
      actor: z
        .strictObject({
          source: sourceSchema.describe("Where the token of who acts is read."),
          type: typeSchema.default("access_token").describe("Its type."),
        })
        .optional()
        .describe("Who acts for the subject."),
      ...targetKeys,
    })
    .describe("A token for a token (RFC 8693)."),
  kind: () => "token",
  spec(raw, context) {
    const endpoint = endpointOf(raw.token_endpoint, "token_endpoint", context);
    return {
      as: "oauth2_token_exchange",
      endpoint,
      client: raw.client === undefined ? null : clientOf(raw.client, false, context),
      subject: Object.freeze(
        "root" in raw.subject
          ? { from: "root", tokenType: urn(raw.subject.root) }
          : { from: "session", template: sessionTemplate(raw.subject.session, endpoint.url, context) },
      ),
      actor:
        raw.actor === undefined
          ? null
          : Object.freeze({ source: context.source(raw.actor.source), tokenType: urn(raw.actor.type) }),
      ...targetOf(raw),
    };
  },
});

type RawSession = Extract<z.output<typeof subjectSchema>, { readonly session: unknown }>["session"];

function sessionTemplate(
  { audience, claims, ...raw }: RawSession,
  url: string,
  { path, report }: Parameters<typeof endpointOf>[2],
) {
  return jwtTemplate(
    { ...raw, audiences: [audience ?? url], claims: { sub: "{subject}", ...claims } },
    [...path, "subject", "session"],
    report,
  );
}

function urn(type: (typeof TYPES)[number]): string {
  return `urn:ietf:params:oauth:token-type:${type}`;
}
