import type { LeaseRequest } from "../../core/custody.ts";
import type { JwtBearerMint, TokenExchangeMint } from "../../core/mint.ts";
import type { Secret } from "../../core/secret.ts";
import type { FormField, IssuerAnswer } from "../outbound.ts";
import type { CredentialSource } from "../sources/source.ts";
import { jwtClaims } from "./jwt-claims.ts";
import { MintFailure } from "./mint-failure.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minted, Minter } from "./minter.ts";
import { tokenAnswer } from "./oauth2-token-answer.ts";
import type { TokenRequests } from "./oauth2-token-request.ts";
import { JwtKey } from "./sign-jwt.ts";

const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt";

/** Grants that show something to the issuer: a token of somebody (RFC 8693) or an assertion that the root signs (RFC 7523). */
export class AssertionMinter implements Minter {
  readonly timeoutMs: number;
  readonly #mint: TokenExchangeMint | JwtBearerMint;
  readonly #requests: TokenRequests;
  readonly #source: CredentialSource;
  readonly #actor: CredentialSource | null;
  readonly #tools: MintTools;

  /** @param actor where the actor's token is read, or `null` */
  constructor(
    mint: TokenExchangeMint | JwtBearerMint,
    requests: TokenRequests,
    source: CredentialSource,
    actor: CredentialSource | null,
    tools: MintTools,
  ) {
    this.#mint = mint;
    this.#requests = requests;
    this.#source = source;
    this.#actor = actor;
    this.#tools = tools;
    this.timeoutMs = source.timeoutMs + (actor?.timeoutMs ?? 0) + requests.timeoutMs;
  }

  async mint(ask: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted> {
    const { secret } = await this.#source.read(fresh);
    try {
      const grant = [...this.#grant(secret, ask), ...(await this.#actorFields(fresh))];
      const startedAtMs = this.#tools.clock.monotonicMs();
      const answer = await this.#requests.send(grant, ask.narrow, null, fresh, signal);
      const { accessToken, lifeMs, refreshToken } = this.#tokenOf(answer);
      // What would outlive the lease is not kept.
      refreshToken?.zero();
      return { material: { kind: "token", token: accessToken }, expiresAtMs: startedAtMs + lifeMs, release: null };
    } finally {
      secret.zero();
    }
  }

  close(): void {
    this.#requests.close();
  }

  #grant(root: Secret, ask: LeaseRequest): readonly FormField[] {
    const mint = this.#mint;
    if (mint.as === "oauth2_jwt_bearer")
      return [
        ["grant_type", BEARER],
        ["assertion", this.#signed(root, mint.template, ask)],
      ];
    const { subject } = mint;
    return [
      ["grant_type", EXCHANGE],
      ["subject_token", subject.from === "root" ? root.reveal() : this.#signed(root, subject.template, ask)],
      ["subject_token_type", subject.from === "root" ? subject.tokenType : JWT_TYPE],
    ];
  }

  #signed(key: Secret, template: JwtBearerMint["template"], { session }: LeaseRequest): string {
    const { algorithm, keyId, audiences } = template;
    const signer = JwtKey.of(key, algorithm, keyId, `${this.#tools.where}: the source`);
    return signer.sign(jwtClaims(template, audiences, session, this.#tools));
  }

  async #actorFields(fresh: boolean): Promise<readonly FormField[]> {
    if (this.#actor === null || this.#mint.as !== "oauth2_token_exchange" || this.#mint.actor === null) return [];
    const { secret } = await this.#actor.read(fresh);
    const token = secret.reveal();
    secret.zero();
    return [
      ["actor_token", token],
      ["actor_token_type", this.#mint.actor.tokenType],
    ];
  }

  #tokenOf(answer: IssuerAnswer) {
    const isExchange = this.#mint.as === "oauth2_token_exchange";
    // RFC 8693 §2.2.1: what is no access token is of type N_A.
    const token = tokenAnswer(answer, this.#requests.where, isExchange ? ["bearer", "n_a"] : ["bearer"]);
    if (isExchange && typeof answer.json?.["issued_token_type"] !== "string") {
      token.accessToken.zero();
      throw new MintFailure(`${this.#requests.where} answers without an issued_token_type: check its URL`, {
        isWide: true,
      });
    }
    return token;
  }
}
