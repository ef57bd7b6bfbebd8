import type { Material } from "../../core/material.ts";
import { Secret } from "../../core/secret.ts";

/** Another material that says the same: zeroing one leaves the other alone. @throws Error when it was zeroed */
export function copyOfMaterial(material: Material): Material {
  const copy = (secret: Secret): Secret => Secret.of(secret.reveal());
  switch (material.kind) {
    case "token":
      return { ...material, token: copy(material.token) };
    case "userpass":
      return { ...material, password: copy(material.password) };
    case "header":
      return { ...material, value: copy(material.value) };
    case "aws": {
      const { sessionToken, secretAccessKey } = material;
      return {
        ...material,
        secretAccessKey: copy(secretAccessKey),
        sessionToken: sessionToken === null ? null : copy(sessionToken),
      };
    }
    case "signing_key":
    case "client_certificate":
      return { ...material, key: copy(material.key) };
    case "dpop":
      return { ...material, token: copy(material.token), key: material.key === null ? null : copy(material.key) };
  }
}
