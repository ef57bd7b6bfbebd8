import { z } from "zod";
import type { SyntheticSpec } from "../core/destination.ts";
import { isStandIn, STAND_IN_ADVICE } from "./attach/placeholder.ts";
import { boundedText, whole } from "./primitives.ts";
import type { Path } from "./problem.ts";
import type { Report } from "./report.ts";

const expiresInSeconds = whole(60, 86_400, 3600, "Life that the answer claims, `s`; programs ask again after it.");
const token = boundedText(1000).describe("Stand-in that is handed out: harmless, with `postern-` in it.");

export const syntheticSchema = z.discriminatedUnion("as", [
  z
    .strictObject({ as: z.literal("oauth2_token"), token, expires_in_seconds: expiresInSeconds })
    .describe("An OAuth2 token endpoint (RFC 6749)."),
  z
    .strictObject({ as: z.literal("registry_token"), token, expires_in_seconds: expiresInSeconds })
    .describe("The token server of a container registry."),
  z
    .strictObject({ as: z.literal("github_installation_token"), token, expires_in_seconds: expiresInSeconds })
    .describe("`POST /app/installations/{id}/access_tokens` of GitHub."),
  z
    .strictObject({
      as: z.literal("aws_sts"),
      access_key_id: boundedText(128).describe("Stand-in with `POSTERN` in it, such as `ASIAPOSTERNGUEST0001`."),
      secret_access_key: boundedText(1000).describe("Stand-in with `postern-` in it."),
      session_token: boundedText(1000).describe("Stand-in with `postern-` in it."),
      expires_in_seconds: expiresInSeconds,
    })
    .describe("AWS STS: AssumeRole, AssumeRoleWithWebIdentity, GetSessionToken, GetCallerIdentity."),
]);

type RawSynthetic = z.output<typeof syntheticSchema>;

/** `synthetic:` of a destination. @returns `null` where a text is no stand-in; it is in the report */
export function syntheticSpec(raw: RawSynthetic, path: Path, report: Report): SyntheticSpec | null {
  const standIn = (key: string, text: string): boolean => {
    // The text is not shown: it may be a real secret that was pasted here.
    if (isStandIn(text)) return true;
    report.add([...path, key], STAND_IN_ADVICE);
    return false;
  };
  const { expires_in_seconds: seconds } = raw;
  if (raw.as !== "aws_sts")
    return standIn("token", raw.token)
      ? Object.freeze({ as: raw.as, token: raw.token, expiresInSeconds: seconds })
      : null;
  const { access_key_id: accessKeyId, secret_access_key: secretAccessKey, session_token: sessionToken } = raw;
  const isKeyId = /^A[A-Z0-9]{15,127}$/.test(accessKeyId) && accessKeyId.includes("POSTERN");
  if (!isKeyId)
    report.add(
      [...path, "access_key_id"],
      'write 16 to 128 capitals and digits with "POSTERN" inside, such as "ASIAPOSTERNGUEST0001"',
    );
  const areStandIns = [standIn("secret_access_key", secretAccessKey), standIn("session_token", sessionToken)];
  if (!isKeyId || areStandIns.includes(false)) return null;
  return Object.freeze({ as: "aws_sts", accessKeyId, secretAccessKey, sessionToken, expiresInSeconds: seconds });
}
