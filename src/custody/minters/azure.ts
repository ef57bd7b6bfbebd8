import type { LeaseRequest } from "../../core/custody.ts";
import type { AzureMint } from "../../core/mint-cloud.ts";
import { Outbound } from "../outbound.ts";
import type { CredentialSource } from "../sources/source.ts";
import { azureProof } from "./azure-proof.ts";
import { azureRefusal } from "./azure-refusal.ts";
import { MintFailure } from "./mint-failure.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minted, Minter } from "./minter.ts";
import { narrowedList } from "./narrowed-list.ts";
import { tokenAnswer } from "./oauth2-token-answer.ts";

/** An access token of Entra for an application, for one resource. The root is what the application proves itself with. */
export class AzureMinter implements Minter {
  readonly timeoutMs: number;
  readonly #mint: AzureMint;
  readonly #entryName: string;
  readonly #source: CredentialSource;
  readonly #tools: MintTools;
  readonly #outbound: Outbound;

  constructor(mint: AzureMint, entryName: string, source: CredentialSource, tools: MintTools) {
    this.#mint = mint;
    this.#entryName = entryName;
    this.#source = source;
    this.#tools = tools;
    this.#outbound = new Outbound(mint.endpoint, this.#where);
    this.timeoutMs = source.timeoutMs + mint.endpoint.timeoutMs;
  }

  async mint({ narrow }: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted> {
    const { clientId } = this.#mint;
    const scope = this.#oneOf(narrowedList("scopes", this.#mint.scopes, narrow));
    const reading = await this.#source.read(fresh);
    const proof = azureProof(this.#mint, reading, this.#entryName, this.#tools);
    const startedAtMs = this.#tools.clock.monotonicMs();
    const answer = await this.#outbound.postForm(
      [["grant_type", "client_credentials"], ["client_id", clientId], ["scope", scope], ...proof],
      {},
      signal,
    );
    const refusal = azureRefusal(answer, this.#where);
    if (refusal !== null) throw refusal;
    const { accessToken, lifeMs } = tokenAnswer(answer, this.#where, { types: ["bearer"], scopes: null });
    return { material: { kind: "token", token: accessToken }, expiresAtMs: startedAtMs + lifeMs, release: null };
  }

  close(): void {
    this.#outbound.close();
  }

  get #where(): string {
    return `${this.#tools.where}: Entra`;
  }

  /** A token of Entra is for one resource. */
  #oneOf(scopes: readonly string[]): string {
    const [scope, ...more] = scopes;
    if (scope !== undefined && more.length === 0) return scope;
    throw new MintFailure(
      `${this.#where} gives tokens for one resource each: let the destination say which, as narrow: { scopes: [...] }`,
    );
  }
}
