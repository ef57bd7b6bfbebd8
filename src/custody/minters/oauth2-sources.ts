import type { CredentialEntry, SourceSpec } from "../../core/credential.ts";
import { type MintSpec, namesSession } from "../../core/mint.ts";
import { openSource } from "../sources/open.ts";
import type { CredentialSource, SourceContext } from "../sources/source.ts";

export type OAuth2Mint = Extract<MintSpec, { readonly as: `oauth2_${string}` }>;

/** What an OAuth 2.0 minter reads; closed by whoever opened them. */
export interface OAuth2Sources {
  readonly root: CredentialSource;
  /** The secret of the client where it stands beside the root, else `null`. */
  readonly client: CredentialSource | null;
  /** The token of who acts, or `null`. */
  readonly actor: CredentialSource | null;
}

/** What a rotated root takes to be written, `ms`. */
const ROTATION_MS = 5_000;

export function oauth2Sources(mint: OAuth2Mint, root: CredentialSource, context: SourceContext): OAuth2Sources {
  const beside = (source: SourceSpec | null): CredentialSource | null =>
    source === null ? null : openSource(asToken(source), context);
  return {
    root,
    client: beside(mint.client?.secret ?? null),
    actor: beside(mint.as === "oauth2_token_exchange" ? (mint.actor?.source ?? null) : null),
  };
}

export function allOf({ root, client, actor }: OAuth2Sources): readonly CredentialSource[] {
  return [root, client, actor].filter((source) => source !== null);
}

/** All sources, one call, and where a root rotates, its writing, `ms`. */
export function longestMintMs(mint: OAuth2Mint, sources: OAuth2Sources): number {
  const readingMs = allOf(sources).reduce((sum, { timeoutMs }) => sum + timeoutMs, 0);
  return readingMs + mint.endpoint.timeoutMs + (mint.as === "oauth2_refresh_token" ? ROTATION_MS : 0);
}

/** What is minted says which session it is for: no two sessions share it. */
export function isPerSession(mint: OAuth2Mint): boolean {
  if (mint.as === "oauth2_jwt_bearer") return namesSession(mint.template);
  return mint.as === "oauth2_token_exchange" && mint.subject.from === "session" && namesSession(mint.subject.template);
}

/** Beside a root everything is one text. */
function asToken(source: SourceSpec): Pick<CredentialEntry, "source" | "kind"> {
  return { source, kind: "token" };
}
