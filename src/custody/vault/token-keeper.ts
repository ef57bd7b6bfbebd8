import type { Clock } from "../../core/clock.ts";
import type { VaultServer } from "../../core/vault.ts";
import { SourceError } from "../sources/source.ts";
import { authOf } from "./answer.ts";
import { VaultFault } from "./fault.ts";
import type { VaultHttp } from "./http.ts";
import type { VaultLoginWay } from "./login.ts";
import { backoffMs, Renewal } from "./renewal.ts";
import type { Timers } from "./timers.ts";
import { refusalOf, VaultToken } from "./token.ts";

export interface TokenKeeperOptions {
  readonly server: VaultServer;
  readonly http: VaultHttp;
  readonly way: VaultLoginWay;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly warn: (text: string) => void;
}

/** After a login that failed, `ms`. Refused ones count towards a lock-out at the server, so they are rarer. */
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 10_000;
const REFUSED_FIRST_MS = 2_000;
const REFUSED_MOST_MS = 60_000;
/** A token that may not even look itself up is taken for dead at most this often, `ms`. */
const DISTRUST_MS = 5_000;

/**
 * Keeps one live token: logs in once for all who wait, renews as `Renewal` says, logs in again when it cannot be renewed further,
 * and leaves a server that refuses alone for a while. While there is no token nobody gets anything.
 */
export class TokenKeeper {
  readonly #options: TokenKeeperOptions;
  readonly #isOurs: boolean;
  readonly #mayRenew: boolean;
  #token: VaultToken | null = null;
  #loggedInAtMs = Number.NEGATIVE_INFINITY;
  #logging: Promise<VaultToken> | null = null;
  #looking: Promise<boolean> | null = null;
  #failures = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #fault: SourceError | null = null;
  #stopTimer: () => void = () => undefined;
  #isClosed = false;
  readonly #retired = new Set<VaultToken>();
  readonly #ending = new Set<Promise<void>>();

  constructor(options: TokenKeeperOptions) {
    this.#options = options;
    const { login } = options.server;
    this.#isOurs = login.by !== "token";
    this.#mayRenew = !(login.by === "token" && login.isSink);
  }

  /** Why there is no token, or why the next one cannot be had, or `null`. */
  get problem(): string | null {
    return this.#fault?.message ?? null;
  }

  /** The live token. @throws SourceError when there is none to be had */
  async token(): Promise<VaultToken> {
    const token = this.#token;
    if (token !== null && this.#now() < token.expiresAtMs) return token;
    if (this.#fault !== null && this.#logging === null && this.#now() < this.#notBeforeMs) throw this.#fault;
    return await this.#login();
  }

  /** Logs in ahead of the first lease. Never rejects: what is wrong is told by `problem` and tried again. */
  begin(): void {
    this.#login().catch(() => undefined);
  }

  /**
   * The server answered 403 to this token: is it dead, or may it only not do this?
   * @returns `true`: dead; the next `token()` is another one
   * @throws SourceError when the server cannot tell
   */
  async isDead(token: VaultToken): Promise<boolean> {
    if (this.#token !== token) return true;
    this.#looking ??= this.#lookAt(token).finally(() => {
      this.#looking = null;
    });
    return await this.#looking;
  }

  /** A lease that lived by it is over. */
  leaseOver(token: VaultToken): void {
    token.leases--;
    if (token.isRetired && token.leases === 0) this.#end(token);
  }

  /** Revokes every token that was made for this custody, and with them every lease. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopTimer();
    const held = [...this.#retired, ...(this.#token === null ? [] : [this.#token])];
    this.#token = null;
    for (const token of held) this.#end(token);
    await Promise.all(this.#ending);
  }

  #login(): Promise<VaultToken> {
    this.#logging ??= this.#logIn().finally(() => {
      this.#logging = null;
    });
    return this.#logging;
  }

  async #logIn(): Promise<VaultToken> {
    const { way, clock } = this.#options;
    try {
      if (this.#isClosed) throw new VaultFault("refused", `${this.#where} is not used any more: custody is closing it`);
      const loggedIn = await way.login();
      const token = new VaultToken(loggedIn, this.#isOurs);
      const refusal = refusalOf(loggedIn.auth, this.#where);
      if (refusal !== null || this.#isClosed) {
        this.#end(token);
        throw refusal ?? new VaultFault("refused", `${this.#where} is not used any more: custody has closed it`);
      }
      const before = this.#token;
      this.#token = token;
      this.#loggedInAtMs = clock.monotonicMs();
      this.#failures = 0;
      this.#fault = null;
      if (before !== null) this.#retire(before);
      this.#watch(token, new Renewal(this.#options.random));
      return token;
    } catch (thrown) {
      throw this.#failed(thrown);
    }
  }

  #failed(thrown: unknown): SourceError {
    const { clock, random, timers, warn } = this.#options;
    const fault =
      thrown instanceof SourceError
        ? thrown
        : new VaultFault(
            "failing",
            `${this.#where}: the login failed in custody itself (${nameOf(thrown)}): report it`,
          );
    if (this.#isClosed) return fault;
    this.#failures++;
    const isRefused = !(fault instanceof VaultFault) || !["unreachable", "sealed", "failing"].includes(fault.kind);
    const waitMs = isRefused
      ? backoffMs(this.#failures, REFUSED_FIRST_MS, REFUSED_MOST_MS, random)
      : backoffMs(this.#failures, RETRY_FIRST_MS, RETRY_MOST_MS, random);
    this.#notBeforeMs = clock.monotonicMs() + waitMs;
    if (this.#fault?.message !== fault.message) warn(fault.message);
    this.#fault = fault;
    this.#stopTimer();
    this.#stopTimer = timers.after(waitMs, () => this.begin());
    return fault;
  }

  /** Waits for the time to renew, and renews. */
  #watch(token: VaultToken, renewal: Renewal): void {
    const { timers } = this.#options;
    const waitMs = renewal.next(token.expiresAtMs - this.#now());
    this.#stopTimer();
    if (waitMs === null) return this.begin();
    this.#stopTimer = timers.after(waitMs, () => void this.#renew(token, renewal, 0));
  }

  async #renew(token: VaultToken, renewal: Renewal, failures: number): Promise<void> {
    if (this.#token !== token) return;
    // An agent's token is read anew; one that cannot be renewed is replaced when its grace begins.
    if (!this.#mayRenew) return this.begin();
    if (!token.isRenewable) return this.#watch(token, renewal);
    try {
      await this.#renewOnce(token);
      if (this.#token !== token) return;
      this.#fault = null;
      this.#watch(token, renewal);
    } catch (thrown) {
      this.#renewLater(token, renewal, failures + 1, thrown);
    }
  }

  async #renewOnce(token: VaultToken): Promise<void> {
    const { http } = this.#options;
    const path = "auth/token/renew-self";
    const { status, json, sentAtMs } = await http.call({ method: "POST", path, token: token.secret, body: {} });
    if (status === 200) {
      const auth = authOf(json, this.#where);
      auth.token.zero();
      token.isRenewable = auth.isRenewable;
      // What the answer says is the truth, also where it is shorter than before.
      token.expiresAtMs = sentAtMs + auth.ttlSeconds * 1000;
      if (auth.ttlSeconds > 0) return;
    }
    if (status === 403) this.#drop(token);
    else token.isRenewable = false;
  }

  #renewLater(token: VaultToken, renewal: Renewal, failures: number, thrown: unknown): void {
    if (this.#token !== token) return;
    const { random, timers } = this.#options;
    const leftMs = token.expiresAtMs - this.#now();
    const waitMs = backoffMs(failures, 1_000, Math.max(leftMs / 3, 1_000), random);
    this.#fault = thrown instanceof SourceError ? thrown : null;
    this.#stopTimer();
    // Inside the grace a login is the better try.
    if (leftMs - waitMs <= renewal.graceMs) return this.begin();
    this.#stopTimer = timers.after(waitMs, () => void this.#renew(token, renewal, failures));
  }

  async #lookAt(token: VaultToken): Promise<boolean> {
    const { http } = this.#options;
    const path = "auth/token/lookup-self";
    const { status } = await http.call({ method: "GET", path, token: token.secret });
    if (status === 200 || this.#now() - this.#loggedInAtMs < DISTRUST_MS) return false;
    this.#drop(token);
    return true;
  }

  /** It is of no use any more; what lived by it is over at the server. */
  #drop(token: VaultToken): void {
    if (this.#token !== token) return;
    this.#token = null;
    this.#retire(token);
    this.begin();
  }

  #retire(token: VaultToken): void {
    token.isRetired = true;
    this.#retired.add(token);
    if (token.leases === 0) this.#end(token);
  }

  #end(token: VaultToken): void {
    this.#retired.delete(token);
    const ending = this.#revoke(token).finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  /** Never rejects: a token that cannot be revoked ends at its time. */
  async #revoke(token: VaultToken): Promise<void> {
    const isWorthIt = token.isOurs && !token.isBatch && this.#now() < token.expiresAtMs;
    const path = "auth/token/revoke-self";
    try {
      if (isWorthIt) await this.#options.http.call({ method: "POST", path, token: token.secret, body: {} });
    } catch {
      // A fault of the server, which tells of itself elsewhere.
    } finally {
      token.secret.zero();
    }
  }

  get #where(): string {
    return this.#options.http.where;
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }
}

/** Never the text: it could quote what was sent. */
function nameOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.name : "unknown error";
}
