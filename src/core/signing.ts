/**
 * The specs of attachments that look at bodies: what is signed and how it is written, as the config said it. Plain data: like
 * all of a destination they travel between processes.
 */

export type HashName = "sha1" | "sha256" | "sha384" | "sha512";

/** How the text of a shared key becomes its bytes. */
export interface SharedKeySpec {
  readonly encoding: "text" | "hex" | "base64";
  /** Cut off the beginning of the text where it stands there, such as `whsec_`; "" for none. */
  readonly prefix: string;
}

/** What a template takes from the request or from the moment. */
export type SignedPart =
  | { readonly of: "method" | "path" | "query" | "target" | "authority" | "body" }
  | { readonly of: "timestamp" | "nonce" | "key_id" | "signature" }
  /** Every line of the field, joined by a comma and a blank; nothing where there is none. */
  | { readonly of: "header"; readonly name: string }
  | { readonly of: "body_digest"; readonly hash: HashName; readonly encoding: "hex" | "base64" };

/** A text, or what stands in for it in each request. */
export type TemplatePiece = string | SignedPart;

export interface HmacField {
  /** As it is spelled on the wire. */
  readonly name: string;
  readonly value: readonly TemplatePiece[];
}

export interface HmacSpec {
  readonly as: "hmac";
  readonly hash: HashName;
  readonly key: SharedKeySpec;
  /** The parts with their separators between them. */
  readonly signed: readonly TemplatePiece[];
  readonly output: "hex" | "base64";
  readonly timestamp: "seconds" | "milliseconds" | "rfc3339" | "http_date";
  readonly nonce: "hex" | "base64" | "uuid";
  /** Those without the signature first, which may be signed. */
  readonly fields: readonly HmacField[];
  /** How much of a body is held for it. */
  readonly bodyBytes: number;
}

/** Where a credential stands in a body: by the tokens of a JSON pointer (RFC 6901), or under the name of a form field. */
export type BodyPlace =
  | { readonly in: "json"; readonly pointer: readonly string[] }
  | { readonly in: "form"; readonly name: string };

export interface BodySpec {
  readonly as: "body";
  readonly place: BodyPlace;
  /** `{token}` is where the secret goes. */
  readonly format: string;
  readonly bodyBytes: number;
}

/** RFC 9421 §3.3. */
export type SignatureAlgorithm =
  | "hmac-sha256"
  | "ed25519"
  | "ecdsa-p256-sha256"
  | "ecdsa-p384-sha384"
  | "rsa-pss-sha512"
  | "rsa-v1_5-sha256";

/** RFC 9421 §2: what a signature covers. */
export interface SignatureComponent {
  /** Lower-case field name, or a derived component such as `@method`. */
  readonly name: string;
  /** `;name="x"` of `@query-param`, percent-encoded; else `null`. */
  readonly parameter: string | null;
  /** `;key="x"`: a member of a dictionary field; else `null`. */
  readonly key: string | null;
  /** Covered only where the request has it. */
  readonly optional: boolean;
}

export type SignatureParameter = "created" | "expires" | "nonce" | "alg" | "keyid" | "tag";

export interface MessageSignatureSpec {
  readonly as: "message_signature";
  readonly label: string;
  readonly algorithm: SignatureAlgorithm;
  /** For `hmac-sha256`. */
  readonly key: SharedKeySpec;
  readonly components: readonly SignatureComponent[];
  /** In the order in which they are written. */
  readonly parameters: readonly SignatureParameter[];
  /** What `expires` adds to `created`, `s`. */
  readonly expiresSeconds: number;
  readonly tag: string | null;
  /** RFC 9530 algorithm of the `Content-Digest` that the edge writes where it is covered. */
  readonly digest: "sha-256" | "sha-512";
  /** Fixed fields that are written before it is signed, such as `Signature-Agent`. */
  readonly fields: readonly { readonly name: string; readonly value: string }[];
  readonly bodyBytes: number;
}
