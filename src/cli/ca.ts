import { randomBytes } from "node:crypto";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import type { Secret } from "../core/secret.ts";
import { CaError } from "../tls/ca-error.ts";
import { subjectOf } from "../tls/ca-chain.ts";
import { refuseExistingCa, writeCaDirectory } from "../tls/ca-directory.ts";
import { loadCa, readPassphrase } from "../tls/ca-files.ts";
import type { CertificateAuthority } from "../tls/certificate-authority.ts";
import { createCa, defaultCaName } from "../tls/create-ca.ts";
import { parsePermitted } from "../tls/name-constraints.ts";
import { CommandFailure, EXIT, type Terminal } from "./command.ts";

/** `postern ca init` and `postern ca show`: makes the CA that guests trust, and tells what one is worth. */

export interface CaInitOptions {
  /** Directory for ca.crt, ca.key and, with `intermediate`, root.crt. */
  readonly out: string;
  /** CN; `null` = one that is unlike any other. */
  readonly name: string | null;
  readonly key: "ec" | "rsa";
  readonly days: number;
  /** Names and address blocks that it may sign for; empty = anything. */
  readonly permit: readonly string[];
  readonly intermediate: boolean;
  /** Holds the passphrase that encrypts the key, or `null`. */
  readonly passphraseFile: string | null;
}

export interface CaShowOptions {
  readonly certificate: string;
  readonly key: string;
  readonly passphraseFile: string | null;
}

/** Wall clock and randomness, which the composition root has. */
export interface CaCommandSystem {
  wallMs(): number;
  randomBytes(size: number): Buffer;
}

/** @returns what to tell the operator. @throws CaError; nothing that was there is touched */
export function caInit(options: CaInitOptions, system: CaCommandSystem): string {
  refuseExistingCa(options.out);
  const permitted = options.permit.map(parsePermitted);
  const passphrase = options.passphraseFile === null ? null : newPassphrase(options.passphraseFile);
  const nowMs = system.wallMs();
  const made = createCa({
    name: options.name ?? defaultCaName("Postern CA", (size) => system.randomBytes(size)),
    key: options.key,
    days: options.days,
    permitted,
    intermediate: options.intermediate,
    passphrase,
    nowMs,
    randomBytes: (size) => system.randomBytes(size),
  });
  const paths = writeCaDirectory(options.out, made);
  // Read back from the disk and checked like any other CA: what was written is what a start would load.
  const ca = loadCa({ ...paths, passphraseFile: options.passphraseFile }, nowMs);
  const config = [`  certificate: ${paths.certificate}`, `  key: ${paths.key}`];
  if (options.passphraseFile !== null) config.push(`  passphrase_file: ${options.passphraseFile}`);
  return [
    ...describe(ca, nowMs),
    ...(options.intermediate ? ["root key         thrown away: nothing else can be signed with it"] : []),
    ...(permitted.length > 0 && !options.intermediate
      ? ["note             Java ignores name constraints of a CA that it trusts itself: add --intermediate for those"]
      : []),
    `guests trust     ${paths.anchor} (postern guest-env writes what they need)`,
    "in the config:",
    "ca:",
    ...config,
    "",
  ].join("\n");
}

/** @returns what the CA is, and what some clients will hold against it. @throws CaError when it cannot be used */
export function caShow(options: CaShowOptions, system: CaCommandSystem): string {
  const nowMs = system.wallMs();
  const ca = loadCa(options, nowMs);
  return [...describe(ca, nowMs), ...ca.warnings.map((warning) => `warning          ${warning}`), ""].join("\n");
}

export function register(command: Command, terminal: Terminal): void {
  const system: CaCommandSystem = { wallMs: () => Date.now(), randomBytes };
  command
    .command("init")
    .description("make a CA: ca.crt and ca.key (mode 0600) in a directory of its own, never over one that is there")
    .requiredOption("--out <dir>", "directory to write to")
    .option("--name <cn>", "common name (default: Postern CA and eight random digits)")
    .option("--key <kind>", "ec (P-256) or rsa (2048 bits)", "ec")
    .option("--days <n>", "days until it expires", "365")
    .option("--permit <name|block>", "what it may sign for: example.com, 10.0.0.0/8; may be repeated", append)
    .option("--intermediate", "put it under a root of its own, whose key is thrown away", false)
    .option("--passphrase-file <file>", "encrypt the key with the first line of this file")
    .option("--debug", DEBUG)
    .action((given: GivenInit) => {
      terminal.out(refused(() => caInit(readInit(given, terminal.cwd), system)));
    });
  command
    .command("show")
    .description("print what a CA is and what some clients will hold against it")
    .argument("[dir]", "directory that postern ca init wrote to", "certs")
    .option("--certificate <file>", "instead of DIR/ca.crt")
    .option("--key <file>", "instead of DIR/ca.key")
    .option("--passphrase-file <file>", "when the key is encrypted")
    .option("--debug", DEBUG)
    .action((dir: string, given: GivenShow) => {
      terminal.out(refused(() => caShow(readShow(dir, given, terminal.cwd), system)));
    });
}

const DEBUG = "print the stack of an unexpected error";

/** What is wrong with a CA, or with the words of the command, is the caller's to mend: exit code 2. */
function refused(act: () => string): string {
  try {
    return act();
  } catch (error) {
    if (error instanceof CaError) throw new CommandFailure(error.message, EXIT.usage);
    throw error;
  }
}

interface GivenInit {
  readonly out: string;
  readonly name?: string;
  readonly key: string;
  readonly days: string;
  readonly permit?: readonly string[];
  readonly intermediate: boolean;
  readonly passphraseFile?: string;
}

interface GivenShow {
  readonly certificate?: string;
  readonly key?: string;
  readonly passphraseFile?: string;
}

function append(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function readShow(dir: string, given: GivenShow, cwd: string): CaShowOptions {
  return {
    certificate: resolve(cwd, given.certificate ?? join(dir, "ca.crt")),
    key: resolve(cwd, given.key ?? join(dir, "ca.key")),
    passphraseFile: given.passphraseFile === undefined ? null : resolve(cwd, given.passphraseFile),
  };
}

function readInit(given: GivenInit, cwd: string): CaInitOptions {
  if (given.key !== "ec" && given.key !== "rsa") {
    throw new CaError("ca_argument", `--key "${given.key}"`, 'write "ec" or "rsa"');
  }
  if (!/^[0-9]+$/.test(given.days)) {
    throw new CaError("ca_argument", `--days "${given.days}"`, "write a whole number of days");
  }
  return {
    out: resolve(cwd, given.out),
    name: given.name ?? null,
    key: given.key,
    days: Number(given.days),
    permit: given.permit ?? [],
    intermediate: given.intermediate,
    passphraseFile: given.passphraseFile === undefined ? null : resolve(cwd, given.passphraseFile),
  };
}

/** Below this a key file that was copied away is as good as plain. */
const PASSPHRASE_MIN_CHARACTERS = 12;

function newPassphrase(path: string): Secret {
  const passphrase = readPassphrase(path);
  if (passphrase.reveal().length < PASSPHRASE_MIN_CHARACTERS) {
    const next = `write at least ${PASSPHRASE_MIN_CHARACTERS} characters, such as those of: openssl rand -base64 24`;
    throw new CaError("ca_argument", `${path}: the passphrase is short`, next);
  }
  return passphrase;
}

const DAY_MS = 86_400_000;

function describe(ca: CertificateAuthority, nowMs: number): string[] {
  const days = Math.round((ca.notAfterMs - nowMs) / DAY_MS);
  const lines = [
    `subject          ${ca.subject}`,
    `SHA-256          ${ca.fingerprint}`,
    `valid            ${new Date(ca.notBeforeMs).toISOString()} to ${new Date(ca.notAfterMs).toISOString()} (${days} days left)`,
    `signs with       ${ca.signatureName}`,
    `constrained      ${ca.limits.isLimited ? "yes, by name constraints" : "no: it may sign for any name"}`,
  ];
  if (ca.anchor !== ca.certificate) {
    lines.push(`anchor           ${subjectOf(ca.anchor)}`, `anchor SHA-256   ${ca.anchor.fingerprint256}`);
  }
  return lines;
}
