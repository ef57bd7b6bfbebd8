import type { Material } from "../core/exchange.ts";
import type { Secret } from "../core/secret.ts";

/** The secret part of any material. */
export function secretOf(material: Material): Secret {
  switch (material.kind) {
    case "token":
      return material.token;
    case "userpass":
      return material.password;
    case "header":
      return material.value;
  }
}

/** Overwrites material that will not be used. */
export function zeroMaterial(material: Material): void {
  secretOf(material).zero();
}
