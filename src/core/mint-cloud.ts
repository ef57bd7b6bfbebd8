import type { IssuerEndpoint } from "./mint.ts";
import type { Narrowable } from "./narrow.ts";

/** Minters of clouds and registries: what each is told, and what a lease of it is narrowed within. */

/** An installation token of a GitHub App. The root is the private key of the app. */
export interface GithubAppMint {
  readonly as: "github_app";
  /** Root of the REST API, without a slash at its end. */
  readonly endpoint: IssuerEndpoint;
  /** Client id of the app, or its number. */
  readonly clientId: string;
  /** Digits. */
  readonly installation: string;
  /** Names without their owner; `null` spells "all of the installation". Never empty. */
  readonly repositories: readonly string[] | null;
  /** `name:level`; `null` spells "all that the installation was granted". Never empty. */
  readonly permissions: readonly string[] | null;
}

interface AwsRole {
  readonly endpoint: IssuerEndpoint;
  /** ARN */
  readonly role: string;
  /** Life of the keys, `s`, at least 900. */
  readonly durationSeconds: number;
  /** Session policy as JSON text, or `null`. The keys can do what the role and one of the session policies allow. */
  readonly policy: string | null;
  /** ARNs of managed session policies. */
  readonly policyArns: readonly string[];
}

/** Keys of a role. The root is an access key. */
export interface AwsAssumeRoleMint extends AwsRole {
  readonly as: "aws_sts_assume_role";
  readonly region: string;
  readonly externalId: string | null;
  /** With places such as `{subject}`, as in the claims of a JWT. */
  readonly sourceIdentity: string | null;
  /** Values with places. */
  readonly tags: Readonly<Record<string, string>>;
}

/** Keys of a role. The root is a token of an identity provider that the account trusts. */
export interface AwsWebIdentityMint extends AwsRole {
  readonly as: "aws_sts_web_identity";
}

/** An account that the root's one may act for. */
export interface GcpImpersonation {
  /** Root of the IAM credentials API. */
  readonly endpoint: IssuerEndpoint;
  readonly account: string;
  readonly delegates: readonly string[];
  readonly lifetimeSeconds: number;
}

/** An access token of a Google service account. The root is its key, as JSON. */
export interface GcpServiceAccountMint {
  readonly as: "gcp_service_account";
  readonly endpoint: IssuerEndpoint;
  /** Never empty. */
  readonly scopes: readonly string[];
  readonly impersonate: GcpImpersonation | null;
}

/** A JWT that a Google service account signs for itself. */
export interface GcpSelfSignedMint {
  readonly as: "gcp_self_signed_jwt";
  /** The one API that it is good for; `null`: what `scopes` say. */
  readonly audience: string | null;
  readonly scopes: readonly string[];
}

/** An access token of Entra for an application, for one resource. */
export interface AzureMint {
  readonly as: "azure_client_credentials";
  readonly endpoint: IssuerEndpoint;
  readonly clientId: string;
  /** What the root is. */
  readonly proof: "client_secret" | "certificate" | "federated_token";
  /** `<resource>/.default`; never empty. */
  readonly scopes: readonly string[];
}

/** A token of a container registry. The root is the password of a user. */
export interface RegistryTokenMint {
  readonly as: "registry_token";
  readonly endpoint: IssuerEndpoint;
  readonly service: string;
  readonly username: string;
  /** Never empty. */
  readonly repositories: readonly string[];
  /** Never empty. */
  readonly actions: readonly string[];
}

/** Those that ask an issuer. */
export type CloudMint =
  | GithubAppMint
  | AwsAssumeRoleMint
  | AwsWebIdentityMint
  | GcpServiceAccountMint
  | AzureMint
  | RegistryTokenMint;

/** What is minted names the session: no two of them share it. */
export function isCloudPerSession({ as }: CloudMint): boolean {
  return as === "aws_sts_assume_role" || as === "aws_sts_web_identity";
}

/** What a lease of it may be narrowed within; nothing where there is no list to be within. */
export function cloudNarrowable(mint: CloudMint | GcpSelfSignedMint): Narrowable {
  switch (mint.as) {
    case "github_app":
      return {
        ...(mint.repositories === null ? {} : { repositories: mint.repositories }),
        ...(mint.permissions === null ? {} : { permissions: mint.permissions }),
      };
    case "aws_sts_assume_role":
    case "aws_sts_web_identity":
      return { policy_arns: mint.policyArns };
    case "gcp_service_account":
    case "gcp_self_signed_jwt":
    case "azure_client_credentials":
      return { scopes: mint.scopes };
    case "registry_token":
      return { repositories: mint.repositories, actions: mint.actions };
  }
}

/** All calls to issuers that one mint makes, `ms`. */
export function longestIssuerMs(mint: CloudMint): number {
  switch (mint.as) {
    case "github_app":
    case "aws_sts_assume_role":
    case "aws_sts_web_identity":
    case "azure_client_credentials":
    case "registry_token":
      return mint.endpoint.timeoutMs;
    case "gcp_service_account":
      return mint.endpoint.timeoutMs + (mint.impersonate?.endpoint.timeoutMs ?? 0);
  }
}
