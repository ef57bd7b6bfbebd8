import { isDeepStrictEqual } from "node:util";
import type { CanonicalReference } from "../core/canonical-reference.ts";
import type { CredentialEntry, SourceSpec } from "../core/credential.ts";
import { furtherSources } from "../core/mint.ts";
import { referenceOfSource } from "../core/source-reference.ts";
import type { Minter } from "./minters/minter.ts";
import { openMinter } from "./minters/open.ts";
import type { SourceContext } from "./sources/source.ts";

export interface CatalogueItem {
  readonly entry: CredentialEntry;
  readonly minter: Minter;
  /** Canonical reference of its root. */
  readonly reference: string;
  /** Where all that it is minted from is kept, its root first: what the mounts of a tenant are held against. */
  readonly keptAt: readonly CanonicalReference[];
}

/** All that a lease of it is made from, its root first. */
function sourcesOf({ source, mint }: CredentialEntry): readonly SourceSpec[] {
  return mint === null ? [source] : [source, ...furtherSources(mint)];
}

/**
 * The files that credentials are read from, for the watch on them.
 * @param storeFile path of the custody's encrypted store, if it has one
 */
export function filesOf(entries: readonly CredentialEntry[], storeFile: string | null = null): string[] {
  const sources = entries.flatMap(sourcesOf);
  const files = sources.flatMap((source) => (source.from === "file" ? [source.path] : []));
  const readsStore = storeFile !== null && sources.some((source) => source.from === "store");
  return readsStore ? [...files, storeFile] : files;
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
      items.set(
        entry.name,
        stays ? known : { entry, ...openMinter(entry, context), keptAt: sourcesOf(entry).map(referenceOfSource) },
      );
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
