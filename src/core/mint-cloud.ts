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

export type CloudMint = GithubAppMint;

/** What a lease of it may be narrowed within; nothing where there is no list to be within. */
export function cloudNarrowable(mint: CloudMint): Narrowable {
  switch (mint.as) {
    case "github_app":
      return {
        ...(mint.repositories === null ? {} : { repositories: mint.repositories }),
        ...(mint.permissions === null ? {} : { permissions: mint.permissions }),
      };
  }
}

/** All calls to issuers that one mint makes, `ms`. */
export function longestIssuerMs(mint: CloudMint): number {
  switch (mint.as) {
    case "github_app":
      return mint.endpoint.timeoutMs;
  }
}
