import { isDeepStrictEqual } from "node:util";
import type { IssuerEndpoint, OAuth2Client, OAuth2Target } from "../../core/mint.ts";
import type { Narrowing } from "../../core/narrow.ts";
import type { Secret } from "../../core/secret.ts";
import { type FormField, type IssuerAnswer, Outbound, type OutboundIdentity } from "../outbound.ts";
import type { CredentialSource } from "../sources/source.ts";
import type { DpopKey } from "./dpop-key.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minted } from "./minter.ts";
import { type ClientProof, clientProof } from "./oauth2-client-auth.ts";
import { type BoundTokens, tokenMaterial } from "./oauth2-dpop.ts";
import { targetFields } from "./oauth2-target.ts";
import { tokenAnswer } from "./oauth2-token-answer.ts";

export interface TokenRequestOptions {
  readonly endpoint: IssuerEndpoint;
  /** `null`: none is named. */
  readonly client: OAuth2Client | null;
  /** Where the client's secret is read when it stands beside the root, else `null`. */
  readonly clientSource: CredentialSource | null;
  readonly target: OAuth2Target;
  /** Tokens are asked for bound to its key; `null`: bearer tokens. */
  readonly bound: BoundTokens | null;
  readonly tools: MintTools;
}

/** One request that was answered. */
export interface Sent {
  readonly answer: IssuerAnswer;
  /** What a token in it is bound to, or `null`. */
  readonly key: DpopKey | null;
  /** What the scope was narrowed to, or `null` where it was not. */
  readonly scopes: readonly string[] | null;
  /** Monotonic ms before it was sent: a slow answer shortens a life, never the other way round. */
  readonly startedAtMs: number;
}

/** One client at one token endpoint (RFC 6749 §3.2), whatever the grant. */
export class TokenRequests {
  readonly timeoutMs: number;
  /** Names the endpoint in errors. */
  readonly where: string;
  readonly #options: TokenRequestOptions;
  /** Connections show one certificate: another one gets connections of its own. */
  #outbound: Outbound;
  #shown: OutboundIdentity | null = null;
  #closed = false;

  constructor(options: TokenRequestOptions) {
    const { endpoint, clientSource, tools } = options;
    this.#options = options;
    this.where = `${tools.where}: its token endpoint`;
    this.timeoutMs = endpoint.timeoutMs + (clientSource?.timeoutMs ?? 0);
    this.#outbound = new Outbound(endpoint, this.where);
  }

  /**
   * @param grant its fields, `grant_type` among them
   * @param root what the client proves itself with where that is the root of the entry; read before, zeroed by the caller
   * @param fresh the upstream refused what was minted last
   * @throws MintFailure, SourceError, LeaseRefusal
   */
  async send(
    grant: readonly FormField[],
    narrow: Narrowing | undefined,
    root: Secret | null,
    fresh: boolean,
    signal: AbortSignal,
  ): Promise<Sent> {
    const { bound } = this.#options;
    const target = targetFields(this.#options.target, narrow);
    const post = async (more: Readonly<Record<string, string>>): Promise<IssuerAnswer> => {
      // Anew for each: an assertion counts once.
      const proof = await this.#proof(root, fresh);
      const headers = { ...proof.headers, ...more };
      return await this.#outboundWith(proof.identity).postForm([...grant, ...target, ...proof.fields], headers, signal);
    };
    const scopes = narrow?.["scopes"] ?? null;
    const startedAtMs = this.#options.tools.clock.monotonicMs();
    if (bound === null) return { answer: await post({}), key: null, scopes, startedAtMs };
    return { ...(await bound.post((proof) => post({ dpop: proof }))), scopes, startedAtMs };
  }

  /** What an answer brings. @param types of tokens that are not bound, lower case @throws MintFailure */
  tokenOf({ answer, key, scopes, startedAtMs }: Sent, types: readonly string[] = ["bearer"]): Minted {
    const wanted = { types: key === null ? types : ["dpop"], scopes };
    const { accessToken, lifeMs } = tokenAnswer(answer, this.where, wanted);
    return { material: tokenMaterial(accessToken, key), expiresAtMs: startedAtMs + lifeMs, release: null };
  }

  close(): void {
    this.#closed = true;
    this.#outbound.close();
  }

  #outboundWith(identity: OutboundIdentity | null): Outbound {
    if (isDeepStrictEqual(identity, this.#shown)) return this.#outbound;
    const before = this.#outbound;
    this.#shown = identity;
    this.#outbound = new Outbound(this.#options.endpoint, this.where, identity);
    if (this.#closed) this.#outbound.close();
    // What runs on it has an end of its own.
    before.retire();
    return this.#outbound;
  }

  async #proof(root: Secret | null, fresh: boolean): Promise<ClientProof> {
    const { client, clientSource, endpoint, tools } = this.#options;
    if (client === null) return { headers: {}, fields: [], identity: null };
    if (clientSource === null) return clientProof(client, root, endpoint.url, tools);
    const { secret } = await clientSource.read(fresh);
    try {
      return clientProof(client, secret, endpoint.url, tools);
    } finally {
      secret.zero();
    }
  }
}
