import { jsonObject } from "../../core/json-text.ts";
import { z } from "zod";
import type { AwsAssumeRoleMint } from "../../core/mint-cloud.ts";
import { boundedText, whole } from "../primitives.ts";
import { endpointOf, endpointSchema, type RawEndpoint } from "./endpoint.ts";
import { noStrangerIn } from "./jwt.ts";
import { mintConfig, type MintContext } from "./mint-config.ts";

/** AWS takes no more of a session policy, characters. */
const MOST_POLICY_CHARS = 2048;
const ARN = /^arn:aws[a-z-]*:iam::(?:\d{12}|aws):/;

const regionText = z
  .string()
  .regex(/^[a-z]{2,4}(?:-[a-z]{2,12}){1,3}-\d{1,2}$/, "write a region such as eu-central-1: STS is asked in it");
const arnText = (what: string, example: string) =>
  z
    .string()
    .max(2048)
    .regex(new RegExp(`${ARN.source}${what}/[\\w+=,.@/-]+$`), `write an ARN such as ${example}`);

const roleKeys = {
  region: regionText.describe("Region whose STS is asked."),
  sts: endpointSchema.optional().describe("Another endpoint of STS, such as one of a VPC; left out: that of `region`."),
  role: arnText("role", "arn:aws:iam::123456789012:role/agents").describe("ARN of the role."),
  duration_seconds: whole(900, 43_200, 900, "Life of the keys, `s`; leases of them are shorter all the same."),
  policy: boundedText(16_384)
    .optional()
    .describe(
      "Session policy, as JSON text: the keys can do what the role and a session policy allow; left out, as well as `policy_arns`: all that the role can.",
    ),
  policy_arns: z
    .array(arnText("policy", "arn:aws:iam::aws:policy/ReadOnlyAccess"))
    .max(10)
    .default([])
    .describe("Managed session policies, which a destination may narrow."),
};

const tagText = z
  .string()
  .regex(/^[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,128}$/u, "write up to 128 characters that AWS takes in the key of a tag");

export const assumeRole = mintConfig({
  schema: z
    .strictObject({
      as: z.literal("aws_sts_assume_role"),
      ...roleKeys,
      external_id: z
        .string()
        .regex(/^[\w+=,.@:/-]{2,1224}$/, "write what the trust policy of the role asks for as sts:ExternalId")
        .optional()
        .describe("What the owner of the role asks for."),
      source_identity: boundedText(256)
        .optional()
        .describe("Such as `{subject}`: stays with the session whatever role it takes on."),
      tags: z
        .record(tagText, boundedText(256))
        .default({})
        .describe('Session tags, such as `tenant: "{tenant}"`, for policies that ask for them.'),
    })
    .describe("Temporary keys of an AWS role, for one session; the root is an access key."),
  kind: () => "aws",
  spec(raw, context) {
    const { path, report } = context;
    const { source_identity: sourceIdentity = null } = raw;
    if (sourceIdentity !== null) noStrangerIn(sourceIdentity, [...path, "source_identity"], report);
    const tags = Object.entries(raw.tags);
    if (tags.length > 50) report.add([...path, "tags"], "more than 50: AWS takes no more: leave some out");
    for (const [key, value] of tags) noStrangerIn(value, [...path, "tags", key], report);
    return {
      as: "aws_sts_assume_role",
      region: raw.region,
      externalId: raw.external_id ?? null,
      sourceIdentity,
      tags: Object.freeze({ ...raw.tags }),
      ...roleOf(raw, context),
    };
  },
});

export const webIdentity = mintConfig({
  schema: z
    .strictObject({ as: z.literal("aws_sts_web_identity"), ...roleKeys })
    .describe("Temporary keys of an AWS role; the root is a token of an identity provider that the account trusts."),
  kind: () => "aws",
  spec: (raw, context) => ({ as: "aws_sts_web_identity", ...roleOf(raw, context) }),
});

interface RawRole {
  readonly region: string;
  readonly sts?: RawEndpoint | undefined;
  readonly role: string;
  readonly duration_seconds: number;
  readonly policy?: string | undefined;
  readonly policy_arns: readonly string[];
}

type Role = Pick<AwsAssumeRoleMint, "endpoint" | "role" | "durationSeconds" | "policy" | "policyArns">;

function roleOf(raw: RawRole, context: MintContext): Role {
  const { region, sts = { url: stsUrl(region), timeout_ms: 5000 } } = raw;
  const endpoint = endpointOf(sts, "sts", context);
  if (URL.parse(endpoint.url)?.pathname !== "/")
    context.report.add([...context.path, "sts", "url"], "has a path, and STS has none: leave it out");
  return {
    endpoint,
    role: raw.role,
    durationSeconds: raw.duration_seconds,
    policy: raw.policy === undefined ? null : policyOf(raw.policy, context),
    policyArns: Object.freeze([...new Set(raw.policy_arns)]),
  };
}

function stsUrl(region: string): string {
  return `https://sts.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}/`;
}

/** Without the blanks that a person writes it with: AWS counts them. */
function policyOf(text: string, { path, report }: MintContext): string {
  const policy = compact(text);
  const at = [...path, "policy"];
  if (policy === null) report.add(at, "is no JSON object: write a policy as AWS has it, as one text");
  else if (policy.length > MOST_POLICY_CHARS)
    report.add(at, `${policy.length} characters: AWS takes ${MOST_POLICY_CHARS}: shorten it, or use policy_arns`);
  return policy ?? "";
}

function compact(text: string): string | null {
  const json = jsonObject(text);
  return json === null ? null : JSON.stringify(json);
}
