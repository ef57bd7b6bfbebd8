import { createHmac, hash } from "node:crypto";
import { ZONE } from "./fixtures.ts";

/**
 * AWS Signature Version 4 as the upstream of the bench reads it. Written apart from what Postern signs with, so that a mistake
 * there is not made here as well; it knows what the load generator asks for: plain paths without a query, chunks of one size.
 */

/** The destination that is signed for. */
export const SIGNED_HOST = `s3.${ZONE}`;
/** Its twin, with a bearer token. */
export const BEARER_HOST = `bearer.${ZONE}`;

/** Keys of nobody, and what the guest signs with. */
export const SIGNING = {
  keyId: "AKIABENCHBENCHBENCH0",
  secret: "bench/secret/access/key/of/nobody/000000",
  standIn: "AKIAPOSTERNSTANDIN00",
  region: "eu-central-1",
  service: "s3",
} as const;

export const CHUNK_BYTES = 65_536;
/** About 100 MB in whole chunks. */
export const UPLOAD_CHUNKS = 1526;
export const STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";

/** A guest's signature is made with a key that everybody may know: nobody looks at it. */
export const NO_SIGNATURE = "0".repeat(64);

export function sha256(data: string | Buffer): string {
  return hash("sha256", data, "hex");
}

const EMPTY = sha256("");

/** The one Authorization of a request, or `null`. */
function authorizationOf(head: string): string | null {
  const lines = head.split("\r\n").filter((line) => /^authorization:/i.test(line));
  return lines.length === 1 ? (lines[0] ?? "").slice("authorization:".length).trim() : null;
}

/** Whether a request is signed at all, with the key that custody holds. */
export function namesKey(head: string): boolean {
  return authorizationOf(head)?.startsWith(`AWS4-HMAC-SHA256 Credential=${SIGNING.keyId}/`) === true;
}

/** What a signature of a head says to the chunks behind it. */
export interface Seed {
  readonly signature: string;
  readonly time: string;
}

/** @returns `null` when the signature is not the one that the head asks for */
export function verifyHead(head: string): Seed | null {
  const [startLine = "", ...lines] = head.split("\r\n");
  const [method = "", path = ""] = startLine.split(" ");
  const fields = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const said = /, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(authorizationOf(head) ?? "");
  const names = said?.[1]?.split(";") ?? [];
  // What S3 demands to be signed.
  if (!names.includes("host") || !names.includes("x-amz-content-sha256") || !names.includes("x-amz-date")) return null;
  const canonical = [
    method,
    path,
    "",
    ...names.map((name) => `${name}:${fields.get(name) ?? ""}`),
    "",
    names.join(";"),
    fields.get("x-amz-content-sha256") ?? "",
  ].join("\n");
  const time = fields.get("x-amz-date") ?? "";
  const signature = sign(time, `AWS4-HMAC-SHA256\n${time}\n${scopeOf(time)}\n${sha256(canonical)}`);
  return signature === said?.[2] ? { signature, time } : null;
}

/** Whether these first bytes of a body are chunks, each signed with the one before in mind. At least one has to be whole. */
export function verifyChunks({ signature, time }: Seed, body: Buffer): boolean {
  let previous = signature;
  let at = 0;
  while (at < body.length) {
    const end = body.indexOf("\r\n", at);
    const line = end < 0 ? "" : body.toString("latin1", at, end);
    const [, size = "", signed] = /^([0-9a-f]+);chunk-signature=([0-9a-f]{64})$/.exec(line) ?? [];
    const data = body.subarray(end + 2, end + 2 + Number.parseInt(size, 16));
    if (end < 0 || data.length < Number.parseInt(size, 16)) break;
    const text = `AWS4-HMAC-SHA256-PAYLOAD\n${time}\n${scopeOf(time)}\n${previous}\n${EMPTY}\n${sha256(data)}`;
    previous = sign(time, text);
    if (signed !== previous) return false;
    at = end + 2 + data.length + 2;
  }
  return at > 0;
}

function scopeOf(time: string): string {
  return `${time.slice(0, 8)}/${SIGNING.region}/${SIGNING.service}/aws4_request`;
}

function sign(time: string, text: string): string {
  let key: string | Buffer = `AWS4${SIGNING.secret}`;
  for (const part of scopeOf(time).split("/")) key = createHmac("sha256", key).update(part).digest();
  return createHmac("sha256", key).update(text, "latin1").digest("hex");
}
