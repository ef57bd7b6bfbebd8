import { Denial } from "../../core/denial.ts";
import type { Fields } from "../../core/fields.ts";
import { separatorsIn, splitQuery } from "./query-auth.ts";
import { isS3 } from "./s3.ts";
import { ALGORITHM, type Scope } from "./signing-key.ts";

/** How the guest has signed. Its signature is made with a key that everybody may know, so only its form says something. */
export type GuestSignature =
  | { readonly in: "nothing" }
  | { readonly in: "header" }
  /** Presigned: the edge signs the query as well. */
  | { readonly in: "query"; readonly expiresSeconds: number };

export interface GuestRules extends Scope {
  /** The access key id that guests sign with. */
  readonly standIn: string;
  readonly unsigned: "sign" | "refuse";
}

/** AWS takes no longer one. */
const MOST_EXPIRES_SECONDS = 604_800;

/** Each is decoded, encoded and sorted: more than any call has would be work for nothing. */
const MOST_PARAMETERS = 1000;

/**
 * Reads the guest's signature: it has to be made with the stand-in, for the region and service of the destination.
 * @param target as the guest sent it
 * @param fields the guest's; lines that were dropped since are read all the same
 * @throws Denial `guest_signed` for another key, `signing_unsupported` for what the edge does not sign
 */
export function guestSignature(target: string, fields: Fields, rules: GuestRules): GuestSignature {
  if (separatorsIn(target) > MOST_PARAMETERS) throw unsupported(`a query with more than ${MOST_PARAMETERS} parameters`);
  const { auth } = splitQuery(target);
  const lines = linesOf(fields, "authorization");
  if (fields.names.includes("x-amz-region-set") || auth.has("x-amz-region-set")) throw sigv4a();
  if (auth.has("awsaccesskeyid")) throw unsupported("the query is signed with Signature Version 2");
  if (lines.length > 0) {
    if (auth.size > 0) throw unsupported("the request is signed in its head and in its query");
    if (lines.length > 1) throw unsupported("more than one Authorization");
    readAuthorization(lines[0] as string, rules);
    return { in: "header" };
  }
  if (auth.size > 0) return readQuery(auth, rules);
  if (rules.unsigned === "refuse")
    throw new Denial("guest_signed", { cause: "the request is not signed with the stand-in" });
  return { in: "nothing" };
}

/** @param cause for operators; holds nothing that the guest said but names of regions and services */
export function unsupported(cause: string): Denial {
  return new Denial("signing_unsupported", { cause });
}

function sigv4a(): Denial {
  return unsupported("Signature Version 4A (AWS4-ECDSA-P256-SHA256): use a regional endpoint");
}

function linesOf(fields: Fields, name: string): readonly string[] {
  let lines: string[] | null = null;
  for (let i = 0; i < fields.length; i++) if (fields.names[i] === name) (lines ??= []).push(fields.value(i));
  return lines ?? NONE;
}

const NONE: readonly string[] = Object.freeze([]);

/** `AWS4-HMAC-SHA256 Credential=.../..., SignedHeaders=..., Signature=...` */
function readAuthorization(value: string, rules: GuestRules): void {
  const blank = value.indexOf(" ");
  const scheme = blank < 0 ? value : value.slice(0, blank);
  assertAlgorithm(scheme);
  const parts = value.slice(blank + 1).split(",", 9);
  const credentials = parts.map((part) => part.trim()).filter((part) => part.startsWith("Credential="));
  if (credentials.length !== 1) throw unsupported("the Authorization names no one Credential");
  checkCredential((credentials[0] as string).slice("Credential=".length), rules);
}

function assertAlgorithm(algorithm: string): void {
  if (algorithm === ALGORITHM) return;
  if (algorithm.startsWith("AWS4-ECDSA-")) throw sigv4a();
  throw unsupported("the request is authorized by something else than AWS4-HMAC-SHA256");
}

function readQuery(auth: ReadonlyMap<string, readonly string[]>, rules: GuestRules): GuestSignature {
  const one = (key: string): string => {
    const values = auth.get(key) ?? [];
    if (values.length !== 1) throw unsupported(`a presigned query has one ${key}, this one ${values.length}`);
    return values[0] as string;
  };
  assertAlgorithm(one("x-amz-algorithm"));
  checkCredential(one("x-amz-credential"), rules);
  const expires = one("x-amz-expires");
  if (!/^[0-9]{1,6}$/.test(expires) || Number(expires) < 1 || Number(expires) > MOST_EXPIRES_SECONDS)
    throw unsupported("the X-Amz-Expires of the presigned query is not 1 to 604800");
  return { in: "query", expiresSeconds: Number(expires) };
}

/** `<access key id>/<date>/<region>/<service>/aws4_request`; the date is the guest's own affair. */
function checkCredential(text: string, { standIn, region, service }: GuestRules): void {
  const parts = text.split("/", 6);
  if (parts[0] !== standIn) throw new Denial("guest_signed", { cause: "the access key id is not the stand-in" });
  const [, date = "", itsRegion = "", itsService = "", end] = parts;
  if (parts.length !== 5 || end !== "aws4_request" || !/^[0-9]{8}$/.test(date))
    throw unsupported("the credential scope of the request is malformed");
  if (itsRegion === region && itsService === service) return;
  const named = PLAIN.test(itsRegion) && PLAIN.test(itsService) ? `${itsRegion}/${itsService}` : "something else";
  throw unsupported(`the request is signed for ${named}, the destination is ${region}/${service}`);
}

const PLAIN = /^[a-z0-9-]{1,40}$/;

/**
 * A browser's POST of a form to S3 brings its signature among the fields, where the edge does not look.
 * @throws Denial `signing_unsupported`
 */
export function refuseForm(service: string, method: string, fields: Fields): void {
  if (method !== "POST" || !isS3(service)) return;
  const types = fields.all("content-type");
  if (types.some((type) => type.trim().toLowerCase().startsWith("multipart/form-data")))
    throw unsupported("a POST of a form with a policy of its own");
}
