import type { LeaseRequest } from "../../core/custody.ts";
import type { Secret } from "../../core/secret.ts";
import type { IssuerAnswer } from "../outbound.ts";
import type { RotatingRoot } from "../rotating-root.ts";
import { SourceError } from "../sources/source.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minted, Minter } from "./minter.ts";
import { isInvalidGrant, tokenAnswer } from "./oauth2-token-answer.ts";
import type { TokenRequests } from "./oauth2-token-request.ts";

/**
 * An access token for a refresh token (RFC 6749 §6). The order is what it is about: one exchange at a time, and a successor
 * of the root is durable before the access token that came with it is given out. An exchange that has begun is never broken
 * off from here, because the issuer may have rotated the root by then: who waits may leave, the exchange goes on.
 */
export class RefreshTokenMinter implements Minter {
  readonly timeoutMs: number;
  readonly #requests: TokenRequests;
  readonly #root: RotatingRoot;
  readonly #tools: MintTools;
  /** Settles with the exchange that began last; never rejects. */
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(requests: TokenRequests, root: RotatingRoot, tools: MintTools) {
    this.#requests = requests;
    this.#root = root;
    this.#tools = tools;
    this.timeoutMs = root.timeoutMs + requests.timeoutMs;
  }

  async mint(ask: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted> {
    const before = this.#last;
    const own = Promise.withResolvers<void>();
    this.#last = own.promise;
    try {
      await before;
      if (this.#closed) throw new SourceError(`${this.#tools.where} is no longer served: ask again`);
      // Nobody waits, and nothing was sent: this is the last moment to leave.
      if (signal.aborted) throw new SourceError(`${this.#tools.where}: nobody waits for this lease any more`);
      return await this.#exchange(ask, fresh);
    } finally {
      own.resolve();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const end = async (): Promise<void> => {
      this.#requests.close();
      await this.#root.close();
    };
    // It never rejects; an exchange that runs is let finish, or its root would be lost.
    void this.#last.then(end);
  }

  async #exchange(ask: LeaseRequest, fresh: boolean): Promise<Minted> {
    const root = await this.#root.read();
    try {
      const answer = await this.#send(root, ask, fresh);
      if (!isInvalidGrant(answer.answer)) return await this.#take(answer, root, true);
      return await this.#takePrevious(answer, root, ask, fresh);
    } finally {
      root.zero();
    }
  }

  /**
   * The issuer knows nothing of the root that it gave last. Where that one has never worked, the issuer itself may have lost
   * it in a crash, and the one before is tried once: whatever that does to the family, it is lost otherwise.
   */
  async #takePrevious(refused: Sent, root: Secret, ask: LeaseRequest, fresh: boolean): Promise<Minted> {
    const previous = await this.#root.previous();
    if (previous === null) return await this.#take(refused, root, true);
    try {
      const answer = await this.#send(previous, ask, fresh);
      return await this.#take(isInvalidGrant(answer.answer) ? refused : answer, previous, false);
    } finally {
      previous.zero();
    }
  }

  async #send(root: Secret, { narrow }: LeaseRequest, fresh: boolean): Promise<Sent> {
    const startedAtMs = this.#tools.clock.monotonicMs();
    const grant = [
      ["grant_type", "refresh_token"],
      ["refresh_token", root.reveal()],
    ] as const;
    const answer = await this.#requests.send(grant, narrow, null, fresh, NEVER);
    return { answer, startedAtMs };
  }

  /**
   * @param isCurrent what was sent is the root as it is now
   * @throws SourceError when the successor is not durable: the access token is then not used
   */
  async #take({ answer, startedAtMs }: Sent, sent: Secret, isCurrent: boolean): Promise<Minted> {
    const { accessToken, lifeMs, refreshToken } = tokenAnswer(answer, this.#requests.where);
    try {
      const next = refreshToken ?? sent;
      if (!isCurrent || next.reveal() !== sent.reveal()) await this.#root.rotate(next);
      else await this.#root.worked();
    } catch (error) {
      accessToken.zero();
      throw error;
    } finally {
      refreshToken?.zero();
    }
    return { material: { kind: "token", token: accessToken }, expiresAtMs: startedAtMs + lifeMs, release: null };
  }
}

interface Sent {
  readonly answer: IssuerAnswer;
  /** Monotonic ms before it was sent. */
  readonly startedAtMs: number;
}

const NEVER = new AbortController().signal;
