import type { LeaseRequest } from "../../core/custody.ts";
import type { CredentialSource } from "../sources/source.ts";
import type { Minted, Minter } from "./minter.ts";

/** A minter whose code is loaded with its first mint: an edge without such entries has no use for its HTTP client (docs/decisions/0013). */
export class LazyMinter implements Minter {
  readonly timeoutMs: number;
  readonly #sources: readonly CredentialSource[];
  readonly #load: () => Promise<Minter>;
  #loaded: Promise<Minter> | null = null;
  #closed = false;

  /**
   * @param sources that the minter reads: they are closed here, whether or not it was ever loaded
   * @param load makes the minter, once
   */
  constructor(timeoutMs: number, sources: readonly CredentialSource[], load: () => Promise<Minter>) {
    this.timeoutMs = timeoutMs;
    this.#sources = sources;
    this.#load = load;
  }

  async mint(ask: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted> {
    this.#loaded ??= this.#load();
    const minter = await this.#loaded;
    // Closed while it was being loaded: what it opened goes, and a closed minter refuses by itself.
    if (this.#closed) minter.close();
    return await minter.mint(ask, fresh, signal);
  }

  close(): void {
    this.#closed = true;
    this.#loaded?.then(
      (minter) => minter.close(),
      () => undefined,
    );
    for (const source of this.#sources) source.close();
  }
}
