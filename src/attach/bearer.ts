import { type AttachmentMaker, revealed, unusable } from "./attachment.ts";
import { ownField } from "./own-field.ts";

/** `Authorization: Bearer <token>` (RFC 6750 §2.1). Takes a token. */
export const bearer: AttachmentMaker<"bearer"> = () =>
  ownField("Authorization", (material) => {
    if (material.kind !== "token") throw unusable(`bearer takes a token, custody sent ${material.kind}`);
    const token = revealed(material.token);
    return { value: `Bearer ${token}`, parts: [token] };
  });
