import type { LeaseRequest } from "../../core/custody.ts";
import { zeroMaterial } from "../../core/material.ts";
import type { Secret } from "../../core/secret.ts";
import type { RotatingRoot } from "../rotating-root.ts";
import { SourceError } from "../sources/source.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minted, Minter } from "./minter.ts";
import { isInvalidGrant, refreshTokenIn } from "./oauth2-token-answer.ts";
import type { Sent, TokenRequests } from "./oauth2-token-request.ts";

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
    const grant = [
      ["grant_type", "refresh_token"],
      ["refresh_token", root.reveal()],
    ] as const;
    return await this.#requests.send(grant, narrow, null, fresh, NEVER);
  }

  /**
   * The successor first: it counts even where the access token beside it is of no use.
   * @param isCurrent what was sent is the root as it is now
   * @throws SourceError when the successor is not durable: the access token is then not used
   */
  async #take(sent: Sent, root: Secret, isCurrent: boolean): Promise<Minted> {
    const successor = refreshTokenIn(sent.answer);
    try {
      if (successor !== null && successor.reveal() !== root.reveal()) await this.#root.rotate(successor);
      const minted = this.#requests.tokenOf(sent);
      return await this.#settled(minted, root, isCurrent, successor === null || successor.reveal() === root.reveal());
    } finally {
      successor?.zero();
    }
  }

  /** A root that goes on has worked. */
  async #settled(minted: Minted, root: Secret, isCurrent: boolean, goesOn: boolean): Promise<Minted> {
    try {
      if (goesOn && isCurrent) await this.#root.worked();
      else if (goesOn) await this.#root.rotate(root);
      return minted;
    } catch (error) {
      zeroMaterial(minted.material);
      throw error;
    }
  }
}

const NEVER = new AbortController().signal;
