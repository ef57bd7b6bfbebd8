import { createCipheriv, createDecipheriv, createHmac, hkdfSync, timingSafeEqual } from "node:crypto";

/**
 * The boxes of the store: AES-256-GCM (NIST SP 800-38D), each under a key of its own that HKDF-SHA-256 (RFC 5869) makes from the
 * master key and a random salt, so that no nonce is ever used twice under one key, however often a store is written.
 *
 * `salt (32) | nonce (12) | ciphertext | tag (16)`; what is encrypted is `length (4) | bytes | zeros` up to a multiple of 256
 * bytes, so that a box does not tell how long a secret is.
 */
const SALT_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const PAD_BYTES = 256;
const PURPOSE = "postern-secret-store-1 box";

export type RandomBytes = (size: number) => Buffer;

/** @param place what the box is for; it opens for nothing else @param plain is zeroed */
export function seal(master: Buffer, place: string, plain: Buffer, randomBytes: RandomBytes): Buffer {
  const salt = randomBytes(SALT_BYTES);
  const nonce = randomBytes(NONCE_BYTES);
  const key = boxKey(master, salt);
  const framed = Buffer.alloc(Math.ceil((plain.length + 4) / PAD_BYTES) * PAD_BYTES);
  framed.writeUInt32BE(plain.length);
  plain.copy(framed, 4);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(place));
  const sealed = Buffer.concat([salt, nonce, cipher.update(framed), cipher.final(), cipher.getAuthTag()]);
  for (const used of [plain, framed, key]) used.fill(0);
  return sealed;
}

/** @returns what was sealed for this place with this key, which the caller zeroes; `null` for anything else */
export function unseal(master: Buffer, place: string, box: Buffer): Buffer | null {
  if (box.length < SALT_BYTES + NONCE_BYTES + TAG_BYTES + PAD_BYTES) return null;
  const key = boxKey(master, box.subarray(0, SALT_BYTES));
  const nonce = box.subarray(SALT_BYTES, SALT_BYTES + NONCE_BYTES);
  const sealed = box.subarray(SALT_BYTES + NONCE_BYTES, -TAG_BYTES);
  const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(place)).setAuthTag(box.subarray(-TAG_BYTES));
  const framed = decipher.update(sealed);
  try {
    decipher.final();
    const length = framed.readUInt32BE();
    return length > framed.length - 4 ? null : Buffer.from(framed.subarray(4, 4 + length));
  } catch {
    // The one way in which `final` can fail: the tag is of another key, another place or other bytes.
    return null;
  } finally {
    for (const used of [framed, key]) used.fill(0);
  }
}

/** Tells a wrong key from a damaged file. It says no more of the key than any box does. @returns base64 */
export function keyCheck(master: Buffer, head: string): string {
  const key = Buffer.from(hkdfSync("sha256", master, Buffer.alloc(0), "postern-secret-store-1 key check", 32));
  return createHmac("sha256", key).update(head).digest("base64");
}

export function keyChecks(master: Buffer, head: string, check: string): boolean {
  const wanted = Buffer.from(keyCheck(master, head));
  const found = Buffer.from(check);
  return wanted.length === found.length && timingSafeEqual(wanted, found);
}

function boxKey(master: Buffer, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync("sha256", master, salt, PURPOSE, 32));
}
