import type { Clock } from "../../core/clock.ts";
import type { VaultServer } from "../../core/vault.ts";
import type { CredentialSource } from "../sources/source.ts";
import { VaultFault } from "./fault.ts";
import { type VaultAnswer, VaultHttp, type VaultRequest } from "./http.ts";
import { VaultLoginWay } from "./login.ts";
import { backoffMs } from "./renewal.ts";
import type { Timers } from "./timers.ts";
import type { VaultToken } from "./token.ts";
import { TokenKeeper } from "./token-keeper.ts";
import { VaultLeases } from "./leases.ts";

export interface VaultClientOptions {
  readonly server: VaultServer;
  /** What proves the login. */
  readonly proof: CredentialSource;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly warn: (text: string) => void;
}

/** An answer and the token that it was given to. */
export interface TokenAnswer extends VaultAnswer {
  readonly token: VaultToken;
}

/** A repeatable read is tried this often in all where the server, or what stands behind it, failed. */
const TRIES = 3;
const RETRY_FIRST_MS = 100;
const RETRY_MOST_MS = 400;
/** How often a server is asked how it is, `ms`. */
const HEALTH_MS = 15_000;

/** One Vault as custody uses it: a token that is kept alive, reads that say what is wrong by name, leases, and how the server is. */
export class VaultClient {
  readonly leases: VaultLeases;
  readonly http: VaultHttp;
  readonly clock: Clock;
  readonly #options: VaultClientOptions;
  readonly #way: VaultLoginWay;
  readonly #keeper: TokenKeeper;
  /** What is wrong with the server as a whole, until it answers again. */
  #fault: VaultFault | null = null;
  #stopHealth: () => void = () => undefined;
  #closing: Promise<void> | null = null;

  constructor(options: VaultClientOptions) {
    const { server, proof, clock, timers, random, warn } = options;
    this.#options = options;
    this.clock = clock;
    this.http = new VaultHttp(server, clock);
    this.#way = new VaultLoginWay(server, this.http, proof);
    this.#keeper = new TokenKeeper({ server, http: this.http, way: this.#way, clock, timers, random, warn });
    this.leases = new VaultLeases({ client: this, keeper: this.#keeper, clock, timers, random, warn });
  }

  /** Logs in ahead of the first lease, and looks at the server from time to time. */
  begin(): void {
    this.#keeper.begin();
    this.#lookLater();
  }

  /** Why it gives nothing, or less than it should, or `null`. For operators; never secret. */
  get problem(): string | null {
    return this.#fault?.message ?? this.#keeper.problem;
  }

  /**
   * Asks with custody's token; once more with another one when the token turns out to be dead.
   * @param isRepeatable a read that changes nothing: tried again where the server failed
   * @returns an answer of status 200, 202, 204, 400 or 404
   * @throws VaultFault `forbidden` for a live token that may not do this, and every other fault
   */
  async ask(
    request: Omit<VaultRequest, "token">,
    isRepeatable: boolean,
    signal?: AbortSignal,
    onSent?: (token: VaultToken) => () => void,
  ): Promise<TokenAnswer> {
    const first = await this.#askOnce(request, isRepeatable, signal, onSent);
    if (first.status !== 403) return first;
    if (await this.#noting(() => this.#keeper.isDead(first.token))) {
      const second = await this.#askOnce(request, isRepeatable, signal, onSent);
      if (second.status !== 403) return second;
    }
    const place = request.path.split("?", 1)[0];
    throw new VaultFault(
      "forbidden",
      `${this.http.where}: permission denied on ${place}: give a policy of custody's role ${request.method === "GET" ? "read" : "update"} on that path`,
    );
  }

  /** Revokes custody's tokens, and with them every lease, and ends every connection. Never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** As `close`, once the last lease is over: the catalogue has no more use for it, edges still do. */
  async leave(): Promise<void> {
    await this.leases.allOver();
    await this.close();
  }

  async #close(): Promise<void> {
    this.#stopHealth();
    await this.leases.close();
    await this.#keeper.close();
    this.#way.close();
    await this.http.close();
  }

  async #askOnce(
    request: Omit<VaultRequest, "token">,
    isRepeatable: boolean,
    signal: AbortSignal | undefined,
    onSent: ((token: VaultToken) => () => void) | undefined,
  ): Promise<TokenAnswer> {
    for (let tries = 1; ; tries++) {
      const token = await this.#keeper.token();
      const undo = onSent?.(token);
      try {
        const answer = await this.#noting(() => this.http.call({ ...request, token: token.secret }, signal));
        if (answer.status !== 200) undo?.();
        return { ...answer, token };
      } catch (thrown) {
        undo?.();
        const isPassing = thrown instanceof VaultFault && (thrown.kind === "failing" || thrown.kind === "wrong_node");
        if (!isRepeatable || !isPassing || tries === TRIES || signal?.aborted === true) throw thrown;
      }
      await this.#pause(backoffMs(tries, RETRY_FIRST_MS, RETRY_MOST_MS, this.#options.random));
    }
  }

  /** Remembers what the server as a whole is like. */
  async #noting<T>(call: () => Promise<T>): Promise<T> {
    try {
      const value = await call();
      this.#fault = null;
      return value;
    } catch (thrown) {
      if (thrown instanceof VaultFault && thrown.isOfServer && this.#closing === null) {
        if (this.#fault?.message !== thrown.message) this.#options.warn(thrown.message);
        this.#fault = thrown;
      }
      throw thrown;
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.timers.after(ms, resolve));
  }

  #lookLater(): void {
    if (this.#closing !== null) return;
    this.#stopHealth = this.#options.timers.after(HEALTH_MS, () => {
      this.#noting(() => this.http.health())
        // Noted: it is told by `problem`.
        .catch(() => undefined)
        .finally(() => this.#lookLater());
    });
  }
}
