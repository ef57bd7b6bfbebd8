import type { CredentialEntry } from "../core/credential.ts";
import { furtherSources } from "../core/mint.ts";
import type { StoreSpec } from "../core/secret-store.ts";
import type { Path } from "./problem.ts";
import { quoted } from "./problem.ts";
import type { Report } from "./report.ts";

/** A file that a custody writes, where its config says so. */
export interface WrittenFile {
  readonly path: Path;
  readonly file: string;
}

interface NamedFile {
  readonly file: string;
  readonly what: string;
}

/** What a catalogue writes, beside its store: the roots that are rotated. */
export function rotatedFiles(
  credentials: readonly CredentialEntry[],
): readonly (NamedFile & { readonly at: number })[] {
  return credentials.flatMap(({ name, mint }, at) =>
    mint?.as === "oauth2_refresh_token" && mint.state !== null
      ? { file: mint.state, what: `the mint of credential ${quoted(name)}`, at }
      : [],
  );
}

/** The files of a store. */
export function storeFiles(store: StoreSpec | null): readonly NamedFile[] {
  if (store === null) return [];
  const { file, key } = store;
  const own = { file, what: "the store" };
  return key.from === "file" ? [own, { file: key.path, what: "the key of the store" }] : [own];
}

/** The files that roots, and what is read beside them, are in. */
export function sourceFiles(credentials: readonly CredentialEntry[]): readonly NamedFile[] {
  return credentials.flatMap(({ name, source, mint }) =>
    [source, ...(mint === null ? [] : furtherSources(mint))].flatMap((one) =>
      one.from === "file" ? { file: one.path, what: `credential ${quoted(name)}` } : [],
    ),
  );
}

/**
 * One file is one thing: what is written over is lost, and what is read then looks damaged, with the advice to remove it.
 * @param others what the same process reads or writes
 */
export function mustBeItsOwn(written: readonly WrittenFile[], others: readonly NamedFile[], report: Report): void {
  for (const { path, file } of written) {
    const other = others.find((one) => one.file === file);
    if (other !== undefined) report.add(path, `${other.what} has this file: write a different one`);
  }
}
