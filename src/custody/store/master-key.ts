import { scrypt } from "node:crypto";
import { promisify } from "node:util";
import type { Secret } from "../../core/secret.ts";
import type { RandomBytes } from "./seal.ts";
import { StoreError } from "./store-error.ts";

/** How the master key comes from what the operator keeps; stands in the head of the file, in the clear. */
export type KeyForm =
  /** The 32 bytes themselves. */
  | { readonly form: "raw" }
  /** A passphrase through scrypt (RFC 7914); `salt` is base64, the cost is 2^`logN` with r = 8 and p = 1. */
  | { readonly form: "scrypt"; readonly salt: string; readonly logN: number };

/** 128 MiB and half a second or more, once a process: what OWASP asks of passphrases. */
const SCRYPT_LOG_N = 17;
/** A file may ask for no less than what is worth anything, and for no more than 256 MiB. */
export const SCRYPT_LOG_N_BOUNDS = [15, 18] as const;
const SALT_BYTES = 32;
/** Below this a file that was copied away is as good as plain. */
const PASSPHRASE_MIN_CHARACTERS = 12;

/** 64 hex digits, or the 44 characters of padded base64; whatever else there is, is a passphrase. */
const HEX = /^[0-9A-Fa-f]{64}$/;
const BASE64 = /^[A-Za-z0-9+/_-]{43}=$/;

/** The form of a new store's key. @throws StoreError for a passphrase that is too short */
export function formOf(text: Secret, randomBytes: RandomBytes): KeyForm {
  if (rawBytes(text) !== null) return { form: "raw" };
  if (text.reveal().length < PASSPHRASE_MIN_CHARACTERS)
    throw new StoreError(
      "key_unavailable",
      `the key of the store is a passphrase of fewer than ${PASSPHRASE_MIN_CHARACTERS} characters: make one with \`openssl rand -hex 32\``,
    );
  return { form: "scrypt", salt: randomBytes(SALT_BYTES).toString("base64"), logN: SCRYPT_LOG_N };
}

/** @returns 32 bytes, or `null` when the text cannot be the key of such a form */
export async function masterKey(text: Secret, form: KeyForm): Promise<Buffer | null> {
  const raw = rawBytes(text);
  if (form.form === "raw") return raw;
  if (raw !== null) return null;
  const cost = { N: 2 ** form.logN, r: 8, p: 1 };
  // What it needs is 128 * N * r bytes and a little.
  return await stretched(text.reveal(), Buffer.from(form.salt, "base64"), 32, {
    ...cost,
    maxmem: 132 * cost.N * cost.r,
  });
}

const stretched = promisify<string, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(
  scrypt,
);

function rawBytes(text: Secret): Buffer | null {
  const plain = text.reveal();
  if (HEX.test(plain)) return Buffer.from(plain, "hex");
  return BASE64.test(plain) ? Buffer.from(plain, "base64") : null;
}
