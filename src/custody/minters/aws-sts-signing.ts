import { createHash, createHmac } from "node:crypto";

/** AWS Signature Version 4 of the one request that custody makes of AWS: a POST to `/` without a query. */

export interface SigningKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string | null;
}

export interface PostToSign {
  /** Value of `Host`, with a port that is not the scheme's own. */
  readonly host: string;
  readonly region: string;
  readonly service: string;
  /** Further fields, all signed; lower-case names, values without blanks at their ends and in a row. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const ALGORITHM = "AWS4-HMAC-SHA256";

/**
 * @param wallMs ms since the epoch; AWS takes five minutes more or less
 * @returns all fields to send but `host`: those that were given, the date, the session token and the signature
 */
export function signedPost(
  { host, region, service, headers, body }: PostToSign,
  { accessKeyId, secretAccessKey, sessionToken }: SigningKeys,
  wallMs: number,
): Readonly<Record<string, string>> {
  const time = new Date(wallMs).toISOString().replaceAll(/[-:]|\.\d{3}/g, "");
  const day = time.slice(0, 8);
  const own = {
    ...headers,
    "x-amz-date": time,
    ...(sessionToken === null ? {} : { "x-amz-security-token": sessionToken }),
  };
  const lines = Object.entries({ ...own, host }).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const names = lines.map(([name]) => name).join(";");
  const canonical = ["POST", "/", "", ...lines.map(([name, value]) => `${name}:${value}`), "", names, sha256(body)];
  const scope = `${day}/${region}/${service}/aws4_request`;
  const text = [ALGORITHM, time, scope, sha256(canonical.join("\n"))].join("\n");
  const parts = [day, region, service, "aws4_request", text];
  const signature = parts.reduce<Buffer>(
    (key, part) => createHmac("sha256", key).update(part).digest(),
    Buffer.from(`AWS4${secretAccessKey}`),
  );
  const credential = `Credential=${accessKeyId}/${scope}`;
  return {
    ...own,
    authorization: `${ALGORITHM} ${credential}, SignedHeaders=${names}, Signature=${signature.toString("hex")}`,
  };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
