import type { CredentialEntry } from "../core/credential.ts";
import { openSource } from "./sources/open.ts";
import type { CredentialSource, SourceContext } from "./sources/source.ts";

export interface CatalogueItem {
  readonly entry: CredentialEntry;
  readonly source: CredentialSource;
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
    const items = new Map<string, CatalogueItem>();
    for (const entry of entries) {
      if (items.has(entry.name)) throw new TypeError(`credential "${entry.name}" is named twice`);
      items.set(entry.name, { entry, source: openSource(entry, context) });
    }
    return new Catalogue(items);
  }

  find(name: string): CatalogueItem | undefined {
    return this.#items.get(name);
  }

  /** Longest time that reading one root may take, `ms`. */
  get longestReadMs(): number {
    return Math.max(0, ...[...this.#items.values()].map(({ source }) => source.timeoutMs));
  }

  /** Zeroes what sources hold and ends what they run. */
  close(): void {
    for (const { source } of this.#items.values()) source.close();
  }
}
