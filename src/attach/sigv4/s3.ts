import type { OutboundHead } from "../../core/exchange.ts";
import { unsupported } from "./guest-signature.ts";
import { valuesIn } from "./query-auth.ts";

/** Services whose paths and payloads follow S3's rules: as the scope of a signature names them. */
const S3: ReadonlySet<string> = new Set(["s3", "s3-outposts", "s3-object-lambda", "s3express"]);

export function isS3(service: string): boolean {
  return S3.has(service);
}

const COPY_SOURCE = "x-amz-copy-source";

/**
 * A copy (`CopyObject`, `UploadPartCopy`) reads another object than the one of its path, which no rule of the destination has seen:
 * whoever may write one object could read all that the keys can.
 * @throws Denial `signing_unsupported`
 */
export function refuseCopySource({ fields, target }: Pick<OutboundHead, "fields" | "target">): void {
  if (fields.has(COPY_SOURCE) || valuesIn(target, COPY_SOURCE).length > 0)
    throw unsupported("a copy from an object that the rules do not see: copy_sources: accept lets it through");
}
