import type { IssuerEndpoint, OAuth2Client, OAuth2Target } from "../../core/mint.ts";
import type { Narrowing } from "../../core/narrow.ts";
import type { Secret } from "../../core/secret.ts";
import { type FormField, type IssuerAnswer, Outbound } from "../outbound.ts";
import type { CredentialSource } from "../sources/source.ts";
import type { MintTools } from "./mint-tools.ts";
import { type ClientProof, clientProof } from "./oauth2-client-auth.ts";
import { targetFields } from "./oauth2-target.ts";

export interface TokenRequestOptions {
  readonly endpoint: IssuerEndpoint;
  /** `null`: none is named. */
  readonly client: OAuth2Client | null;
  /** Where the client's secret is read when it stands beside the root, else `null`. */
  readonly clientSource: CredentialSource | null;
  readonly target: OAuth2Target;
  readonly tools: MintTools;
}

/** One client at one token endpoint (RFC 6749 §3.2), whatever the grant. */
export class TokenRequests {
  readonly timeoutMs: number;
  /** Names the endpoint in errors. */
  readonly where: string;
  readonly #options: TokenRequestOptions;
  readonly #outbound: Outbound;

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
  ): Promise<IssuerAnswer> {
    const target = targetFields(this.#options.target, narrow);
    const proof = await this.#proof(root, fresh);
    return await this.#outbound.postForm([...grant, ...target, ...proof.fields], proof.headers, signal);
  }

  close(): void {
    this.#outbound.close();
  }

  async #proof(root: Secret | null, fresh: boolean): Promise<ClientProof> {
    const { client, clientSource, endpoint, tools } = this.#options;
    if (client === null) return { headers: {}, fields: [] };
    if (clientSource === null) return clientProof(client, root, endpoint.url, tools);
    const { secret } = await clientSource.read(fresh);
    try {
      return clientProof(client, secret, endpoint.url, tools);
    } finally {
      secret.zero();
    }
  }
}
