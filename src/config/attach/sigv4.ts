import { z } from "zod";
import { boundedText, whole } from "../primitives.ts";
import { quoted } from "../problem.ts";
import { attachConfig } from "./attach-config.ts";

/** The guest holds it, so it must never be a real one: `POSTERN` in it says what it is. */
const STAND_IN = /^\w*POSTERN\w*$|^[\w-]*postern-[\w-]*$/;
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;

export const sigv4 = attachConfig({
  schema: z
    .strictObject({
      as: z.literal("sigv4"),
      region: boundedText(64).describe("Region that is signed for, such as `eu-central-1`."),
      service: boundedText(64).describe(
        "Service that is signed for, as the credential scope names it: `s3`, `dynamodb`, `execute-api`.",
      ),
      stand_in: boundedText(128)
        .default("AKIAPOSTERNSTANDIN00")
        .describe("Harmless access key id that guests sign with; it holds `POSTERN` or `postern-`."),
      unsigned_requests: z
        .enum(["sign", "refuse"])
        .default("sign")
        .describe("What becomes of requests that the guest did not sign."),
      credential_calls: z
        .enum(["refuse", "accept"])
        .default("refuse")
        .describe(
          "Calls whose answer is a credential (`AssumeRole`, `CreateSession`): `accept` hands it to the guest.",
        ),
      copy_sources: z
        .enum(["refuse", "accept"])
        .default("refuse")
        .describe(
          "Copies of S3 (`x-amz-copy-source`), which read an object that the rules of the path do not see: `accept` signs them.",
        ),
      body_bytes: whole(
        0,
        67_108_864,
        1_048_576,
        "Most of a body of which the request names no digest, and of one signed S3 chunk, that is held, bytes.",
      ),
    })
    .describe("AWS Signature Version 4; stands last in a list."),
  spec(raw, _entry, path, report) {
    let ok = true;
    for (const key of ["region", "service"] as const) {
      if (NAME.test(raw[key])) continue;
      const example = key === "region" ? "eu-central-1" : "s3";
      report.add(
        [...path, key],
        `${quoted(raw[key])}: write lower-case letters, digits and dashes, such as "${example}"`,
      );
      ok = false;
    }
    if (raw.stand_in.length < 16 || !STAND_IN.test(raw.stand_in)) {
      // The text is not shown: it may be a real key id that was pasted here.
      report.add(
        [...path, "stand_in"],
        'write 16 to 128 letters, digits or "_" with "POSTERN" inside, or leave it out',
      );
      ok = false;
    }
    if (!ok) return null;
    return {
      as: "sigv4",
      region: raw.region,
      service: raw.service,
      standIn: raw.stand_in,
      unsigned: raw.unsigned_requests,
      credentialCalls: raw.credential_calls,
      copySources: raw.copy_sources,
      bodyBytes: raw.body_bytes,
    };
  },
  fit(_spec, entry, needs) {
    if (entry.kind !== "aws") needs("needs AWS keys: write another `as:` or `kind: aws`");
  },
  places: () => [
    "header authorization",
    "header x-amz-date",
    "header x-amz-security-token",
    "header x-amz-content-sha256",
    "header x-amz-decoded-content-length",
    "header x-amz-trailer",
  ],
});
