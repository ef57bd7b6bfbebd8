import { z } from "zod";
import type { MessageSignatureSpec, SignatureComponent } from "../../core/signing.ts";
import { fieldNameFault } from "../field-name.ts";
import { boundedText, whole } from "../primitives.ts";
import { type Path, quoted } from "../problem.ts";
import type { Report } from "../report.ts";
import { attachConfig } from "./attach-config.ts";
import { bodyBytes, keyEncoding, keyPrefix, onlySigningKey } from "./signing-kinds.ts";

/** RFC 8941 §3.1.2, which labels and dictionary keys are. */
const KEY = /^[a-z*][a-z0-9_.*-]*$/;

const schema = z
  .strictObject({
    as: z.literal("message_signature"),
    algorithm: z
      .enum(["hmac-sha256", "ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512", "rsa-v1_5-sha256"])
      .describe("Algorithm; the key of the credential has to be one of it."),
    components: z
      .array(boundedText(300))
      .min(1)
      .max(64)
      .describe(
        "What is covered: `@method`, `@target-uri`, `@authority`, `@scheme`, `@request-target`, `@path`, `@query`, `@query-param;name=KEY`, field names, `content-digest`. A `?` behind it: only where the request has it.",
      ),
    parameters: z
      .array(z.enum(["created", "expires", "nonce", "alg", "keyid", "tag"]))
      .max(6)
      .default(["created", "keyid"])
      .describe("Parameters of the signature, in their order."),
    expires_seconds: whole(1, 3600, 60, "How long after `created` it `expires`, `s`."),
    tag: boundedText(200)
      .regex(/^[ -~]+$/, "write printable ASCII characters")
      .optional()
      .describe("Text of `tag`, such as `web-bot-auth`."),
    label: boundedText(64)
      .regex(KEY, "write small letters, digits, dashes or underscores, a letter first")
      .default("sig")
      .describe("Name of the signature in its fields."),
    digest: z.enum(["sha-256", "sha-512"]).default("sha-256").describe("Algorithm of `content-digest`."),
    headers: z
      .record(boundedText(200), boundedText(1000))
      .default({})
      .describe(
        "Fields with a fixed value that are written ahead of it and may be covered, such as `Signature-Agent`.",
      ),
    key_encoding: keyEncoding.default("text"),
    key_prefix: keyPrefix.optional(),
    body_bytes: bodyBytes,
  })
  .describe("The request is signed by RFC 9421, HTTP message signatures.");

export const messageSignature = attachConfig({
  schema,
  spec(raw, _entry, path, report) {
    const before = report.findings.length;
    const components = componentsOf(raw.components, [...path, "components"], report);
    for (const [i, name] of raw.parameters.entries())
      if (raw.parameters.indexOf(name) < i)
        report.add([...path, "parameters", i], `${quoted(name)}: written twice: keep one`);
    if ((raw.tag === undefined) === raw.parameters.includes("tag"))
      report.add([...path, "tag"], "write `tag:` and name it among `parameters:`, or neither", raw.tag !== undefined);
    const fields = Object.entries(raw.headers).map(([name, value]) => {
      const fault = headerFault(name, value);
      if (fault !== null) report.add([...path, "headers", name], fault);
      return Object.freeze({ name, value });
    });
    if (report.findings.length > before) return null;
    return {
      as: "message_signature",
      label: raw.label,
      algorithm: raw.algorithm,
      key: Object.freeze({ encoding: raw.key_encoding, prefix: raw.key_prefix ?? "" }),
      components: Object.freeze(components),
      parameters: Object.freeze(raw.parameters),
      expiresSeconds: raw.expires_seconds,
      tag: raw.tag ?? null,
      digest: raw.digest,
      fields: Object.freeze(fields),
      bodyBytes: raw.body_bytes,
    } satisfies MessageSignatureSpec;
  },
  fit: (spec, entry, needs) => onlySigningKey(entry, spec.parameters.includes("keyid"), needs),
  places: (spec) => [
    ...OWN.map((name) => `header ${name}`),
    ...spec.fields.map(({ name }) => `header ${name.toLowerCase()}`),
  ],
  signs: (spec) => spec.components.map(({ name }) => `header ${name}`),
});

/** What the edge alone says. */
const OWN = ["signature", "signature-input", "content-digest"];

const DERIVED = new Set(["@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query"]);

function componentsOf(texts: readonly string[], path: Path, report: Report): SignatureComponent[] {
  const seen = new Set<string>();
  return texts.flatMap((text, i) => {
    const component = componentOf(text);
    const fault =
      typeof component === "string"
        ? component
        : seen.has(text.replace(/\?$/, ""))
          ? `${quoted(text)}: written twice: keep one`
          : null;
    seen.add(text.replace(/\?$/, ""));
    if (fault === null) return [Object.freeze(component as SignatureComponent)];
    report.add([...path, i], fault);
    return [];
  });
}

/** @returns the component, or what is wrong with it */
function componentOf(text: string): SignatureComponent | string {
  const match = /^([^;?]+)(?:;(name|key)=([^;?]+))?(\?)?$/.exec(text);
  const [, spelled = "", kind, value = "", mark] = match ?? [];
  const name = spelled.toLowerCase();
  const optional = mark !== undefined;
  if (kind === undefined && DERIVED.has(name)) {
    if (optional) return `${quoted(text)}: every request has it: leave the "?" out`;
    return { name, parameter: null, key: null, optional };
  }
  if (name === "@query-param" && kind === "name" && /^[A-Za-z0-9._-]+$/.test(value))
    return { name, parameter: value, key: null, optional };
  if (name.startsWith("@") || match === null || kind === "name")
    return (
      `${quoted(text)}: a request has no such component: write a field name, @method, @target-uri, @authority, @scheme, ` +
      "@request-target, @path, @query or @query-param;name=KEY"
    );
  if (name === "host") return `${quoted(text)}: write "@authority"`;
  if (name === "signature" || name === "signature-input" || name === "cookie")
    return `${quoted(text)}: cannot be signed here: leave it out`;
  const fault = name === "content-length" ? null : fieldNameFault(name);
  if (fault !== null) return fault;
  if (kind === "key" && !KEY.test(value))
    return `${quoted(text)}: not a key of a dictionary: write one such as "agent"`;
  return { name, parameter: null, key: kind === "key" ? value : null, optional };
}

function headerFault(name: string, value: string): string | null {
  if (OWN.includes(name.toLowerCase()) || name.toLowerCase() === "cookie")
    return `${quoted(name)}: cannot have a fixed value: write another field`;
  const printable = /^[!-~](?:[ -~]*[!-~])?$/.test(value);
  return fieldNameFault(name) ?? (printable ? null : "write printable ASCII characters, no blank at either end");
}
