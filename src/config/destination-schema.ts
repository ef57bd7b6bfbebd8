import { z } from "zod";
import { attachSchema } from "./attach/table.ts";
import { syntheticSchema } from "./synthetic.ts";
import { narrowSchema } from "./narrow.ts";
import { boundedText, nameText, parentName, pathText } from "./primitives.ts";

/** The schema of one `destinations:` entry: shape only. What the texts mean is checked in `destination.ts`. */

const patterns = z.array(boundedText(1000)).min(1).max(1000);

const allowSchema = z.strictObject({
  methods: z
    .array(boundedText(32))
    .min(1)
    .max(64)
    .describe('Upper-case method tokens, or `["*"]` for every method but CONNECT and TRACE.'),
  paths: z
    .array(boundedText(2000))
    .min(1)
    .max(10_000)
    .describe("Path patterns: `*` stands for (part of) one segment, `**` for any number of segments."),
  query: z
    .record(boundedText(200), patterns)
    .optional()
    .describe("Query key to value patterns: a key that is present must match one of them."),
  headers: z
    .record(boundedText(200), patterns)
    .optional()
    .describe("Field name to value patterns: the field must be present and each of its lines match one."),
});

/** `h3` is near to `h1` in letters alone. */
function httpAdvice({ input }: { readonly input?: unknown }): string | undefined {
  return input === "h3" ? 'write one of "auto", "h1", "h2", "h2c": HTTP/3 is not spoken' : undefined;
}

export const destinationSchema = z.strictObject({
  name: nameText.describe("Name in logs, metrics and audit records; unique."),
  host: boundedText(300).describe(
    "`api.example.com`, `*.example.com` (below it, never the apex), an IP address or a CIDR block.",
  ),
  port: z.int().min(1).max(65_535).optional().describe("Port; left out: 443 for https, 80 for http."),
  scheme: z.enum(["http", "https"]).default("https").describe("How the upstream is spoken to."),
  tls: z
    .enum(["inspect", "passthrough"])
    .default("inspect")
    .describe(
      "`inspect` ends TLS at the edge; `passthrough` is a byte-exact tunnel, without rules and without a credential.",
    ),
  http: z
    .enum(["auto", "h1", "h2", "h2c"], { error: httpAdvice })
    .default("auto")
    .describe(
      "HTTP version towards the upstream: `auto` takes HTTP/1.1 and changes to HTTP/2 where the upstream speaks nothing else or the " +
        "call needs it (gRPC); `h1` and `h2` speak nothing else; `h2c` is HTTP/2 without TLS, for `scheme: http`.",
    ),
  mode: z
    .enum(["enforce", "report"])
    .default("enforce")
    .describe("`report` lets through what would be denied, without any credential, and counts it."),
  allow: z
    .array(allowSchema)
    .max(10_000)
    .optional()
    .describe("What may be called, first match wins; at least one entry unless `tls: passthrough`."),
  credential: boundedText(200)
    .optional()
    .describe("Credential that is attached: `custody/name`, or `name` where the custody is `main` or the only one."),
  narrow: narrowSchema
    .optional()
    .describe(
      "What its leases are narrowed to here, within the lists of its `mint`, such as `{ scopes: [read] }`; goes with `credential`.",
    ),
  attach: z
    .union([attachSchema, z.array(attachSchema).min(1).max(16)])
    .optional()
    .describe("How the credential is attached: one way or a list of them; goes with `credential`."),
  synthetic: syntheticSchema
    .optional()
    .describe(
      "The edge answers itself, with a stand-in that is worthless elsewhere, and sends nothing: token endpoints for programs that insist on one.",
    ),
  drop_headers: z
    .array(boundedText(200))
    .max(256)
    .default([])
    .describe("Guest fields that never go to this destination, beside the injected ones."),
  addresses: z
    .array(boundedText(64))
    .max(1000)
    .default([])
    .describe("Address ranges that this destination may use although their class is denied, such as `10.1.0.0/16`."),
  parent: parentName
    .optional()
    .describe("Parent proxy of `upstream.parents`, or `direct` for none; left out: what `upstream.parent` says."),
  trust: pathText.optional().describe("PEM file of roots that replace all others for this destination."),
  plain_http_credential: z
    .literal("accept")
    .optional()
    .describe("Spelled out where a credential is to travel over `scheme: http`, readable on the way."),
});

export type RawDestination = z.output<typeof destinationSchema>;
export type RawAllow = z.output<typeof allowSchema>;
