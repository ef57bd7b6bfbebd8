import type { LeaseRequest } from "../../core/custody.ts";
import type { GcpSelfSignedMint } from "../../core/mint-cloud.ts";
import { Secret } from "../../core/secret.ts";
import type { CredentialSource } from "../sources/source.ts";
import { gcpAccount } from "./gcp-account.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minted, Minter } from "./minter.ts";
import { narrowedList } from "./narrowed-list.ts";

/** No longer than a lease, `s`. */
const LIFE_S = 900;

/**
 * A JWT that a service account signs for itself and that Google's APIs take as it is, for one API (`audience`) or for scopes.
 * Nobody is asked, so each lease gets one of its own.
 */
export class GcpSelfSignedMinter implements Minter {
  readonly timeoutMs: number;
  readonly #mint: GcpSelfSignedMint;
  readonly #source: CredentialSource;
  readonly #tools: MintTools;

  constructor(mint: GcpSelfSignedMint, source: CredentialSource, tools: MintTools) {
    this.#mint = mint;
    this.#source = source;
    this.#tools = tools;
    this.timeoutMs = source.timeoutMs;
  }

  async mint({ narrow }: LeaseRequest, fresh: boolean): Promise<Minted> {
    const { audience, scopes: all } = this.#mint;
    const { clock, where } = this.#tools;
    const scopes = narrowedList("scopes", all, narrow);
    const { secret } = await this.#source.read(fresh);
    try {
      const { email, key } = gcpAccount(secret, `${where}: the source`);
      const startedAtMs = clock.monotonicMs();
      const nowS = Math.floor(clock.wallMs() / 1000);
      const jwt = key.sign({
        iss: email,
        sub: email,
        ...(audience === null ? { scope: scopes.join(" ") } : { aud: audience }),
        iat: nowS,
        exp: nowS + LIFE_S,
      });
      return {
        material: { kind: "token", token: Secret.of(jwt) },
        expiresAtMs: startedAtMs + LIFE_S * 1000,
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
