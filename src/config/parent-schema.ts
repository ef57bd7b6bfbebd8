import { z } from "zod";
import { basic } from "./attach/basic.ts";
import { bearer } from "./attach/bearer.ts";
import { narrowSchema } from "./narrow.ts";
import { addressText, boundedText, pathText } from "./primitives.ts";

/** The schema of the parent proxies: shape only. What the texts mean is checked in `parent.ts`. */

const ATTACH = "write { as: basic } or { as: bearer }";

export const parentSchema = z.strictObject({
  address: addressText.describe("`host:port`, such as `proxy.corp.example:3128`; the host may be an IP address."),
  tls: z
    .strictObject(
      {
        trust: pathText.optional().describe("PEM file of roots that replace all others for this parent."),
        server_name: boundedText(253)
          .optional()
          .describe("Name in the parent's certificate; left out: the host of `address`."),
      },
      "write {} for the usual roots and name, or leave it out for a parent in the clear",
    )
    .optional()
    .describe("The parent itself is spoken to over TLS; `{}` for the usual roots and name. Left out: in the clear."),
  connect_by: z
    .enum(["address", "name"])
    .default("address")
    .describe(
      "What CONNECT names: `address`, resolved and checked here, or `name`, which the parent resolves and nobody checks.",
    ),
  addresses: z
    .array(boundedText(64))
    .max(1000)
    .default([])
    .describe("Address ranges that the parent may stand in although their class is denied, such as `10.0.0.5`."),
  credential: boundedText(200)
    .optional()
    .describe("Credential that CONNECT carries as `Proxy-Authorization`, leased for the parent's host and port."),
  narrow: narrowSchema
    .optional()
    .describe("What its leases are narrowed to, as at a destination; goes with `credential`."),
  attach: z
    .discriminatedUnion("as", [basic.schema, bearer.schema], ATTACH)
    .optional()
    .describe("How the credential is said: `{ as: basic }` or `{ as: bearer }`; goes with `credential`."),
  plain_http_credential: z
    .literal("accept")
    .optional()
    .describe("Spelled out where the credential is to travel to a parent without `tls`, readable on the way."),
});

/** `direct` is no parent's name. */
export const DIRECT = "direct";

export type RawParent = z.output<typeof parentSchema>;
