import { isDeepStrictEqual } from "node:util";

/** The sections of a running config that a restart alone takes over. */
export class FixedSections {
  readonly #sections: ReadonlyMap<string, unknown>;

  /** @param reloadable sections that a reload takes over; they are not held, because an allow-list may be long */
  constructor(running: object, reloadable: ReadonlySet<string>) {
    this.#sections = new Map(Object.entries(running).filter(([key]) => !reloadable.has(key)));
  }

  /** Names of the sections in which another config differs. */
  changedIn(config: object): string[] {
    return [...this.#sections]
      .filter(([key, value]) => !isDeepStrictEqual(value, Reflect.get(config, key)))
      .map(([key]) => key);
  }
}
