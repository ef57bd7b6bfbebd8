import type { LeaseRequest } from "../../core/custody.ts";
import type { CredentialSource } from "../sources/source.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minted, Minter } from "./minter.ts";
import { tokenAnswer } from "./oauth2-token-answer.ts";
import type { TokenRequests } from "./oauth2-token-request.ts";

/** An access token for the client itself (RFC 6749 §4.4). The root is the client's secret or key. */
export class ClientCredentialsMinter implements Minter {
  readonly timeoutMs: number;
  readonly #requests: TokenRequests;
  readonly #source: CredentialSource;
  readonly #tools: MintTools;

  constructor(requests: TokenRequests, source: CredentialSource, tools: MintTools) {
    this.#requests = requests;
    this.#source = source;
    this.#tools = tools;
    this.timeoutMs = source.timeoutMs + requests.timeoutMs;
  }

  async mint({ narrow }: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted> {
    const { secret } = await this.#source.read(fresh);
    try {
      const startedAtMs = this.#tools.clock.monotonicMs();
      const answer = await this.#requests.send([["grant_type", "client_credentials"]], narrow, secret, fresh, signal);
      const { accessToken, lifeMs, refreshToken } = tokenAnswer(answer, this.#requests.where);
      // RFC 6749 §4.4.3: there should be none. Nothing here would ever use it.
      refreshToken?.zero();
      return { material: { kind: "token", token: accessToken }, expiresAtMs: startedAtMs + lifeMs, release: null };
    } finally {
      secret.zero();
    }
  }

  close(): void {
    this.#requests.close();
  }
}
