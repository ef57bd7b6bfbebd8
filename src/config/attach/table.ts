import { z } from "zod";
import type { AttachmentSpec } from "../../core/destination.ts";
import type { AttachConfig } from "./attach-config.ts";
import { basic } from "./basic.ts";
import { bearer } from "./bearer.ts";
import { body } from "./body.ts";
import { clientCertificate } from "./client-certificate.ts";
import { cookie } from "./cookie.ts";
import { dpop } from "./dpop.ts";
import { header } from "./header.ts";
import { hmac } from "./hmac.ts";
import { messageSignature } from "./message-signature.ts";
import { placeholder } from "./placeholder.ts";
import { query } from "./query.ts";
import { sigv4 } from "./sigv4.ts";

/** One line a kind, in the order of the documentation: a kind in the vocabulary without a line here does not compile. */
const TABLE = {
  bearer,
  basic,
  header,
  query,
  cookie,
  placeholder,
  client_certificate: clientCertificate,
  dpop,
  hmac,
  body,
  message_signature: messageSignature,
  sigv4,
} satisfies {
  [As in AttachmentSpec["as"]]: { readonly schema: AttachConfig<As>["schema"] };
};

/** One `attach:` entry of a destination. */
export const attachSchema = z.discriminatedUnion("as", [
  TABLE.bearer.schema,
  TABLE.basic.schema,
  TABLE.header.schema,
  TABLE.query.schema,
  TABLE.cookie.schema,
  TABLE.placeholder.schema,
  TABLE.client_certificate.schema,
  TABLE.dpop.schema,
  TABLE.hmac.schema,
  TABLE.body.schema,
  TABLE.message_signature.schema,
  TABLE.sigv4.schema,
]);

export type RawAttachment = z.output<typeof attachSchema>;

/** What a kind means, for a value of its own schema. */
export function configOf<As extends AttachmentSpec["as"]>(as: As): AttachConfig<As> {
  return TABLE[as] as unknown as AttachConfig<As>;
}
