import { createSecretKey, type KeyObject } from "node:crypto";
import type { Material } from "../core/material.ts";
import type { SharedKeySpec } from "../core/signing.ts";
import { revealed, unusable } from "./attachment.ts";

/** A key that edge and upstream both hold, and every text of it that must never come back. */
export interface SharedKey {
  readonly key: KeyObject;
  readonly id: string | null;
  readonly texts: readonly string[];
}

/**
 * @param as the attachment that asks, for operators
 * @throws Denial `lease_unusable` for other material, or a text that is not in the encoding
 */
export function sharedKey(material: Material, { encoding, prefix }: SharedKeySpec, as: string): SharedKey {
  if (material.kind !== "signing_key") throw unusable(`${as} takes a signing_key, custody sent ${material.kind}`);
  const text = revealed(material.key);
  const bare = prefix !== "" && text.startsWith(prefix) ? text.slice(prefix.length) : text;
  const bytes = keyBytes(bare, encoding);
  if (bytes === null || bytes.length === 0) throw unusable(`the key is not ${encoding}`);
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return { key, id: material.keyId, texts: bare === text ? [text] : [text, bare] };
}

function keyBytes(text: string, encoding: SharedKeySpec["encoding"]): Buffer | null {
  switch (encoding) {
    case "text":
      return Buffer.from(text, "utf8");
    case "hex":
      return /^(?:[0-9A-Fa-f]{2})+$/.test(text) ? Buffer.from(text, "hex") : null;
    case "base64":
      return BASE64.test(text) ? Buffer.from(text, "base64") : null;
  }
}

/** Either alphabet of RFC 4648, padded or not. */
const BASE64 = /^(?:[A-Za-z0-9+/]+|[A-Za-z0-9_-]+)={0,2}$/;
