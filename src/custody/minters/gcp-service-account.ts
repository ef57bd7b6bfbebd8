import type { LeaseRequest } from "../../core/custody.ts";
import type { GcpImpersonation, GcpServiceAccountMint } from "../../core/mint-cloud.ts";
import type { Secret } from "../../core/secret.ts";
import { Outbound } from "../outbound.ts";
import type { CredentialSource } from "../sources/source.ts";
import { type GcpAccount, gcpAccount } from "./gcp-account.ts";
import { impersonatedToken } from "./gcp-answer.ts";
import { endOfWallTime } from "./life.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minted, Minter } from "./minter.ts";
import { narrowedList } from "./narrowed-list.ts";
import { tokenAnswer } from "./oauth2-token-answer.ts";

const GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/** The least that `generateAccessToken` asks for. */
const IAM_SCOPE = "https://www.googleapis.com/auth/iam";
/** Life of an assertion: it is sent at once, `s`. */
const ASSERTION_S = 300;

/**
 * An access token of a Google service account whose key is the root, or, with `impersonate`, of another account that it may act
 * for, whose life is then chosen. Scopes are narrowed.
 */
export class GcpServiceAccountMinter implements Minter {
  readonly timeoutMs: number;
  readonly #mint: GcpServiceAccountMint;
  readonly #source: CredentialSource;
  readonly #tools: MintTools;
  readonly #tokens: Outbound;
  readonly #iam: { readonly outbound: Outbound; readonly to: GcpImpersonation } | null;

  constructor(mint: GcpServiceAccountMint, source: CredentialSource, tools: MintTools) {
    const { endpoint, impersonate } = mint;
    this.#mint = mint;
    this.#source = source;
    this.#tools = tools;
    this.#tokens = new Outbound(endpoint, `${tools.where}: its token endpoint`);
    this.#iam =
      impersonate === null
        ? null
        : { outbound: new Outbound(impersonate.endpoint, `${tools.where}: IAM credentials`), to: impersonate };
    this.timeoutMs = source.timeoutMs + endpoint.timeoutMs + (impersonate?.endpoint.timeoutMs ?? 0);
  }

  async mint({ narrow }: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted> {
    const scopes = narrowedList("scopes", this.#mint.scopes, narrow);
    if (this.#iam !== null) return await this.#impersonated(this.#iam.outbound, this.#iam.to, scopes, fresh, signal);
    const { token, expiresAtMs } = await this.#ownToken(scopes, fresh, signal);
    return { material: { kind: "token", token }, expiresAtMs, release: null };
  }

  close(): void {
    this.#tokens.close();
    this.#iam?.outbound.close();
  }

  async #ownToken(
    scopes: readonly string[],
    fresh: boolean,
    signal: AbortSignal,
  ): Promise<{ readonly token: Secret; readonly expiresAtMs: number }> {
    const { clock, where } = this.#tools;
    const { email, key } = await this.#account(fresh);
    const nowS = Math.floor(clock.wallMs() / 1000);
    const assertion = key.sign({
      iss: email,
      scope: scopes.join(" "),
      aud: this.#mint.endpoint.url,
      iat: nowS,
      exp: nowS + ASSERTION_S,
    });
    const startedAtMs = clock.monotonicMs();
    const fields = [["grant_type", GRANT] as const, ["assertion", assertion] as const];
    const answer = await this.#tokens.postForm(fields, {}, signal);
    const wanted = { types: ["bearer"], scopes: null };
    const { accessToken, lifeMs } = tokenAnswer(answer, `${where}: its token endpoint`, wanted);
    return { token: accessToken, expiresAtMs: startedAtMs + lifeMs };
  }

  async #impersonated(
    iam: Outbound,
    { account, delegates, lifetimeSeconds }: GcpImpersonation,
    scopes: readonly string[],
    fresh: boolean,
    signal: AbortSignal,
  ): Promise<Minted> {
    const { clock, where } = this.#tools;
    const { token: own } = await this.#ownToken([IAM_SCOPE], fresh, signal);
    try {
      const startedAtMs = clock.monotonicMs();
      const answer = await iam.postJson(
        {
          scope: scopes,
          lifetime: `${lifetimeSeconds}s`,
          delegates: delegates.map((one) => `projects/-/serviceAccounts/${one}`),
        },
        {
          path: `/v1/projects/-/serviceAccounts/${encodeURIComponent(account)}:generateAccessToken`,
          headers: { authorization: `Bearer ${own.reveal()}` },
        },
        signal,
      );
      const { token, expiresWallMs } = impersonatedToken(answer, `${where}: IAM credentials`);
      return {
        material: { kind: "token", token },
        expiresAtMs: endOfWallTime(expiresWallMs, answer, clock, startedAtMs, lifetimeSeconds * 1000),
        release: null,
      };
    } finally {
      own.zero();
    }
  }

  async #account(fresh: boolean): Promise<GcpAccount> {
    const { secret } = await this.#source.read(fresh);
    try {
      return gcpAccount(secret, `${this.#tools.where}: the source`);
    } finally {
      secret.zero();
    }
  }
}
