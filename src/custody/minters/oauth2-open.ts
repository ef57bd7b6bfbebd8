import { RotatingFile } from "../rotating-file.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minter } from "./minter.ts";
import { AssertionMinter } from "./oauth2-assertion-grants.ts";
import { ClientCredentialsMinter } from "./oauth2-client-credentials.ts";
import { RefreshTokenMinter } from "./oauth2-refresh-token.ts";
import type { OAuth2Mint, OAuth2Sources } from "./oauth2-sources.ts";
import { TokenRequests } from "./oauth2-token-request.ts";

/** The minter of one OAuth 2.0 grant. Loaded with the first mint: it brings the HTTP client. */
export function openOAuth2(
  mint: OAuth2Mint,
  { root, client: clientSource, actor }: OAuth2Sources,
  tools: MintTools,
  uid: number | null,
): Minter {
  const { endpoint, client } = mint;
  const requests = new TokenRequests({ endpoint, client, clientSource, target: mint, tools });
  switch (mint.as) {
    case "oauth2_client_credentials":
      return new ClientCredentialsMinter(requests, root, tools);
    case "oauth2_refresh_token":
      return new RefreshTokenMinter(requests, new RotatingFile({ path: mint.state, seed: root, uid }), tools);
    case "oauth2_token_exchange":
    case "oauth2_jwt_bearer":
      return new AssertionMinter(mint, requests, root, actor, tools);
  }
}
