import type { CustodyListen } from "../../config/config.ts";
import type { CustodyServerTls } from "../../custody/server-tls.ts";
import { readKeyFile, readPemFile } from "../pem-files.ts";

/** The certificates of a custody's listener. @throws CommandFailure with a next step when one cannot be read or is exposed */
export function readCustodyTls(files: CustodyListen["tls"]): CustodyServerTls | null {
  if (files === null) return null;
  const { certificate, key, clientCa } = files;
  return { certificate: readPemFile(certificate), key: readKeyFile(key), clientCa: readPemFile(clientCa) };
}
