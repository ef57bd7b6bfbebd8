import type { LeaseRequest } from "../../core/custody.ts";
import { zeroMaterial } from "../../core/material.ts";
import type { AwsAssumeRoleMint, AwsWebIdentityMint } from "../../core/mint-cloud.ts";
import { type FormField, Outbound } from "../outbound.ts";
import type { CredentialSource, SourceReading } from "../sources/source.ts";
import { awsKeys } from "./aws-keys.ts";
import { identityFields, roleSessionName } from "./aws-session.ts";
import { temporaryKeys } from "./aws-sts-answer.ts";
import { signedPost } from "./aws-sts-signing.ts";
import { endOfWallTime } from "./life.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minted, Minter } from "./minter.ts";
import { narrowedList } from "./narrowed-list.ts";

const FORM = "application/x-www-form-urlencoded; charset=utf-8";

/**
 * Temporary keys of a role, for one session, narrowed by session policies. The root is an access key, or with a web identity
 * the token of somebody whom AWS trusts. AWS takes nothing back: the keys end by themselves, after 15 minutes unless the entry
 * says longer.
 */
export class AwsStsMinter implements Minter {
  readonly timeoutMs: number;
  readonly #mint: AwsAssumeRoleMint | AwsWebIdentityMint;
  readonly #entry: { readonly name: string; readonly keyId: string | null };
  readonly #source: CredentialSource;
  readonly #tools: MintTools;
  readonly #outbound: Outbound;

  constructor(
    mint: AwsAssumeRoleMint | AwsWebIdentityMint,
    entry: { readonly name: string; readonly keyId: string | null },
    source: CredentialSource,
    tools: MintTools,
  ) {
    this.#mint = mint;
    this.#entry = entry;
    this.#source = source;
    this.#tools = tools;
    this.#outbound = new Outbound(mint.endpoint, this.#where);
    this.timeoutMs = source.timeoutMs + mint.endpoint.timeoutMs;
  }

  async mint({ narrow, session }: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted> {
    const { role, durationSeconds, policy, policyArns } = this.#mint;
    const { clock, where } = this.#tools;
    const arns = narrowedList("policy_arns", policyArns, narrow);
    const fields: readonly FormField[] = [
      ["Action", this.#action],
      ["Version", "2011-06-15"],
      ["RoleArn", role],
      ["RoleSessionName", roleSessionName(session)],
      ["DurationSeconds", String(durationSeconds)],
      ...(policy === null ? [] : [["Policy", policy] as const]),
      ...arns.map((arn, i) => [`PolicyArns.member.${i + 1}.arn`, arn] as const),
      ...(this.#mint.as === "aws_sts_web_identity" ? [] : assumeRoleFields(this.#mint, session, where)),
    ];
    const reading = await this.#source.read(fresh);
    const startedAtMs = clock.monotonicMs();
    const { headers, body } = this.#request(fields, reading);
    const answer = await this.#outbound.call({ method: "POST", headers, body, readsText: true }, signal);
    const { accessKeyId, secretAccessKey, sessionToken, expiresWallMs } = temporaryKeys(
      answer,
      this.#action,
      this.#where,
    );
    return {
      material: { kind: "aws", accessKeyId, secretAccessKey, sessionToken },
      expiresAtMs: endOfWallTime(expiresWallMs, answer, clock, startedAtMs, durationSeconds * 1000),
      release: null,
    };
  }

  close(): void {
    this.#outbound.close();
  }

  get #where(): string {
    return `${this.#tools.where}: STS`;
  }

  get #action(): string {
    return this.#mint.as === "aws_sts_web_identity" ? "AssumeRoleWithWebIdentity" : "AssumeRole";
  }

  /** Owns the reading. @throws SourceError when the root is none */
  #request(fields: readonly FormField[], reading: SourceReading): { headers: Record<string, string>; body: string } {
    const type = { "content-type": FORM, accept: "application/json" };
    if (this.#mint.as === "aws_sts_web_identity") {
      const body = formOf([...fields, ["WebIdentityToken", reading.secret.reveal()]]);
      reading.secret.zero();
      return { headers: type, body };
    }
    const { material } = awsKeys(this.#entry.name, this.#entry.keyId, reading, this.#tools.clock);
    try {
      if (material.kind !== "aws") throw new TypeError("AWS keys are of kind aws");
      const { region, endpoint } = this.#mint;
      const { accessKeyId, secretAccessKey, sessionToken } = material;
      const body = formOf(fields);
      const headers = signedPost(
        { host: new URL(endpoint.url).host, region, service: "sts", headers: type, body },
        {
          accessKeyId,
          secretAccessKey: secretAccessKey.reveal(),
          sessionToken: sessionToken === null ? null : sessionToken.reveal(),
        },
        this.#tools.clock.wallMs(),
      );
      return { headers, body };
    } finally {
      zeroMaterial(material);
    }
  }
}

function assumeRoleFields(
  mint: AwsAssumeRoleMint,
  session: LeaseRequest["session"],
  where: string,
): readonly FormField[] {
  const { externalId } = mint;
  return [
    ...(externalId === null ? [] : [["ExternalId", externalId] as const]),
    ...identityFields(mint, session, where),
  ];
}

function formOf(fields: readonly FormField[]): string {
  return new URLSearchParams(fields.map(([name, value]) => [name, value])).toString();
}
