import { constants, type BigIntStats } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { fileIdentity } from "../../core/file-identity.ts";
import { exposureOf, type FileReader } from "../../core/private-file.ts";
import { StoreError, systemWord } from "./store-error.ts";

export interface PrivateFile {
  readonly bytes: Buffer;
  readonly identity: string;
  readonly uid: number;
  readonly gid: number;
  /** Permission bits. */
  readonly mode: number;
}

export interface PrivateRead {
  /** Absolute. */
  readonly path: string;
  /** What the file is called in errors: `store`, `key of the store`. */
  readonly what: string;
  /** Who this process is, or `null` where the system has no users. */
  readonly reader: FileReader | null;
  readonly maxBytes: number;
  /** Whether a symbolic link may stand there: mounted secrets are made of them, but what is written would take the place of the link. */
  readonly mayBeLink: boolean;
  /** What to do when it is not there. */
  readonly missing: string;
  /** Of the last reading: when the file is still that one, its bytes are not read again. */
  readonly known?: string;
}

/**
 * A file that nobody but its owner may use, judged by what is open and not by its name. Its owner is root, or the user of this process;
 * where that is root, as in a shell of an operator, also the user that the directory belongs to.
 * @returns `null` when it is the one that is known
 * @throws StoreError `missing`, `exposed`, `inaccessible`
 */
export async function readPrivate(read: PrivateRead): Promise<PrivateFile | null> {
  const { path, what, reader, maxBytes, known } = read;
  const where = `${what} "${path}"`;
  const file = await opened(read, where);
  try {
    const stats = await file.stat({ bigint: true });
    if (!stats.isFile()) throw new StoreError("inaccessible", `${where} is not a regular file: name another path`);
    await mustBePrivate(stats, path, where, reader);
    const identity = fileIdentity(stats);
    if (identity === known) return null;
    if (stats.size > BigInt(maxBytes))
      throw new StoreError("inaccessible", `${where} is larger than ${maxBytes} bytes: is it the right file?`);
    const bytes = await file.readFile();
    return { bytes, identity, uid: Number(stats.uid), gid: Number(stats.gid), mode: Number(stats.mode & 0o777n) };
  } catch (error) {
    if (error instanceof StoreError) throw error;
    throw new StoreError("inaccessible", `${where} cannot be read (${systemWord(error)}): check the disk`);
  } finally {
    await file.close();
  }
}

async function opened({ path, mayBeLink, missing }: PrivateRead, where: string): Promise<FileHandle> {
  try {
    // Without O_NONBLOCK a named pipe in this place would hang the open.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK | (mayBeLink ? 0 : constants.O_NOFOLLOW));
  } catch (error) {
    const word = systemWord(error);
    if (word === "ENOENT") throw new StoreError("missing", `${where} is not there: ${missing}`);
    if (word === "ELOOP") throw new StoreError("inaccessible", `${where} is a link: name the file that it leads to`);
    throw new StoreError("inaccessible", `${where} cannot be opened (${word}): check path and owner`);
  }
}

async function mustBePrivate(
  { mode, uid, gid }: BigIntStats,
  path: string,
  where: string,
  reader: FileReader | null,
): Promise<void> {
  if (reader === null) return;
  const owner = Number(uid);
  const owners = new Set([0, reader.uid]);
  if (reader.uid === 0) owners.add((await stat(dirname(path))).uid);
  if (!owners.has(owner))
    throw new StoreError("exposed", `${where} belongs to user ${owner}: chown it to the user that custody runs as`);
  const exposure = exposureOf({ mode: Number(mode), uid: owner, gid: Number(gid) }, reader);
  if (exposure === "nobody") return;
  const octal = Number(mode & 0o777n)
    .toString(8)
    .padStart(4, "0");
  const whom = exposure === "everybody" ? "everybody" : "its group";
  throw new StoreError("exposed", `${where} is open to ${whom} (mode ${octal}): chmod 0600 it`);
}
