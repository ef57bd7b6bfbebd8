import { createHash } from "node:crypto";
import { withExtension } from "../../house/support/client-hello.ts";
import { clientHello } from "./hello.ts";

/** Hellos of TLS 1.3, made by hand, each as one TLS record. */

/** RFC 8446 §4.1.3: what tells a HelloRetryRequest from a ServerHello. */
export const RETRY_RANDOM = createHash("sha256").update("HelloRetryRequest").digest();
const SUPPORTED_VERSIONS = 43;

/** @param versions numbers of two bytes, in hex; by default a GREASE one, TLS 1.3 and TLS 1.2 */
export function hello13(name: string, versions = "fafa03040303"): Buffer {
  const list = Buffer.from(versions, "hex");
  return withExtension(clientHello(name), SUPPORTED_VERSIONS, Buffer.concat([Buffer.of(list.length), list]));
}

/** What a server answers it with. @param random 32 bytes */
export function serverHello(random: Uint8Array): Buffer {
  const body = Buffer.concat([
    Buffer.of(3, 3),
    random,
    Buffer.of(0, 0x13, 1, 0, 0, 12),
    // supported_versions: 1.3; key_share: P-384
    Buffer.from("002b00020304003300020018", "hex"),
  ]);
  const message = Buffer.concat([Buffer.of(2, 0, 0, body.length), body]);
  return Buffer.concat([Buffer.of(22, 3, 3, 0, message.length), message]);
}

export function helloRetryRequest(): Buffer {
  return serverHello(RETRY_RANDOM);
}

/** RFC 8446 §5: one byte of change_cipher_spec, which both sides write for middleboxes. */
export const DUMMY = Buffer.of(20, 3, 3, 0, 1, 1);
export const WARNING = Buffer.of(21, 3, 3, 0, 2, 1, 112);
