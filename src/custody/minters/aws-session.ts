import { createHash } from "node:crypto";
import type { LeaseSession } from "../../core/custody.ts";
import type { AwsAssumeRoleMint } from "../../core/mint-cloud.ts";
import type { FormField } from "../outbound.ts";
import { claimText } from "./jwt-claims.ts";
import { MintFailure } from "./mint-failure.ts";

const MOST_NAME_CHARS = 64;
const HASH_CHARS = 12;

/**
 * RoleSessionName: the session's id, which CloudTrail then shows. What AWS does not take in it becomes a dash, and a hash of
 * tenant and id then keeps two sessions from having one name.
 */
export function roleSessionName({ tenant, id }: LeaseSession): string {
  const plain = id.replaceAll(/[^\w+=,.@-]/g, "-");
  if (plain === id && id.length >= 2 && id.length <= MOST_NAME_CHARS) return id;
  const hash = createHash("sha256")
    .update(JSON.stringify([tenant, id]))
    .digest("hex")
    .slice(0, HASH_CHARS);
  return `${plain.slice(0, MOST_NAME_CHARS - HASH_CHARS - 1)}-${hash}`;
}

/**
 * Who the session is, as AWS's policies may ask: tags and the source identity. What AWS would not take is refused and never
 * mended: a policy might take one tenant for another.
 * @throws MintFailure
 */
export function identityFields(
  { tags, sourceIdentity }: AwsAssumeRoleMint,
  session: LeaseSession,
  where: string,
): readonly FormField[] {
  const identity = sourceIdentity === null ? null : claimText(sourceIdentity, session);
  if (identity !== null && !/^[\w+=,.@-]{2,64}$/.test(identity)) throw unfit(where, "source_identity");
  const pairs = Object.entries(tags).flatMap(([key, template], i): readonly FormField[] => {
    const value = claimText(template, session);
    if (!/^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$/u.test(value)) throw unfit(where, `tag ${key}`);
    return [
      [`Tags.member.${i + 1}.Key`, key],
      [`Tags.member.${i + 1}.Value`, value],
    ];
  });
  return [...pairs, ...(identity === null ? [] : [["SourceIdentity", identity] as const])];
}

function unfit(where: string, what: string): MintFailure {
  return new MintFailure(
    `${where}: the session gives its ${what} characters that AWS does not take: use another of its claims`,
  );
}
