import type { SourceSpec } from "./credential.ts";
import { type CloudMint, cloudNarrowable, type GcpSelfSignedMint } from "./mint-cloud.ts";
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

/** How a client proves itself to a token endpoint (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2). */
export interface OAuth2Client {
  readonly id: string;
  readonly auth: "client_secret_basic" | "client_secret_post" | "private_key_jwt" | "tls" | "none";
  /** Its secret, private key or certificate with key; `null`: the root of the entry is that, or `auth` needs none. */
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

/** Bound tokens (RFC 9449). */
export interface DpopBinding {
  /** The key, as PEM or JWK; `null`: custody makes one that ends with its process. */
  readonly key: SourceSpec | null;
}

/** What custody says in a JWT that it signs itself. */
export interface JwtTemplate {
  readonly issuer: string | null;
  readonly audiences: readonly string[];
  readonly algorithm: SigningAlgorithm;
  readonly keyId: string | null;
  /** Life, `s`. */
  readonly ttlSeconds: number;
  /** Further claims; `{session}`, `{tenant}`, `{workspace}` and `{subject}` in their texts stand for those of the session. */
  readonly claims: Readonly<Record<string, ClaimTemplate>>;
}

export type ClaimTemplate = string | number | boolean | readonly string[];

/** RFC 6749 §4.4. The root is what the client proves itself with. */
export interface ClientCredentialsMint extends OAuth2Target {
  readonly as: "oauth2_client_credentials";
  readonly endpoint: IssuerEndpoint;
  readonly client: OAuth2Client;
  /** `null`: bearer tokens. */
  readonly dpop: DpopBinding | null;
}

/** RFC 6749 §6. The root is the first refresh token; where the issuer rotates it, `state` or the store holds its successor. */
export interface RefreshTokenMint extends OAuth2Target {
  readonly as: "oauth2_refresh_token";
  readonly endpoint: IssuerEndpoint;
  readonly client: OAuth2Client;
  /** `null`: bearer tokens. */
  readonly dpop: DpopBinding | null;
  /** Absolute path of the file that successors are kept in; `null`: in the entry of the store that is the source of the root. */
  readonly state: string | null;
}

/** RFC 8693. */
export interface TokenExchangeMint extends OAuth2Target {
  readonly as: "oauth2_token_exchange";
  readonly endpoint: IssuerEndpoint;
  readonly client: OAuth2Client | null;
  readonly subject:
    /** The root is the subject token, of this type (a URN). */
    | { readonly from: "root"; readonly tokenType: string }
    /** The root is a key, which signs who the session is. */
    | { readonly from: "session"; readonly template: JwtTemplate };
  readonly actor: { readonly source: SourceSpec; readonly tokenType: string } | null;
}

/** RFC 7523 §2.1. The root is the key that signs the assertion. */
export interface JwtBearerMint extends OAuth2Target {
  readonly as: "oauth2_jwt_bearer";
  readonly endpoint: IssuerEndpoint;
  readonly client: OAuth2Client | null;
  readonly template: JwtTemplate;
}

/** A JWT of custody's own making. The root is the key. */
export interface SignedJwtMint {
  readonly as: "signed_jwt";
  readonly template: JwtTemplate;
  /** `typ` of its header. */
  readonly type: string;
  /** Claim `scope`; none when it is empty. */
  readonly scopes: readonly string[];
}

/** How a root becomes something smaller. One member a file in `src/custody/minters/` and in `src/config/mint/`. */
export type MintSpec =
  | ClientCredentialsMint
  | RefreshTokenMint
  | TokenExchangeMint
  | JwtBearerMint
  | SignedJwtMint
  | GcpSelfSignedMint
  | CloudMint;

/** The sources that a minter reads beside the root of its entry. */
export function furtherSources(mint: MintSpec): readonly SourceSpec[] {
  switch (mint.as) {
    case "oauth2_client_credentials":
    case "oauth2_refresh_token":
      return [...secretOf(mint.client), ...(mint.dpop?.key ? [mint.dpop.key] : [])];
    case "oauth2_jwt_bearer":
      return secretOf(mint.client);
    case "oauth2_token_exchange":
      return [...secretOf(mint.client), ...(mint.actor === null ? [] : [mint.actor.source])];
    case "signed_jwt":
    case "github_app":
    case "aws_sts_assume_role":
    case "aws_sts_web_identity":
    case "gcp_service_account":
    case "gcp_self_signed_jwt":
    case "azure_client_credentials":
    case "registry_token":
      return [];
  }
}

/** What a lease of it may be narrowed within; nothing where there is no list to be within. */
export function narrowableOf(mint: MintSpec | null): Narrowable {
  switch (mint?.as) {
    case undefined:
      return {};
    case "oauth2_client_credentials":
    case "oauth2_refresh_token":
    case "oauth2_token_exchange":
    case "oauth2_jwt_bearer":
      return { scopes: mint.scopes, audiences: mint.audiences, resources: mint.resources };
    case "signed_jwt":
      return { scopes: mint.scopes, audiences: mint.template.audiences };
    case "github_app":
    case "aws_sts_assume_role":
    case "aws_sts_web_identity":
    case "gcp_service_account":
    case "gcp_self_signed_jwt":
    case "azure_client_credentials":
    case "registry_token":
      return cloudNarrowable(mint);
  }
}

/** Names in braces that a claim may use. */
export const CLAIM_NAMES = ["session", "tenant", "workspace", "subject"] as const;
export type ClaimName = (typeof CLAIM_NAMES)[number];
/** What looks like one of them. */
export const CLAIM_PLACE = /\{([a-z_]+)\}/g;

/** Whether what is signed tells one session from another. */
export function namesSession({ claims }: JwtTemplate): boolean {
  return Object.values(claims)
    .flat()
    .some((text) => typeof text === "string" && text.search(CLAIM_PLACE) >= 0);
}

function secretOf(client: OAuth2Client | null): readonly SourceSpec[] {
  return client === null || client.secret === null ? [] : [client.secret];
}
