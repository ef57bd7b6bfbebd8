import type { Material } from "../core/material.ts";
import { type AttachmentMaker, revealed, unusable } from "./attachment.ts";
import { ownField, type RenderedField } from "./own-field.ts";
import { textSecret } from "./text-secret.ts";

/**
 * A field of the operator's choice, such as `x-api-key`. In `format`, `{token}`, `{value}` and `{password}` all stand for
 * the secret of the material, `{username}` for its user name; every other brace is literal.
 */
export const header: AttachmentMaker<"header"> = (spec) =>
  ownField(spec.name, (material) => fill(spec.format, material));

function fill(format: string, material: Material): RenderedField {
  // A format that names no secret would send a request that carries no credential.
  if (!SECRET_PLACE.test(format)) throw unusable("the format of the attachment has no place for the secret");
  const secret = revealed(textSecret(material, "header"));
  // One pass, so that a placeholder inside the material is not a placeholder.
  const value = format.replaceAll(PLACE, (_, place: string) => {
    if (place !== "username") return secret;
    if (material.kind !== "userpass") throw unusable(`the format names a user name, custody sent ${material.kind}`);
    return material.username;
  });
  return { value, parts: [secret] };
}

const PLACE = /\{(token|value|password|username)\}/g;
const SECRET_PLACE = /\{(?:token|value|password)\}/;
