import type { SourceSpec } from "./credential.ts";

/** Where the encrypted store of a custody is, as its config says it. */
export interface StoreSpec {
  /** Absolute path. */
  readonly file: string;
  /** Where its key is read; never in the store itself. */
  readonly key: Extract<SourceSpec, { readonly from: "env" | "file" | "exec" }>;
}

/** Name of an entry: up to eight plain names with slashes between them; the first of several is the mount. */
export const ENTRY_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?:\/[A-Za-z0-9][A-Za-z0-9._-]{0,63}){0,7}$/;

/** Said of a text that is no `ENTRY_NAME`. */
export const ENTRY_NAME_ADVICE =
  "write 1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first, or up to eight such names with slashes between them";
