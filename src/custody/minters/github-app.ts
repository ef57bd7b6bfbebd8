import type { LeaseRequest } from "../../core/custody.ts";
import type { GithubAppMint } from "../../core/mint-cloud.ts";
import type { Secret } from "../../core/secret.ts";
import { Outbound } from "../outbound.ts";
import type { CredentialSource } from "../sources/source.ts";
import { type InstallationAsk, installationToken } from "./github-answer.ts";
import { githubPermissions } from "./github-permissions.ts";
import { endOfWallTime } from "./life.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minted, Minter } from "./minter.ts";
import { narrowedList } from "./narrowed-list.ts";
import { JwtKey } from "./sign-jwt.ts";

/** GitHub takes no JWT of an app that is good for longer than ten minutes, `s`. */
const JWT_LIFE_S = 600;
/** Its clock may be behind ours, `s`. */
const BACK_DATED_S = 60;
/** Installation tokens live an hour, `ms`. */
const TOKEN_LIFE_MS = 3_600_000;
/** The answer describes every repository at length: about 8 KB each, of at most a hundred. */
const MOST_ANSWER_BYTES = 4 * 1024 * 1024;

/**
 * An installation token of a GitHub App, narrowed to repositories and permissions. The root is the app's private key. What is
 * no longer used is revoked with itself: it lives for an hour, four times as long as any lease.
 */
export class GithubAppMinter implements Minter {
  readonly timeoutMs: number;
  readonly #mint: GithubAppMint;
  readonly #source: CredentialSource;
  readonly #tools: MintTools;
  readonly #outbound: Outbound;
  readonly #base: string;
  readonly #releasing = new Set<Promise<void>>();

  constructor(mint: GithubAppMint, source: CredentialSource, tools: MintTools) {
    this.#mint = mint;
    this.#source = source;
    this.#tools = tools;
    this.#outbound = new Outbound(mint.endpoint, this.#where, null, MOST_ANSWER_BYTES);
    this.#base = new URL(mint.endpoint.url).pathname.replace(/\/$/, "");
    this.timeoutMs = source.timeoutMs + mint.endpoint.timeoutMs;
  }

  async mint({ narrow }: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted> {
    const { repositories: all, permissions, installation } = this.#mint;
    const repositories = all === null ? null : narrowedList("repositories", all, narrow);
    const ask: InstallationAsk = {
      repositories,
      permissions: permissions === null ? null : githubPermissions(narrowedList("permissions", permissions, narrow)),
    };
    const jwt = await this.#jwt(fresh);
    const { clock } = this.#tools;
    const startedAtMs = clock.monotonicMs();
    const answer = await this.#outbound.postJson(
      {
        ...(ask.repositories === null ? {} : { repositories: ask.repositories }),
        ...(ask.permissions === null ? {} : { permissions: Object.fromEntries(ask.permissions) }),
      },
      {
        path: `${this.#base}/app/installations/${installation}/access_tokens`,
        headers: { ...HEADERS, authorization: `Bearer ${jwt}` },
      },
      signal,
    );
    const { token, copy, expiresWallMs, fault } = installationToken(answer, ask, this.#where);
    const release = (): Promise<void> => this.#release(copy);
    if (fault !== null) {
      token.zero();
      // It owns its outcome and never rejects.
      void release();
      throw fault;
    }
    return {
      material: { kind: "token", token },
      expiresAtMs: endOfWallTime(expiresWallMs, answer, clock, startedAtMs, TOKEN_LIFE_MS),
      release,
    };
  }

  /** What is being revoked is let come to its end, which the timeout bounds. */
  close(): void {
    void Promise.allSettled(this.#releasing).then(() => this.#outbound.close());
  }

  get #where(): string {
    return `${this.#tools.where}: GitHub`;
  }

  async #jwt(fresh: boolean): Promise<string> {
    const { clock, where } = this.#tools;
    const { secret } = await this.#source.read(fresh);
    try {
      const issuedAtS = Math.floor(clock.wallMs() / 1000) - BACK_DATED_S;
      const claims = { iss: this.#mint.clientId, iat: issuedAtS, exp: issuedAtS + JWT_LIFE_S };
      return JwtKey.of(secret, "RS256", null, `${where}: the source`).sign(claims);
    } finally {
      secret.zero();
    }
  }

  #release(token: Secret): Promise<void> {
    const work = this.#revoke(token).finally(() => {
      token.zero();
      this.#releasing.delete(work);
    });
    this.#releasing.add(work);
    return work;
  }

  async #revoke(token: Secret): Promise<void> {
    if (token.isZeroed) return;
    const headers = { ...HEADERS, authorization: `Bearer ${token.reveal()}` };
    try {
      const path = `${this.#base}/installation/token`;
      await this.#outbound.call({ method: "DELETE", path, headers }, new AbortController().signal);
    } catch {
      // Named: the token then ends by itself within its hour, and nobody can mend it sooner.
    }
  }
}

const HEADERS = {
  accept: "application/vnd.github+json",
  "x-github-api-version": "2022-11-28",
  // Without it GitHub answers 403.
  "user-agent": "postern",
};
