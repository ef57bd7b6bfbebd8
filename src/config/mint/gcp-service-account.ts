import { z } from "zod";
import type { GcpImpersonation } from "../../core/mint-cloud.ts";
import { whole } from "../primitives.ts";
import { endpointOf, endpointSchema } from "./endpoint.ts";
import { mintConfig, type MintContext } from "./mint-config.ts";
import { targetKeys } from "./oauth2.ts";

const accountText = z.string().regex(/^[\w.+-]{1,128}@[\w.-]{1,128}$/, "write the e-mail address of a service account");

const impersonateSchema = z
  .strictObject({
    account: accountText.describe("The account that the token is for."),
    delegates: z.array(accountText).max(10).default([]).describe("Accounts in between, in order."),
    lifetime_seconds: whole(60, 3600, 900, "Life of the token, `s`."),
    api: endpointSchema
      .optional()
      .describe("Another endpoint of the IAM credentials API; left out: https://iamcredentials.googleapis.com."),
  })
  .describe("Another account that the root's one may act for; its token's life is chosen.");

export const gcpServiceAccount = mintConfig({
  schema: z
    .strictObject({
      as: z.literal("gcp_service_account"),
      token_endpoint: endpointSchema
        .optional()
        .describe(
          "Where the token is asked for, and `aud` of what is signed; left out: Google's. The root's own `token_uri` says nothing.",
        ),
      scopes: targetKeys.scopes.unwrap().min(1).describe("Scopes of the token, which a destination may narrow."),
      impersonate: impersonateSchema.optional(),
    })
    .describe("An access token of a Google service account; the root is its key, as JSON."),
  kind: () => "token",
  spec: (raw, context) => ({
    as: "gcp_service_account",
    endpoint: endpointOf(
      raw.token_endpoint ?? { url: "https://oauth2.googleapis.com/token", timeout_ms: 5000 },
      "token_endpoint",
      context,
    ),
    scopes: Object.freeze([...new Set(raw.scopes)]),
    impersonate: raw.impersonate === undefined ? null : impersonationOf(raw.impersonate, context),
  }),
});

export const gcpSelfSigned = mintConfig({
  schema: z
    .strictObject({
      as: z.literal("gcp_self_signed_jwt"),
      audience: z
        .string()
        .regex(/^https:\/\/[\w.-]{1,253}\/$/, "write the root of one API, such as https://pubsub.googleapis.com/")
        .optional()
        .describe("The one API that it is good for."),
      scopes: targetKeys.scopes.describe(
        "In place of `audience`: what it is good for, which a destination may narrow.",
      ),
    })
    .describe("A JWT that a Google service account signs for itself; the root is its key, as JSON."),
  kind: () => "token",
  spec(raw, { path, report }) {
    if ((raw.audience === undefined) === (raw.scopes.length === 0))
      report.add([...path, "audience"], "write either audience or scopes: Google takes one of them", true);
    return {
      as: "gcp_self_signed_jwt",
      audience: raw.audience ?? null,
      scopes: Object.freeze([...new Set(raw.scopes)]),
    };
  },
});

function impersonationOf(raw: z.output<typeof impersonateSchema>, context: MintContext): GcpImpersonation {
  const path = [...context.path, "impersonate"];
  const endpoint = endpointOf(raw.api ?? { url: "https://iamcredentials.googleapis.com", timeout_ms: 5000 }, "api", {
    ...context,
    path,
  });
  if (URL.parse(endpoint.url)?.pathname !== "/")
    context.report.add([...path, "api", "url"], "has a path, and the API's is added: leave it out");
  return Object.freeze({
    endpoint,
    account: raw.account,
    delegates: Object.freeze(raw.delegates),
    lifetimeSeconds: raw.lifetime_seconds,
  });
}
