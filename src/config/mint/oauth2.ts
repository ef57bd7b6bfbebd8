import { z } from "zod";
import type { CredentialKind } from "../../core/credential.ts";
import { type DpopBinding, type OAuth2Client, type OAuth2Target, SIGNING_ALGORITHMS } from "../../core/mint.ts";
import { boundedText } from "../primitives.ts";
import { type RawSource, sourceSchema } from "../source-schema.ts";
import type { MintContext } from "./mint-config.ts";

/** What the OAuth 2.0 minters say alike: the client, and what a token is to be good for. */

/** RFC 6749 §3.3: scope tokens, each without blanks and quotes. */
const scopeText = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,512}$/, "write one scope an entry, without blanks");
const targetText = z.string().regex(/^[!-~]{1,512}$/, "write printable ASCII characters without blanks");
/** RFC 8707 §2: an absolute URI without a fragment. */
const resourceText = targetText.regex(/^[a-z][a-z0-9+.-]*:[^#]+$/, "write an absolute URI without a fragment");

export const targetKeys = {
  scopes: z
    .array(scopeText)
    .max(100)
    .default([])
    .describe("Scopes that are asked for, and that a destination may narrow."),
  audiences: z
    .array(targetText)
    .max(20)
    .default([])
    .describe("`audience` of the token request, where the issuer knows it."),
  resources: z.array(resourceText).max(20).default([]).describe("`resource` of the token request (RFC 8707)."),
};

export function targetOf(raw: {
  readonly scopes: readonly string[];
  readonly audiences: readonly string[];
  readonly resources: readonly string[];
}): OAuth2Target {
  const list = (texts: readonly string[]): readonly string[] => Object.freeze([...new Set(texts)]);
  return { scopes: list(raw.scopes), audiences: list(raw.audiences), resources: list(raw.resources) };
}

export const dpopKeys = {
  dpop: z
    .strictObject({
      key: sourceSchema
        .optional()
        .describe("Where the key is read, as PEM or JWK; left out: custody makes one that ends with its process."),
    })
    .optional()
    .describe(
      "Tokens are asked for bound to a key (RFC 9449), and are leased as kind `dpop`; left out: bearer tokens.",
    ),
};

interface RawDpop {
  readonly dpop?: { readonly key?: RawSource | undefined } | undefined;
}

export function dpopOf({ dpop }: RawDpop, { source }: MintContext): DpopBinding | null {
  if (dpop === undefined) return null;
  return Object.freeze({ key: dpop.key === undefined ? null : source(dpop.key) });
}

export function kindOf({ dpop }: RawDpop): CredentialKind {
  return dpop === undefined ? "token" : "dpop";
}

export const algorithmSchema = z.enum(SIGNING_ALGORITHMS);

const clientKeys = {
  id: z
    .string()
    .regex(/^[ -~]{1,512}$/, "write printable ASCII characters")
    .describe("Client id at the issuer."),
  auth: z
    .enum(["client_secret_basic", "client_secret_post", "private_key_jwt", "tls", "none"])
    .default("client_secret_basic")
    .describe(
      "How the client proves itself: a secret in the header or in the form, a signed assertion, a TLS client certificate (PEM with its key), or not at all.",
    ),
  algorithm: algorithmSchema.optional().describe("Of `private_key_jwt`; left out: ES256."),
  key_id: boundedText(512).optional().describe("`kid` of `private_key_jwt`."),
  audience: boundedText(2000).optional().describe("`aud` of `private_key_jwt`; left out: the URL of the endpoint."),
};

/** A client whose secret or key is the root of the entry. */
export const rootClientSchema = z.strictObject(clientKeys);

/** A client whose secret or key stands beside the root. */
export const besideClientSchema = z.strictObject({
  ...clientKeys,
  secret: sourceSchema.optional().describe("Where its secret or private key is read, as `source` of a credential."),
});

type RawClient = z.output<typeof besideClientSchema> | z.output<typeof rootClientSchema>;

/** @param isRoot the root of the entry is what the client proves itself with */
export function clientOf(raw: RawClient, isRoot: boolean, { path, report, source }: MintContext): OAuth2Client {
  const here = [...path, "client"];
  const { id, auth, algorithm, key_id: keyId, audience } = raw;
  const isSigned = auth === "private_key_jwt";
  for (const key of ["algorithm", "key_id", "audience"] as const)
    if (!isSigned && raw[key] !== undefined)
      report.add([...here, key], `goes with auth: private_key_jwt: leave it out`, true);
  const secret = "secret" in raw && raw.secret !== undefined ? source(raw.secret) : null;
  if (auth === "none" && isRoot)
    report.add([...here, "auth"], '"none": the root would prove nothing: write another one');
  if (auth === "none" && secret !== null)
    report.add([...here, "secret"], "auth: none proves nothing: leave it out", true);
  if (auth !== "none" && !isRoot && secret === null)
    report.add(
      [...here, "secret"],
      "missing: say where it is read, such as secret: { file: ... }, or write auth: none",
      true,
    );
  return Object.freeze({
    id,
    auth,
    secret,
    algorithm: algorithm ?? "ES256",
    keyId: keyId ?? null,
    audience: audience ?? null,
  });
}
