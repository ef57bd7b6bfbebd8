import type { Material } from "../core/material.ts";
import { type AttachmentMaker, revealed, unusable } from "./attachment.ts";
import { ownField } from "./own-field.ts";

/**
 * `Authorization: Basic <base64(user name:password)>` (RFC 7617), the pair encoded as UTF-8. Takes a user name with a
 * password, or a token as the password of the `username` that the config says; the config's user name goes first.
 */
export const basic: AttachmentMaker<"basic"> = (spec) =>
  ownField("Authorization", (material) => {
    const pair = pairOf(material, spec.username);
    // §2: a colon would end the user name early; controls are forbidden in both.
    if (pair.username.includes(":")) throw unusable("a user name for basic holds a colon");
    const joined = `${pair.username}:${pair.password}`;
    if (hasControl(joined)) throw unusable("the material holds a control character");
    const encoded = Buffer.from(joined, "utf8").toString("base64");
    return { value: `Basic ${encoded}`, parts: [encoded, joined, pair.password] };
  });

function pairOf(material: Material, configured: string | null): { username: string; password: string } {
  switch (material.kind) {
    case "userpass":
      return { username: configured ?? material.username, password: revealed(material.password) };
    case "token":
      if (configured === null) throw unusable("basic with a token needs `username:` in the attachment");
      return { username: configured, password: revealed(material.token) };
    default:
      throw unusable(`basic takes a user name with a password or a token, custody sent ${material.kind}`);
  }
}

function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 32 || code === 127) return true;
  }
  return false;
}
