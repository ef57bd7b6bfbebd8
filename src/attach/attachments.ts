import type { AttachmentSpec, Destination } from "../core/destination.ts";
import type { Attachment, AttachmentMaker, AttachTools, SpecOf } from "./attachment.ts";
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

/** One line an attachment: a kind in the vocabulary without a line here does not compile. */
const MAKERS: { readonly [As in AttachmentSpec["as"]]: AttachmentMaker<As> } = {
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
};

/** @returns the destination's attachments, in the order of the config */
export function attachmentsOf(destination: Destination, tools: AttachTools): readonly Attachment[] {
  return destination.attachments.map((spec) => make(spec, destination, tools));
}

function make<As extends AttachmentSpec["as"]>(
  spec: SpecOf<As> & { readonly as: As },
  destination: Destination,
  tools: AttachTools,
) {
  return MAKERS[spec.as](spec, destination, tools);
}
