import { createHash } from "node:crypto";
import type { BareItem } from "structured-headers";
import type { OutboundHead } from "../core/exchange.ts";
import type { MessageSignatureSpec } from "../core/signing.ts";
import { type AttachmentMaker, type AttachTools, fieldValue, unusable } from "./attachment.ts";
import { foldName } from "./guest-fields.ts";
import { refuseMovingMethod } from "./moving-method.ts";
import { signatureKey, type SignatureKey } from "./signature-algorithm.ts";
import { signatureBase } from "./signature-base.ts";
import { holdsWhole, wholeBytes } from "./whole-bytes.ts";

/**
 * HTTP message signatures (RFC 9421), with a digest of the body (RFC 9530) where that is covered. The lease is `signing_key`:
 * PEM of a private key, or the text of a shared one. Fields of that kind that a guest says are cut: it signs nothing here.
 *
 * A request that is sent again is signed again: another moment, another nonce.
 */
export const messageSignature: AttachmentMaker<"message_signature"> = (spec, destination, tools) => {
  const digest = spec.components.find(({ name }) => name === "content-digest");
  const needsBody = digest !== undefined || spec.components.some(({ name }) => name === "content-length");
  const signsMethod = spec.components.some(({ name }) => name === "@method");
  return {
    fieldNames: [...OWN_FIELDS, ...spec.fields.map(({ name }) => foldName(name))],
    cut: null,
    ...(needsBody && { wholeBodyBytes: holdsWhole(spec.bodyBytes) }),
    render(material) {
      const key = signatureKey(material, spec);
      const idOf = namedKey(key, spec);
      return {
        values: key.texts,
        apply(head, { permit, request, once }) {
          if (signsMethod) refuseMovingMethod(request, destination);
          for (const { name, value } of spec.fields) head.fields.append(name, fieldValue(value));
          if (digest !== undefined) {
            const bytes = wholeBytes(request);
            if (!digest.optional || bytes.length > 0)
              head.fields.append("Content-Digest", digestOf(bytes, spec.digest));
          }
          const signed = { head, scheme: destination.scheme, authority: permit.authority, body: request.body };
          const { input, base } = signatureBase(signed, spec.components, parametersOf(spec, idOf, tools));
          const signature = key.sign(Buffer.from(base, "latin1"));
          if (!(signature instanceof Promise)) return write(head, spec.label, input, signature, once);
          return signature.then((bytes) => write(head, spec.label, input, bytes, once));
        },
      };
    },
  };
};

const OWN_FIELDS = ["signature", "signature-input", "content-digest"];
/** What Web Bot Auth recommends. */
const NONCE_BYTES = 64;

function namedKey({ id }: SignatureKey, { parameters }: MessageSignatureSpec): string {
  if (id === null && parameters.includes("keyid")) throw unusable("the signature names its key, and the key has no id");
  return id ?? "";
}

/** RFC 9421 §2.3, in the order of the config. */
function parametersOf(
  spec: MessageSignatureSpec,
  keyId: string,
  { clock, randomBytes }: AttachTools,
): ReadonlyMap<string, BareItem> {
  const created = Math.floor(clock.wallMs() / 1000);
  const values = {
    created: () => created,
    expires: () => created + spec.expiresSeconds,
    nonce: () => randomBytes(NONCE_BYTES).toString("base64"),
    alg: () => spec.algorithm,
    keyid: () => keyId,
    tag: () => spec.tag ?? "",
  } as const;
  return new Map(spec.parameters.map((name) => [name, values[name]()]));
}

/** RFC 9530 §2. */
function digestOf(bytes: Buffer, algorithm: MessageSignatureSpec["digest"]): string {
  const hash = algorithm === "sha-256" ? "sha256" : "sha512";
  return `${algorithm}=:${createHash(hash).update(bytes).digest("base64")}:`;
}

/** §4.1 and §4.2. */
function write({ fields }: OutboundHead, label: string, input: string, signature: Buffer, once: string[]): true {
  const text = signature.toString("base64");
  once.push(text);
  fields.append("Signature-Input", `${label}=${input}`);
  fields.append("Signature", `${label}=:${text}:`);
  return true;
}
