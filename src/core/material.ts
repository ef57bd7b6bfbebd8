import type { Secret } from "./secret.ts";

/** What a credential is made of. */
export type Material =
  | { readonly kind: "token"; readonly token: Secret }
  | { readonly kind: "userpass"; readonly username: string; readonly password: Secret }
  | { readonly kind: "header"; readonly value: Secret };

/** The secret part of a material, whatever its kind. */
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
