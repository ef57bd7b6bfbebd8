import type { SourceSpec } from "./credential.ts";
import type { Narrowable } from "./narrow.ts";

/** How an issuer is reached. */
export interface IssuerEndpoint {
  /** Absolute URL: https, or http on a loopback address where that was spelled out. */
  readonly url: string;
  /** PEM roots that replace the system's, or `null`. */
  readonly ca: string | null;
  /** One call in all: connecting, asking and reading, `ms`. */
  readonly timeoutMs: number;
}

/** Algorithms that custody signs with (RFC 7518 §3.1, RFC 8037 §3.1). */
export const SIGNING_ALGORITHMS = ["EdDSA", "ES256", "RS256", "PS256"] as const;
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

/** How a client proves itself to a token endpoint (RFC 6749 §2.3, RFC 7523 §2.2). */
export interface OAuth2Client {
  readonly id: string;
  readonly auth: "client_secret_basic" | "client_secret_post" | "private_key_jwt" | "none";
  /** Its secret or private key; `null`: the root of the entry is that, or `auth` needs none. */
  readonly secret: SourceSpec | null;
  /** Of `private_key_jwt`. */
  readonly algorithm: SigningAlgorithm;
  /** `kid` of `private_key_jwt`, or `null`. */
  readonly keyId: string | null;
  /** `aud` of `private_key_jwt`, or `null`: the URL of the endpoint. */
  readonly audience: string | null;
}

/** What an access token is asked to be good for. Empty lists are not sent. */
export interface OAuth2Target {
  readonly scopes: readonly string[];
  readonly audiences: readonly string[];
  /** RFC 8707. */
  readonly resources: readonly string[];
}

/** RFC 6749 §4.4. The root is what the client proves itself with. */
export interface ClientCredentialsMint extends OAuth2Target {
  readonly as: "oauth2_client_credentials";
  readonly endpoint: IssuerEndpoint;
  readonly client: OAuth2Client;
}

/** How a root becomes something smaller. One member a file in `src/custody/minters/` and in `src/config/mint/`. */
export type MintSpec = ClientCredentialsMint;

/** The sources that a minter reads beside the root of its entry. */
export function furtherSources(mint: MintSpec): readonly SourceSpec[] {
  switch (mint.as) {
    case "oauth2_client_credentials":
      return mint.client.secret === null ? [] : [mint.client.secret];
  }
}

/** What a lease of it may be narrowed within; nothing where there is no list to be within. */
export function narrowableOf(mint: MintSpec | null): Narrowable {
  switch (mint?.as) {
    case undefined:
      return {};
    case "oauth2_client_credentials":
      return targetLists(mint);
  }
}

function targetLists({ scopes, audiences, resources }: OAuth2Target): Narrowable {
  return { scopes, audiences, resources };
}
