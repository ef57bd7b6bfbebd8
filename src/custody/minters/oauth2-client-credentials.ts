import type { LeaseRequest } from "../../core/custody.ts";
import type { CredentialSource } from "../sources/source.ts";
import type { Minted, Minter } from "./minter.ts";
import type { TokenRequests } from "./oauth2-token-request.ts";

/** An access token for the client itself (RFC 6749 §4.4). The root is the client's secret or key. */
export class ClientCredentialsMinter implements Minter {
  readonly timeoutMs: number;
  readonly #requests: TokenRequests;
  readonly #source: CredentialSource;

  constructor(requests: TokenRequests, source: CredentialSource) {
    this.#requests = requests;
    this.#source = source;
    this.timeoutMs = source.timeoutMs + requests.timeoutMs;
  }

  async mint({ narrow }: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted> {
    const { secret } = await this.#source.read(fresh);
    try {
      const sent = await this.#requests.send([["grant_type", "client_credentials"]], narrow, secret, fresh, signal);
      return this.#requests.tokenOf(sent);
    } finally {
      secret.zero();
    }
  }

  close(): void {
    this.#requests.close();
  }
}
