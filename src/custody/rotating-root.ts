import type { Secret } from "../core/secret.ts";

/**
 * A root that its issuer replaces each time that it is used. There is one owner at a time: whoever used a root that was
 * replaced already would look like a thief, and lose every token of its family (RFC 9700 §4.14.2).
 */
export interface RotatingRoot {
  /** Longest time that one step may take, `ms`. */
  readonly timeoutMs: number;
  /**
   * The root as it is now, a copy for the caller. What could not be made durable before is made so first.
   * @throws SourceError when there is none, when another custody owns it, or when its place cannot be written
   */
  read(): Promise<Secret>;
  /**
   * Makes `next` the root. It resolves once `next` would survive a crash, and the one before it goes no earlier than that; it
   * is kept until `next` has worked once.
   * @throws SourceError when it could not be written; `next` is then held in memory, and the next `read` tries again
   */
  rotate(next: Secret): Promise<void>;
  /** The root as `read` gave it has worked, and goes on: the one before it goes. */
  worked(): Promise<void>;
  /** The root before, while the one now has never worked; a copy, or `null`. */
  previous(): Promise<Secret | null>;
  /** Gives up ownership, once what is being written is. Never rejects. */
  close(): Promise<void>;
}
