import type { CredentialEntry } from "../core/credential.ts";
import type { CredentialRef } from "../core/destination.ts";
import type { CustodyBinding } from "./config.ts";
import { nearest } from "./nearest.ts";
import { type Path, quoted } from "./problem.ts";
import { NO_KEY } from "./primitives.ts";
import type { Report } from "./report.ts";
import { isIssuedKey } from "./secret-look.ts";

/** A reference that was understood; `entry` is `null` when a remote custody knows it alone. */
export interface FoundCredential {
  readonly ref: CredentialRef;
  readonly entry: CredentialEntry | null;
}

/** Looks up what `credential:` of a destination names. */
export class CredentialBook {
  readonly #catalogues = new Map<string, ReadonlyMap<string, CredentialEntry> | null>();
  readonly #unreadable: ReadonlySet<string>;

  /**
   * @param bindings every custody that could be read
   * @param unreadable custodies, and `custody/name` of credentials, that have faults of their own: no second fault is told of them
   */
  constructor(bindings: readonly CustodyBinding[], unreadable: ReadonlySet<string>) {
    for (const binding of bindings) {
      const entries =
        binding.kind === "embedded" ? binding.credentials.map((entry) => [entry.name, entry] as const) : null;
      this.#catalogues.set(binding.name, entries === null ? null : new Map(entries));
    }
    this.#unreadable = unreadable;
  }

  /** @param text `custody/name`, or `name` of the custody `main` or of the only one */
  find(text: string, path: Path, report: Report): FoundCredential | null {
    const slash = text.indexOf("/");
    const custody = slash < 0 ? this.#usual() : text.slice(0, slash);
    const name = text.slice(slash + 1);
    if (custody === null) {
      if (this.#unreadable.size === 0) report.add(path, `${quoted(text)}: ${this.#whichCustody(name)}`);
      return null;
    }
    if (this.#unreadable.has(custody) || this.#unreadable.has(`${custody}/${name}`)) return null;
    const entries = this.#catalogues.get(custody);
    if (entries === undefined) {
      report.add(path, `${quoted(text)}: ${this.#whichCustody(name, custody)}`);
      return null;
    }
    const ref = Object.freeze({ custody, name });
    if (entries === null) {
      // A remote custody is asked by this name, and both sides write it down.
      if (isIssuedKey(name)) report.add(path, `${quoted(text)}: ${NO_KEY}`);
      return { ref, entry: null };
    }
    const entry = entries.get(name);
    if (entry !== undefined) return { ref, entry };
    const near = nearest(name, entries.keys());
    const advice =
      near === null ? `add it to custody.${custody}.embedded.credentials` : `write ${quoted(`${custody}/${near}`)}`;
    report.add(path, `${quoted(text)}: custody ${quoted(custody)} holds no such credential: ${advice}`);
    return null;
  }

  #usual(): string | null {
    if (this.#catalogues.has("main") || this.#unreadable.has("main")) return "main";
    const [only] = this.#catalogues.keys();
    return this.#catalogues.size === 1 && this.#unreadable.size === 0 && only !== undefined ? only : null;
  }

  #whichCustody(name: string, wrong?: string): string {
    const known = [...this.#catalogues.keys()];
    if (known.length === 0) return "no custody is named: write one under `custody:`";
    const near = wrong === undefined ? null : nearest(wrong, known);
    if (near !== null) return `unknown custody ${quoted(wrong)}: write ${quoted(`${near}/${name}`)}`;
    const choices = known.slice(0, 5).map((custody) => quoted(`${custody}/${name}`));
    const why = wrong === undefined ? "several custodies" : `unknown custody ${quoted(wrong)}`;
    return `${why}: write ${choices.join(" or ")}`;
  }
}
