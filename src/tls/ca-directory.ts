import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CaError } from "./ca-error.ts";
import type { NewCa } from "./create-ca.ts";

/** Where `postern ca init` put things. */
export interface CaDirectory {
  /** Issuing CA and its root: `ca.certificate` of the config. */
  readonly certificate: string;
  /** `ca.key` of the config. */
  readonly key: string;
  /** What guests have to trust; the same file as `certificate` unless there is a root of its own. */
  readonly anchor: string;
}

/**
 * Writes a new CA: directory 0700, key 0600, and never over a file that is there.
 * @throws CaError `ca_file_exists` (nothing was changed), `ca_file_unreadable`
 */
export function writeCaDirectory(directory: string, ca: NewCa): CaDirectory {
  const paths = pathsIn(directory, ca.anchorPem !== ca.certificatesPem);
  refuseExisting(paths);
  const files = new Map([
    [paths.key, { text: ca.keyPem.reveal(), mode: 0o600 }],
    [paths.certificate, { text: ca.certificatesPem, mode: 0o644 }],
    [paths.anchor, { text: ca.anchorPem, mode: 0o644 }],
  ]);
  const written: string[] = [];
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const [path, { text, mode }] of files) {
      writeNew(path, text, mode, () => written.push(path));
    }
  } catch (cause) {
    // Half a CA is of no use and would be in the way of the next try. Only files made above are taken away.
    for (const path of written) unlinkSync(path);
    throw unwritable(cause, directory);
  }
  return paths;
}

/** Before any key is made. @throws CaError `ca_file_exists` */
export function refuseExistingCa(directory: string): void {
  refuseExisting(pathsIn(directory, true));
}

function pathsIn(directory: string, hasRoot: boolean): CaDirectory {
  const certificate = join(directory, "ca.crt");
  return { certificate, key: join(directory, "ca.key"), anchor: hasRoot ? join(directory, "root.crt") : certificate };
}

function refuseExisting(paths: CaDirectory): void {
  for (const path of [paths.key, paths.certificate, paths.anchor]) if (existsSync(path)) throw exists(path);
}

function exists(path: string): CaError {
  return new CaError("ca_file_exists", `${path} is there already`, "name another --out, or move the old CA away first");
}

/** O_EXCL: of two that start at once one wins, and a symbolic link laid in the way is not followed. */
function writeNew(path: string, text: string, mode: number, onOpened: () => void): void {
  const fd = openSync(path, "wx", mode);
  onOpened();
  try {
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function unwritable(cause: unknown, directory: string): unknown {
  const code = cause instanceof Error && "code" in cause ? cause.code : null;
  if (typeof code !== "string") return cause;
  if (code === "EEXIST") return exists(directory);
  const next = "name a directory that you may write to, on a disk with room";
  return new CaError("ca_file_unreadable", `${directory}: the CA cannot be written (${code})`, next, { cause });
}
