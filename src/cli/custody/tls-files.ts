import { readFileSync, statSync } from "node:fs";
import type { CustodyListen } from "../../config/config.ts";
import type { CustodyServerTls } from "../../custody/server-tls.ts";
import { CommandFailure, EXIT } from "../command.ts";

/** The certificates of a custody's listener. @throws CommandFailure with a next step when a file cannot be read or is open to all */
export function readCustodyTls(files: CustodyListen["tls"]): CustodyServerTls | null {
  if (files === null) return null;
  const { certificate, key, clientCa } = files;
  return { certificate: readPem(certificate), key: readKey(key), clientCa: readPem(clientCa) };
}

function readPem(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CommandFailure(`${path}: cannot be read (${code ?? "unknown error"}): check path and owner`, EXIT.usage);
  }
}

/** A key that others can read is not a secret any more. */
function readKey(path: string): string {
  const text = readPem(path);
  if ((statSync(path).mode & 0o007) === 0) return text;
  throw new CommandFailure(`${path}: the key is open to everybody: chmod 0600 it, and think of a new one`, EXIT.usage);
}
