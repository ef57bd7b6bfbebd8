import type { LeaseRequest } from "../../core/custody.ts";
import type { RegistryTokenMint } from "../../core/mint-cloud.ts";
import type { Narrowing } from "../../core/narrow.ts";
import { Outbound } from "../outbound.ts";
import type { CredentialSource } from "../sources/source.ts";
import { endOfWallTime } from "./life.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minted, Minter } from "./minter.ts";
import { narrowedList } from "./narrowed-list.ts";
import { registryToken } from "./registry-answer.ts";

/**
 * A token of a container registry (the token authentication of Docker's and OCI's distribution) for some repositories and some
 * actions. The root is the password, or the access token, of a user. Where the token is asked for is said by the config: what a
 * registry says in its challenge is for clients that have nothing to lose.
 */
export class RegistryTokenMinter implements Minter {
  readonly timeoutMs: number;
  readonly #mint: RegistryTokenMint;
  readonly #source: CredentialSource;
  readonly #tools: MintTools;
  readonly #outbound: Outbound;

  constructor(mint: RegistryTokenMint, source: CredentialSource, tools: MintTools) {
    this.#mint = mint;
    this.#source = source;
    this.#tools = tools;
    this.#outbound = new Outbound(mint.endpoint, this.#where);
    this.timeoutMs = source.timeoutMs + mint.endpoint.timeoutMs;
  }

  async mint({ narrow }: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted> {
    const path = this.#path(narrow);
    const authorization = await this.#authorization(fresh);
    const { clock } = this.#tools;
    const startedAtMs = clock.monotonicMs();
    const call = { method: "GET", path, headers: { accept: "application/json", authorization } } as const;
    const answer = await this.#outbound.call(call, signal);
    const { token, lifeMs, issuedWallMs } = registryToken(answer, this.#where);
    return {
      material: { kind: "token", token },
      // Its life is counted from when it was issued, which may have been a while ago.
      expiresAtMs:
        issuedWallMs === null
          ? startedAtMs + lifeMs
          : endOfWallTime(issuedWallMs + lifeMs, answer, clock, startedAtMs, lifeMs),
      release: null,
    };
  }

  close(): void {
    this.#outbound.close();
  }

  get #where(): string {
    return `${this.#tools.where}: its token server`;
  }

  #path(narrow: Narrowing | undefined): string {
    const { endpoint, service, repositories, actions } = this.#mint;
    const allowed = narrowedList("actions", actions, narrow).join(",");
    const query = new URLSearchParams([["service", service]]);
    for (const repository of narrowedList("repositories", repositories, narrow))
      query.append("scope", `repository:${repository}:${allowed}`);
    return `${new URL(endpoint.url).pathname}?${query.toString()}`;
  }

  async #authorization(fresh: boolean): Promise<string> {
    const { secret } = await this.#source.read(fresh);
    try {
      return `Basic ${Buffer.from(`${this.#mint.username}:${secret.reveal()}`).toString("base64")}`;
    } finally {
      secret.zero();
    }
  }
}
