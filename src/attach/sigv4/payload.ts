import type { OutboundHead } from "../../core/exchange.ts";
import type { Fields } from "../../core/fields.ts";
import { type GuestSignature, unsupported } from "./guest-signature.ts";
import { valuesIn } from "./query-auth.ts";
import { isS3 } from "./s3.ts";

/** What the signature says of the body, and what has to be done with the body for that. */
export type Payload =
  /** Nothing is said: the edge hashes it, held whole. */
  | { readonly as: "hashed" }
  /** The guest names the digest: relayed as it comes, and checked. */
  | { readonly as: "digest"; readonly sha256: string }
  | { readonly as: "unsigned" }
  /** S3 chunks inside of the body: with `signed`, each is signed anew. `decodedBytes`: what they have to add up to. */
  | {
      readonly as: "chunks";
      readonly word: string;
      readonly signed: boolean;
      readonly trailers: readonly string[] | null;
      readonly decodedBytes: number;
    };

export const UNSIGNED = "UNSIGNED-PAYLOAD";

export interface PayloadRules {
  readonly service: string;
  readonly scheme: "http" | "https";
}

/**
 * @param head as the guest sent it, or cleansed: what says the payload is not cut
 * @throws Denial `signing_unsupported`
 */
export function payloadOf(
  head: Pick<OutboundHead, "target" | "fields">,
  signature: GuestSignature,
  rules: PayloadRules,
): Payload {
  const { service, scheme } = rules;
  const said = head.fields.all("x-amz-content-sha256");
  if (signature.in === "query") said.push(...valuesIn(head.target, "x-amz-content-sha256"));
  if (said.length > 1) throw unsupported("more than one x-amz-content-sha256");
  const [word] = said;
  if (word === undefined) {
    // S3 knows the body of a presigned request by this word alone.
    if (signature.in === "query" && isS3(service)) return unsignedOver(scheme);
    return { as: "hashed" };
  }
  if (/^[0-9a-f]{64}$/.test(word)) return { as: "digest", sha256: word };
  if (word === UNSIGNED) return unsignedOver(scheme);
  if (!isS3(service)) throw unsupported("this x-amz-content-sha256 is of S3 only");
  const form = STREAMING[word];
  if (form === undefined) throw unsupported("an x-amz-content-sha256 that the edge does not know");
  if (signature.in === "query") throw unsupported("a presigned request with a chunked payload");
  if (!form.signed) unsignedOver(scheme);
  return {
    as: "chunks",
    word,
    signed: form.signed,
    trailers: form.trailers ? trailerNames(head.fields) : null,
    decodedBytes: decodedBytes(head.fields),
  };
}

const STREAMING: Readonly<Record<string, { readonly signed: boolean; readonly trailers: boolean }>> = Object.assign(
  Object.create(null) as Record<string, { signed: boolean; trailers: boolean }>,
  {
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": { signed: true, trailers: false },
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": { signed: true, trailers: true },
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": { signed: false, trailers: true },
  },
);

/** Over http anybody on the way could put another body under the signature. */
function unsignedOver(scheme: "http" | "https"): Payload {
  if (scheme !== "https") throw unsupported("an unsigned payload over http");
  return { as: "unsigned" };
}

/** The names that `x-amz-trailer` announces; those and no others may come. */
function trailerNames(fields: Fields): readonly string[] {
  return fields
    .all("x-amz-trailer")
    .flatMap((value) => value.split(","))
    .map((name) => name.trim().toLowerCase());
}

function decodedBytes(fields: Fields): number {
  const [text, ...more] = fields.all("x-amz-decoded-content-length");
  if (text === undefined || more.length > 0 || !/^[0-9]{1,15}$/.test(text))
    throw unsupported("a chunked payload has one x-amz-decoded-content-length");
  return Number(text);
}
