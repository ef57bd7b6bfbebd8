import { isDeepStrictEqual } from "node:util";
import type { CredentialEntry } from "../core/credential.ts";
import { furtherSources } from "../core/mint.ts";
import type { Minter } from "./minters/minter.ts";
import { openMinter } from "./minters/open.ts";
import type { SourceContext } from "./sources/source.ts";

export interface CatalogueItem {
  readonly entry: CredentialEntry;
  readonly minter: Minter;
  /** Canonical reference of its root. */
  readonly reference: string;
}

/** The files that credentials are read from, for the watch on them. */
export function filesOf(entries: readonly CredentialEntry[]): string[] {
  const sources = entries.flatMap(({ source, mint }) => [source, ...(mint === null ? [] : furtherSources(mint))]);
  return sources.flatMap((source) => (source.from === "file" ? [source.path] : []));
}

/** The credentials that one custody may issue, by name. */
export class Catalogue {
  readonly #items: ReadonlyMap<string, CatalogueItem>;

  private constructor(items: ReadonlyMap<string, CatalogueItem>) {
    this.#items = items;
  }

  /**
   * Opens the source of every entry; nothing is read yet.
   * @throws TypeError when two entries share a name, which a checked config cannot bring about
   */
  static open(entries: readonly CredentialEntry[], context: SourceContext): Catalogue {
    return new Catalogue(new Map()).succeededBy(entries, context);
  }

  /**
   * The catalogue that follows this one. An entry that says the same as before keeps its item, and with it what its source
   * holds; `closeExcept` ends the others once it is in force.
   * @throws TypeError as `open`
   */
  succeededBy(entries: readonly CredentialEntry[], context: SourceContext): Catalogue {
    const items = new Map<string, CatalogueItem>();
    for (const entry of entries) {
      if (items.has(entry.name)) throw new TypeError(`credential "${entry.name}" is named twice`);
      const known = this.#items.get(entry.name);
      const stays = known !== undefined && isDeepStrictEqual(known.entry, entry);
      items.set(entry.name, stays ? known : { entry, ...openMinter(entry, context) });
    }
    return new Catalogue(items);
  }

  find(name: string): CatalogueItem | undefined {
    return this.#items.get(name);
  }

  /** Longest time that one mint may take, `ms`. */
  get longestMintMs(): number {
    return Math.max(0, ...[...this.#items.values()].map(({ minter }) => minter.timeoutMs));
  }

  /** Zeroes what sources hold and ends what they run, but for those that `next` goes on with. */
  closeExcept(next: Catalogue): void {
    for (const [name, item] of this.#items) if (next.find(name) !== item) item.minter.close();
  }

  /** Zeroes what sources hold and ends what they run. */
  close(): void {
    for (const { minter } of this.#items.values()) minter.close();
  }
}
