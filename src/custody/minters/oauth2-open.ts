import type { RefreshTokenMint } from "../../core/mint.ts";
import { RotatingFile } from "../rotating-file.ts";
import type { RotatingRoot } from "../rotating-root.ts";
import type { CredentialSource } from "../sources/source.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minter } from "./minter.ts";
import { AssertionMinter } from "./oauth2-assertion-grants.ts";
import { ClientCredentialsMinter } from "./oauth2-client-credentials.ts";
import { BoundTokens } from "./oauth2-dpop.ts";
import { RefreshTokenMinter } from "./oauth2-refresh-token.ts";
import { dpopOf, type OAuth2Mint, type OAuth2Sources } from "./oauth2-sources.ts";
import { TokenRequests } from "./oauth2-token-request.ts";

/**
 * The minter of one OAuth 2.0 grant. Loaded with the first mint: it brings the HTTP client.
 * @param rotating the root of a refresh token that has no file of state
 */
export function openOAuth2(
  mint: OAuth2Mint,
  { root, client: clientSource, actor, dpopKey }: OAuth2Sources,
  tools: MintTools,
  { rotating, uid }: { readonly rotating: RotatingRoot | null; readonly uid: number | null },
): Minter {
  const { endpoint, client } = mint;
  const bound = dpopOf(mint) === null ? null : new BoundTokens(endpoint.url, dpopKey, tools);
  const requests = new TokenRequests({ endpoint, client, clientSource, target: mint, bound, tools });
  switch (mint.as) {
    case "oauth2_client_credentials":
      return new ClientCredentialsMinter(requests, root);
    case "oauth2_refresh_token":
      return new RefreshTokenMinter(requests, rotating ?? fileOf(mint, root, uid), tools);
    case "oauth2_token_exchange":
    case "oauth2_jwt_bearer":
      return new AssertionMinter(mint, requests, root, actor, tools);
  }
}

function fileOf({ state }: RefreshTokenMint, seed: CredentialSource, uid: number | null): RotatingFile {
  if (state === null) throw new TypeError("a refresh token has a place for its successors");
  return new RotatingFile({ path: state, seed, uid });
}
