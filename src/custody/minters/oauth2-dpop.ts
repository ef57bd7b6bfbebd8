import type { Material } from "../../core/material.ts";
import type { Secret } from "../../core/secret.ts";
import type { IssuerAnswer } from "../outbound.ts";
import { type CredentialSource, SourceError } from "../sources/source.ts";
import { DpopKey, TokenEndpointProofs } from "./dpop-key.ts";
import type { MintTools } from "./mint-tools.ts";

/** What a bound token is asked for with: the key of a source, or one of this process's own. */
export class BoundTokens {
  readonly #url: URL;
  readonly #source: CredentialSource | null;
  readonly #tools: MintTools;
  #proofs: TokenEndpointProofs | null = null;

  /** @param source where the key is read for each request; `null`: one is made, and ends with the process */
  constructor(url: string, source: CredentialSource | null, tools: MintTools) {
    this.#url = new URL(url);
    this.#source = source;
    this.#tools = tools;
  }

  /**
   * @param post sends the request with this field `DPoP`; called twice where the endpoint asks for a nonce
   * @returns the answer, and the key that a token in it is bound to
   */
  async post(post: (proof: string) => Promise<IssuerAnswer>): Promise<{ answer: IssuerAnswer; key: DpopKey }> {
    const proofs = await this.#proofsNow();
    const { answer } = await proofs.post(async (proof) => {
      const answer = await post(proof);
      const error = answer.json?.["error"];
      return {
        answer,
        status: answer.status,
        nonce: answer.header("dpop-nonce"),
        error: typeof error === "string" ? error : null,
      };
    });
    return { answer, key: proofs.key };
  }

  async #proofsNow(): Promise<TokenEndpointProofs> {
    if (this.#source === null) {
      this.#proofs ??= new TokenEndpointProofs(DpopKey.generate(), this.#url, this.#tools);
      return this.#proofs;
    }
    const { secret } = await this.#source.read(false);
    const key = DpopKey.read(secret.reveal());
    secret.zero();
    if (key === null)
      throw new SourceError(
        `${this.#tools.where}: dpop.key yields no key for proofs: let it yield an unencrypted one on P-256 or Ed25519`,
      );
    if (this.#proofs?.key.thumbprint !== key.thumbprint)
      this.#proofs = new TokenEndpointProofs(key, this.#url, this.#tools);
    return this.#proofs;
  }
}

/** The material of an access token. @param key that it is bound to, or `null` */
export function tokenMaterial(token: Secret, key: DpopKey | null): Material {
  return key === null ? { kind: "token", token } : { kind: "dpop", token, key: key.pem(), publicJwk: key.publicJwk };
}
