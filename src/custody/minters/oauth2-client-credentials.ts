import type { LeaseRequest } from "../../core/custody.ts";
import type { ClientCredentialsMint } from "../../core/mint.ts";
import { Outbound } from "../outbound.ts";
import type { CredentialSource } from "../sources/source.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minted, Minter } from "./minter.ts";
import { clientProof } from "./oauth2-client-auth.ts";
import { targetFields } from "./oauth2-target.ts";
import { tokenAnswer } from "./oauth2-token-answer.ts";

/** An access token for the client itself (RFC 6749 §4.4). The root is the client's secret or key. */
export class ClientCredentialsMinter implements Minter {
  readonly timeoutMs: number;
  readonly #mint: ClientCredentialsMint;
  readonly #source: CredentialSource;
  readonly #tools: MintTools;
  readonly #outbound: Outbound;

  constructor(mint: ClientCredentialsMint, source: CredentialSource, tools: MintTools) {
    this.#mint = mint;
    this.#source = source;
    this.#tools = tools;
    this.#outbound = new Outbound(mint.endpoint, `${tools.where}: its token endpoint`);
    this.timeoutMs = source.timeoutMs + mint.endpoint.timeoutMs;
  }

  async mint({ narrow }: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted> {
    const { client, endpoint } = this.#mint;
    const { clock, where } = this.#tools;
    const { secret } = await this.#source.read(fresh);
    try {
      const proof = clientProof(client, secret, endpoint.url, this.#tools);
      const fields = [
        ["grant_type", "client_credentials"],
        ...targetFields(this.#mint, narrow),
        ...proof.fields,
      ] as const;
      const startedAtMs = clock.monotonicMs();
      const answer = await this.#outbound.postForm(fields, proof.headers, signal);
      const { accessToken, lifeMs, refreshToken } = tokenAnswer(answer, `${where}: its token endpoint`);
      // RFC 6749 §4.4.3: there should be none. Nothing here would ever use it.
      refreshToken?.zero();
      return {
        material: { kind: "token", token: accessToken },
        expiresAtMs: startedAtMs + lifeMs,
        release: null,
      };
    } finally {
      secret.zero();
    }
  }

  close(): void {
    this.#outbound.close();
    this.#source.close();
  }
}
