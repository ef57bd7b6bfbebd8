import { z } from "zod";
import { CLAIM_NAMES, CLAIM_PLACE, type JwtTemplate, SIGNING_ALGORITHMS } from "../../core/mint.ts";
import { boundedText, whole } from "../primitives.ts";
import { type Path, quoted } from "../problem.ts";
import type { Report } from "../report.ts";

/** What custody says in a JWT of its own; the same keys wherever one is signed. */

const claimValue = z.union([boundedText(1000), z.number(), z.boolean(), z.array(boundedText(1000)).min(1).max(100)]);

export const jwtKeys = {
  algorithm: z.enum(SIGNING_ALGORITHMS).default("ES256").describe("What the key signs with."),
  key_id: boundedText(512).optional().describe("`kid` of the header."),
  ttl_seconds: whole(10, 900, 300, "Life of the JWT, `s`."),
  claims: z
    .record(z.string().regex(/^[\x21-\x7e]{1,128}$/, "write printable ASCII characters without blanks"), claimValue)
    .default({})
    .describe("Further claims; `{session}`, `{tenant}`, `{workspace}` and `{subject}` stand for those of the session."),
};

interface RawJwt {
  readonly issuer?: string | undefined;
  readonly audiences: readonly string[];
  readonly algorithm: JwtTemplate["algorithm"];
  readonly key_id?: string | undefined;
  readonly ttl_seconds: number;
  readonly claims: Readonly<Record<string, string | number | boolean | readonly string[]>>;
}

/** Claims that custody writes by itself (RFC 7519 §4.1). */
const OWN = new Set(["iss", "aud", "exp", "iat", "nbf", "jti"]);

/**
 * @param path where the keys stand
 * @param taken claims that the minter writes by itself as well
 */
export function jwtTemplate(raw: RawJwt, path: Path, report: Report, taken: readonly string[] = []): JwtTemplate {
  for (const [name, value] of Object.entries(raw.claims)) {
    const at = [...path, "claims", name];
    if (OWN.has(name) || taken.includes(name))
      report.add(at, `${name} is written by the minter itself: leave it out`, true);
    for (const text of [value].flat()) if (typeof text === "string") noStrangerIn(text, at, report);
  }
  return Object.freeze({
    issuer: raw.issuer ?? null,
    audiences: Object.freeze([...new Set(raw.audiences)]),
    algorithm: raw.algorithm,
    keyId: raw.key_id ?? null,
    ttlSeconds: raw.ttl_seconds,
    claims: Object.freeze({ ...raw.claims }),
  });
}

/** Every place in a text must stand for something. */
export function noStrangerIn(text: string, at: Path, report: Report): void {
  const stranger = strangerIn(text);
  if (stranger === null) return;
  report.add(at, `{${stranger}}: nothing stands for it: write ${CLAIM_NAMES.map((one) => `{${one}}`).join(", ")}`);
}

function strangerIn(text: string): string | null {
  const known: readonly string[] = CLAIM_NAMES;
  for (const [, name] of text.matchAll(CLAIM_PLACE))
    if (name !== undefined && !known.includes(name)) return quotedName(name);
  return null;
}

/** What is no name of ours is shown short. */
function quotedName(name: string): string {
  return quoted(name.slice(0, 40)).slice(1, -1);
}
