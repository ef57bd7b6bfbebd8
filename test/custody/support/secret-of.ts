import { type Material, secretsOf } from "../../../src/core/material.ts";
import type { Secret } from "../../../src/core/secret.ts";

/** The first secret part of a material: all of it where there is one. */
export function secretOf(material: Material): Secret {
  const [secret] = secretsOf(material);
  if (secret === undefined) throw new Error("a material has a secret");
  return secret;
}
