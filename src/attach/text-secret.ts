import type { Material } from "../core/material.ts";
import type { Secret } from "../core/secret.ts";
import { unusable } from "./attachment.ts";

/**
 * The secret of a material that is a text for the wire.
 * @param as the attachment that asks, for operators
 * @throws Denial `lease_unusable` for a material that signs or proves: its secret must never travel
 */
export function textSecret(material: Material, as: string): Secret {
  switch (material.kind) {
    case "token":
      return material.token;
    case "userpass":
      return material.password;
    case "header":
      return material.value;
    default:
      throw unusable(`${as} takes a text, custody sent ${material.kind}`);
  }
}
