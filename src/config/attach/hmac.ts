import { z } from "zod";
import type { HmacField, HmacSpec, TemplatePiece } from "../../core/signing.ts";
import { fieldNameFault } from "../field-name.ts";
import { boundedText } from "../primitives.ts";
import { type Path, quoted } from "../problem.ts";
import type { Report } from "../report.ts";
import { attachConfig } from "./attach-config.ts";
import { PRESETS } from "./hmac-presets.ts";
import { bodyBytes, keyEncoding, keyPrefix, onlySigningKey } from "./signing-kinds.ts";
import { headerTemplate, signedTemplate } from "./template.ts";

const schema = z
  .strictObject({
    as: z.literal("hmac"),
    preset: z
      .enum(["github", "slack", "standard_webhooks", "stripe"])
      .optional()
      .describe("A scheme that is known by name; what is written beside it takes the place of what it says."),
    algorithm: z
      .enum(["sha1", "sha256", "sha384", "sha512"])
      .optional()
      .describe("Hash of the HMAC; left out: `sha256`."),
    key_encoding: keyEncoding.optional(),
    key_prefix: keyPrefix.optional(),
    sign: z
      .array(boundedText(1000))
      .min(1)
      .max(32)
      .optional()
      .describe(
        "What is signed, part by part: text, and `{method}`, `{target}`, `{path}`, `{query}`, `{authority}`, `{header:NAME}`, `{timestamp}`, `{nonce}`, `{key_id}`, `{body}`, `{body_sha256:hex}` or `:base64`.",
      ),
    separator: z.string().max(16).optional().describe("What stands between two parts; left out: nothing."),
    signature_encoding: z.enum(["hex", "base64"]).optional().describe("How the signature is written; left out: `hex`."),
    timestamp_format: z
      .enum(["seconds", "milliseconds", "rfc3339", "http_date"])
      .optional()
      .describe("How `{timestamp}` is written; left out: `seconds` since 1970."),
    nonce_format: z
      .enum(["hex", "base64", "uuid"])
      .optional()
      .describe("How `{nonce}`, 16 random bytes, is written; left out: `hex`."),
    headers: z
      .record(boundedText(200), boundedText(1000))
      .optional()
      .describe(
        "Field name to value: `{signature}` in at least one of them, and `{timestamp}`, `{nonce}`, `{key_id}`, `{body_sha256:base64}`.",
      ),
    body_bytes: bodyBytes,
  })
  .describe("The request is signed with a shared key, in headers of its own.");

export const hmac = attachConfig({
  schema,
  spec(raw, _entry, path, report) {
    const before = report.findings.length;
    const preset = raw.preset === undefined ? {} : PRESETS[raw.preset];
    const { sign, separator, headers, ...rest } = { ...preset, ...defined(raw) };
    if (sign === undefined) report.add([...path, "sign"], 'missing: say what is signed, such as ["{body}"]', true);
    if (headers === undefined)
      report.add(
        [...path, "headers"],
        'missing: say where the signature goes, such as { X-Signature: "{signature}" }',
        true,
      );
    if (sign === undefined || headers === undefined) return null;
    const fields = headerFields(headers, [...path, "headers"], report);
    const signed = joined(sign, separator ?? "", path, report);
    for (const name of headersIn(signed)) {
      if (fields.some((field) => field.name.toLowerCase() === name && hasSignature(field.value)))
        report.add([...path, "sign"], `${quoted(`{header:${name}}`)}: holds the signature itself: leave it out`);
    }
    if (report.findings.length > before) return null;
    return {
      as: "hmac",
      hash: rest.algorithm ?? "sha256",
      key: Object.freeze({ encoding: rest.key_encoding ?? "text", prefix: rest.key_prefix ?? "" }),
      signed: Object.freeze(signed),
      output: rest.signature_encoding ?? "hex",
      timestamp: rest.timestamp_format ?? "seconds",
      nonce: rest.nonce_format ?? "hex",
      fields: Object.freeze(fields),
      bodyBytes: raw.body_bytes,
    } satisfies HmacSpec;
  },
  fit(spec, entry, needs) {
    const all = [spec.signed, ...spec.fields.map(({ value }) => value)].flat();
    onlySigningKey(entry, has(all, "key_id"), needs);
  },
  places: (spec) => spec.fields.map(({ name }) => `header ${name.toLowerCase()}`),
  signs: (spec) => headersIn(spec.signed).map((name) => `header ${name}`),
});

type Raw = z.output<typeof schema>;

/** Without what was left out, which a preset says. */
function defined(raw: Raw): Partial<Raw> {
  return Object.fromEntries(Object.entries(raw).filter(([, value]) => value !== undefined));
}

function joined(sign: readonly string[], separator: string, path: Path, report: Report): TemplatePiece[] {
  if (!/^[\n\t -~]*$/.test(separator))
    report.add([...path, "separator"], "write printable ASCII characters and line breaks");
  return sign.flatMap((text, i) => {
    const pieces = signedTemplate(text, [...path, "sign", i], report);
    return i === 0 || separator === "" ? pieces : [separator, ...pieces];
  });
}

function headerFields(headers: Readonly<Record<string, string>>, path: Path, report: Report): HmacField[] {
  const seen = new Set<string>();
  const fields = Object.entries(headers).map(([name, text]): HmacField => {
    const here = [...path, name];
    const fault = name.toLowerCase() === "cookie" ? "cookies cannot be signatures: write another field" : null;
    const told = fault ?? fieldNameFault(name);
    if (told !== null) report.add(here, told, true);
    const folded = name.toLowerCase().replaceAll("_", "-");
    if (seen.has(folded)) report.add(here, `${quoted(name)}: written twice: keep one`, true);
    seen.add(folded);
    return Object.freeze({ name, value: Object.freeze(headerTemplate(text, here, report)) });
  });
  if (!fields.some(({ value }) => hasSignature(value)))
    report.add(path, "no place for the signature: write {signature} into one of them");
  return fields;
}

function hasSignature(pieces: readonly TemplatePiece[]): boolean {
  return has(pieces, "signature");
}

function has(pieces: readonly TemplatePiece[], of: string): boolean {
  return pieces.some((piece) => typeof piece !== "string" && piece.of === of);
}

function headersIn(pieces: readonly TemplatePiece[]): string[] {
  return pieces.flatMap((piece) => (typeof piece !== "string" && piece.of === "header" ? [piece.name] : []));
}
