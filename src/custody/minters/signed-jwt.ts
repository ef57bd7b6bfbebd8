import type { LeaseRequest } from "../../core/custody.ts";
import type { SignedJwtMint } from "../../core/mint.ts";
import { Secret } from "../../core/secret.ts";
import type { CredentialSource } from "../sources/source.ts";
import { jwtClaims } from "./jwt-claims.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minted, Minter } from "./minter.ts";
import { narrowedList } from "./narrowed-list.ts";
import { JwtKey } from "./sign-jwt.ts";

/** A JWT of custody's own making. The root is the key; each lease gets a JWT of its own, so nothing has to be kept. */
export class SignedJwtMinter implements Minter {
  readonly timeoutMs: number;
  readonly #mint: SignedJwtMint;
  readonly #source: CredentialSource;
  readonly #tools: MintTools;

  constructor(mint: SignedJwtMint, source: CredentialSource, tools: MintTools) {
    this.#mint = mint;
    this.#source = source;
    this.#tools = tools;
    this.timeoutMs = source.timeoutMs;
  }

  async mint({ narrow, session }: LeaseRequest, fresh: boolean): Promise<Minted> {
    const { template, scopes: ownScopes, type } = this.#mint;
    const scopes = narrowedList("scopes", ownScopes, narrow);
    const audiences = narrowedList("audiences", template.audiences, narrow);
    const { secret } = await this.#source.read(fresh);
    try {
      const { algorithm, keyId, ttlSeconds } = template;
      const key = JwtKey.of(secret, algorithm, keyId, `${this.#tools.where}: the source`);
      const startedAtMs = this.#tools.clock.monotonicMs();
      const claims = {
        ...jwtClaims(template, audiences, session, this.#tools),
        ...(scopes.length === 0 ? {} : { scope: scopes.join(" ") }),
      };
      return {
        material: { kind: "token", token: Secret.of(key.sign(claims, type)) },
        expiresAtMs: startedAtMs + ttlSeconds * 1000,
        release: null,
      };
    } finally {
      secret.zero();
    }
  }

  close(): void {
    this.#source.close();
  }
}
