import { createHmac } from "node:crypto";
import type { TemplatePiece } from "../core/signing.ts";
import { type AttachmentMaker, fieldValue } from "./attachment.ts";
import { foldName } from "./guest-fields.ts";
import { refuseMovingMethod } from "./moving-method.ts";
import { sharedKey } from "./shared-key.ts";
import { nonceText, pieceValue, reads, readsBody, type TemplateSource, timestampText } from "./template.ts";
import { holdsWhole, wholeBytes } from "./whole-bytes.ts";

/**
 * A request that is signed with a shared key (RFC 2104) the way that its upstream wants it: the config says what is signed and
 * how the signature is written. The key itself never travels; the lease is `signing_key`.
 *
 * A request that is sent again is signed again: another moment, another nonce.
 */
export const hmac: AttachmentMaker<"hmac"> = (spec, destination, tools) => {
  const written = spec.fields.map(({ value }) => value);
  const needsBody = [spec.signed, ...written].some(readsBody);
  const signsMethod = reads(spec.signed, "method");
  return {
    fieldNames: spec.fields.map(({ name }) => foldName(name)),
    cut: null,
    ...(needsBody && { wholeBodyBytes: holdsWhole(spec.bodyBytes) }),
    render(material) {
      const { key, id, texts } = sharedKey(material, spec.key, "hmac");
      return {
        values: texts,
        apply(head, { permit, request, once }) {
          if (signsMethod) refuseMovingMethod(request, destination);
          const wallMs = tools.clock.wallMs();
          const source = {
            head,
            scheme: destination.scheme,
            authority: permit.authority,
            body: needsBody ? wholeBytes(request) : NOTHING,
            keyId: id,
            timestamp: timestampText(wallMs, spec.timestamp),
            nonce: nonceText(tools.randomBytes, spec.nonce),
            signature: "",
          };
          for (const field of spec.fields)
            if (!reads(field.value, "signature")) head.fields.append(field.name, textOf(field.value, source));
          const mac = createHmac(spec.hash, key);
          for (const piece of spec.signed) {
            const value = pieceValue(piece, source);
            if (typeof value === "string") mac.update(value, "latin1");
            else mac.update(value);
          }
          const signature = mac.digest(spec.output);
          once.push(signature);
          const signed = { ...source, signature };
          for (const field of spec.fields)
            if (reads(field.value, "signature")) head.fields.append(field.name, textOf(field.value, signed));
          return true;
        },
      };
    },
  };
};

const NOTHING = Buffer.alloc(0);

function textOf(pieces: readonly TemplatePiece[], source: TemplateSource): string {
  return fieldValue(pieces.map((piece) => String(pieceValue(piece, source))).join(""));
}
