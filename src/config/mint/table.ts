import { z } from "zod";
import type { CredentialKind } from "../../core/credential.ts";
import type { MintSpec } from "../../core/mint.ts";
import { assumeRole, webIdentity } from "./aws-sts.ts";
import { azureClientCredentials } from "./azure.ts";
import { clientCredentials } from "./client-credentials.ts";
import { gcpSelfSigned, gcpServiceAccount } from "./gcp-service-account.ts";
import { githubApp } from "./github-app.ts";
import { jwtBearer } from "./jwt-bearer.ts";
import type { MintConfig, MintContext } from "./mint-config.ts";
import { refreshToken } from "./refresh-token.ts";
import { registryTokenConfig } from "./registry-token.ts";
import { signedJwt } from "./signed-jwt.ts";
import { tokenExchange } from "./token-exchange.ts";

/** One line a kind, in the order of the documentation: a kind in the vocabulary without a line here does not compile. */
const TABLE = {
  oauth2_client_credentials: clientCredentials,
  oauth2_refresh_token: refreshToken,
  oauth2_token_exchange: tokenExchange,
  oauth2_jwt_bearer: jwtBearer,
  signed_jwt: signedJwt,
  github_app: githubApp,
  aws_sts_assume_role: assumeRole,
  aws_sts_web_identity: webIdentity,
  gcp_service_account: gcpServiceAccount,
  gcp_self_signed_jwt: gcpSelfSigned,
  azure_client_credentials: azureClientCredentials,
  registry_token: registryTokenConfig,
} satisfies {
  [As in MintSpec["as"]]: { readonly schema: MintConfig<As>["schema"] };
};

/** `mint:` of a catalogue entry. */
export const mintSchema = z.discriminatedUnion("as", [
  TABLE.oauth2_client_credentials.schema,
  TABLE.oauth2_refresh_token.schema,
  TABLE.oauth2_token_exchange.schema,
  TABLE.oauth2_jwt_bearer.schema,
  TABLE.signed_jwt.schema,
  TABLE.github_app.schema,
  TABLE.aws_sts_assume_role.schema,
  TABLE.aws_sts_web_identity.schema,
  TABLE.gcp_service_account.schema,
  TABLE.gcp_self_signed_jwt.schema,
  TABLE.azure_client_credentials.schema,
  TABLE.registry_token.schema,
]);

export type RawMint = z.output<typeof mintSchema>;

/** What `mint:` means, and what a lease of it brings. */
export function mintOf(raw: RawMint, context: MintContext): { readonly kind: CredentialKind; readonly spec: MintSpec } {
  const config = TABLE[raw.as] as unknown as MintConfig<MintSpec["as"]>;
  return { kind: config.kind(raw), spec: Object.freeze(config.spec(raw, context)) };
}
