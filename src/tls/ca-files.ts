import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from "node:fs";
import { exposureOf, type FileReader } from "../core/private-file.ts";
import { Secret } from "../core/secret.ts";
import { CaError } from "./ca-error.ts";
import { CertificateAuthority } from "./certificate-authority.ts";

/** Where the customer's CA lies. */
export interface CaFiles {
  readonly certificate: string;
  readonly key: string;
  /** File of one line, or `null` when the key is not encrypted. */
  readonly passphraseFile: string | null;
}

/**
 * Reads and checks the customer's CA.
 * @param nowMs wall clock, ms since the epoch
 * @throws CaError, each with a next step; an absent CA stops the start, nothing is invented in its place
 */
export function loadCa(files: CaFiles, nowMs: number): CertificateAuthority {
  const key = readPrivate(files.key, "CA key");
  return CertificateAuthority.fromPem(
    {
      certificates: readCertificates(files.certificate),
      certificateName: files.certificate,
      key,
      keyName: files.key,
      passphrase: files.passphraseFile === null ? null : readPassphrase(files.passphraseFile),
    },
    nowMs,
  );
}

/** First line of a private file. @throws CaError */
export function readPassphrase(path: string): Secret {
  const text = readPrivate(path, PASSPHRASE_FILE);
  const line = text.split(/\r?\n/, 1)[0] ?? "";
  if (line === "")
    throw new CaError("ca_passphrase_missing", `${path}: the first line is empty`, "write the passphrase there");
  return Secret.of(line);
}

function readCertificates(path: string): string {
  const { text, stats } = read(path, "CA certificate");
  // A combined file: whoever may read the certificate could read the key in it.
  if (text.includes("PRIVATE KEY-----")) refuseExposed(path, stats);
  return text;
}

function readPrivate(path: string, what: string): string {
  const { text, stats } = read(path, what);
  refuseExposed(path, stats);
  return text;
}

/** Judged by the open file, not by its name: a symbolic link counts as what it leads to, and nobody can swap it meanwhile. */
function refuseExposed(path: string, stats: Stats): void {
  const reader = currentReader();
  if (exposureOf(stats, reader) === "nobody") return;
  const mode = (stats.mode & 0o777).toString(8).padStart(4, "0");
  // Where root owns it, this process could not read it any more with 600.
  const handedOver = `chmod 440 ${path}, with a group that this process is in (Kubernetes: defaultMode: 0400 and an fsGroup)`;
  const next = stats.uid === 0 && reader?.uid !== 0 ? handedOver : `chmod 600 ${path}`;
  throw new CaError("ca_file_exposed", `${path}: others than its owner may use it (mode ${mode})`, next);
}

/** This process, as `exposureOf` asks; `null` where the system has no users. */
export function currentReader(): FileReader | null {
  if (process.geteuid === undefined || process.getegid === undefined || process.getgroups === undefined) return null;
  return { uid: process.geteuid(), groups: new Set([process.getegid(), ...process.getgroups()]) };
}

const PASSPHRASE_FILE = "passphrase file";
const FILE_LIMIT_BYTES = 1_048_576;

function read(path: string, what: string): { text: string; stats: Stats } {
  let fd: number | null = null;
  try {
    // Without O_NONBLOCK the open of a FIFO would wait for a writer, and the start with it.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = fstatSync(fd);
    if (!stats.isFile())
      throw new CaError("ca_file_unreadable", `${path}: not a plain file`, `name the ${what} itself`);
    if (stats.size > FILE_LIMIT_BYTES) {
      throw new CaError(
        "ca_file_unreadable",
        `${path}: larger than ${FILE_LIMIT_BYTES} bytes`,
        `name the ${what} itself`,
      );
    }
    return { text: readFileSync(fd, "utf8"), stats };
  } catch (cause) {
    throw unreadable(cause, path, what);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

function unreadable(cause: unknown, path: string, what: string): unknown {
  const code = cause instanceof Error && "code" in cause ? cause.code : null;
  if (cause instanceof CaError || typeof code !== "string") return cause;
  if (code === "ENOENT" || code === "ENOTDIR") {
    const isPassphrase = what === PASSPHRASE_FILE;
    const next = isPassphrase
      ? "write one (mode 600), or correct the path"
      : "make a CA with postern ca init --out DIR, or correct the path";
    return new CaError("ca_file_missing", `${path}: there is no ${what}`, next, { cause });
  }
  const next = "let the user that runs postern own it, mode 600, or root, mode 440, with a group that postern is in";
  return new CaError("ca_file_unreadable", `${path}: the ${what} cannot be read (${code})`, next, { cause });
}
