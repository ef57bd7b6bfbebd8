import { Secret } from "../../core/secret.ts";
import type { IssuerAnswer } from "../outbound.ts";
import { MintFailure } from "./mint-failure.ts";

/** Temporary keys as STS gave them. */
export interface TemporaryKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: Secret;
  readonly sessionToken: Secret;
  /** ms since the epoch */
  readonly expiresWallMs: number;
}

/** What AWS calls its refusals, each with what an operator does about it, and whether every lease would hear it. */
const ERRORS: Readonly<Record<string, { readonly advice: string; readonly isWide: boolean }>> = {
  AccessDenied: {
    advice: "allow sts:AssumeRole to the root, and the root in the trust policy of the role",
    isWide: true,
  },
  ValidationError: { advice: "check role, duration_seconds, policy and tags", isWide: false },
  MalformedPolicyDocument: { advice: "check policy: AWS cannot read it", isWide: true },
  PackedPolicyTooLarge: { advice: "shorten policy, policy_arns and tags", isWide: false },
  RegionDisabledException: {
    advice: "STS is not active in this region: activate it, or write another one",
    isWide: true,
  },
  RegionDisabled: { advice: "STS is not active in this region: activate it, or write another one", isWide: true },
  ExpiredToken: { advice: "the root has expired: put a new one in its place", isWide: true },
  ExpiredTokenException: { advice: "the root has expired: put a new one in its place", isWide: true },
  InvalidClientTokenId: { advice: "AWS knows no such access key id: check the root", isWide: true },
  UnrecognizedClientException: { advice: "AWS knows no such access key id: check the root", isWide: true },
  SignatureDoesNotMatch: { advice: "check the secret access key and region, and compare the clocks", isWide: true },
  RequestExpired: { advice: "compare the clocks of both sides", isWide: true },
  RequestTimeTooSkewed: { advice: "compare the clocks of both sides", isWide: true },
  InvalidIdentityToken: { advice: "check the root, and the identity provider of the account", isWide: true },
  IDPRejectedClaim: { advice: "the identity provider refuses the root: check its audience and subject", isWide: true },
  IDPCommunicationError: { advice: "AWS cannot reach the identity provider", isWide: true },
};

const THROTTLED = new Set([
  "Throttling",
  "ThrottlingException",
  "ThrottledException",
  "RequestLimitExceeded",
  "TooManyRequestsException",
]);

/**
 * @param action such as `AssumeRole`
 * @throws MintFailure; nothing that AWS wrote is quoted but the names of its errors that are known here
 */
export function temporaryKeys(answer: IssuerAnswer, action: string, where: string): TemporaryKeys {
  if (answer.status !== 200) throw refusalOf(answer, where);
  const unusable = (what: string): MintFailure => new MintFailure(`${where} ${what}: check its URL`, { isWide: true });
  const read = reader(answer, [`${action}Response`, `${action}Result`, "Credentials"]);
  if (read === null) throw unusable("answers with something that is no answer of STS");
  const [accessKeyId, secretAccessKey, sessionToken] = ["AccessKeyId", "SecretAccessKey", "SessionToken"].map(read);
  const expiresWallMs = endOf(read("Expiration"));
  if (!isText(accessKeyId, KEY_ID) || !isText(secretAccessKey, KEY) || !isText(sessionToken, TOKEN))
    throw unusable("answers without keys that could be used");
  if (expiresWallMs === null) throw unusable("answers without an Expiration that could be read");
  return {
    accessKeyId,
    secretAccessKey: Secret.of(secretAccessKey),
    sessionToken: Secret.of(sessionToken),
    expiresWallMs,
  };
}

const KEY_ID = /^\w{16,128}$/;
const KEY = /^[\x21-\x7e]{1,256}$/;
const TOKEN = /^[\x21-\x7e]{1,16384}$/;

function isText(value: unknown, pattern: RegExp): value is string {
  return typeof value === "string" && pattern.test(value);
}

/** JSON tells seconds since the epoch, XML a date. */
function endOf(value: unknown): number | null {
  const ms =
    typeof value === "number"
      ? value * 1000
      : typeof value === "string" && value.length <= 40
        ? Date.parse(value)
        : Number.NaN;
  return Number.isFinite(ms) ? ms : null;
}

/** Where the values of one object of an answer are found, whether it is JSON or XML; `null` where there is no such object. */
function reader({ json, text }: IssuerAnswer, path: readonly string[]): ((name: string) => unknown) | null {
  if (json === null) return text === null ? null : xmlReader(text, path);
  let here: unknown = json;
  for (const name of path) here = ownValue(here, name);
  return typeof here === "object" && here !== null ? (name) => ownValue(here, name) : null;
}

function ownValue(object: unknown, name: string): unknown {
  if (typeof object !== "object" || object === null || !Object.hasOwn(object, name)) return undefined;
  return (object as Readonly<Record<string, unknown>>)[name];
}

/**
 * The little XML that STS writes, read by what must be there: each element of the path once, and under the last one texts
 * without elements, attributes, comments and entities but the five that are XML's own. Everything else is no answer.
 */
function xmlReader(text: string, path: readonly string[]): ((name: string) => unknown) | null {
  let inner: string | null = text;
  for (const name of path) inner = inner === null ? null : elementOf(inner, name);
  if (inner === null) return null;
  const within = inner;
  return (name) => {
    const value = elementOf(within, name);
    return value === null || value.includes("<") ? undefined : unescaped(value.trim());
  };
}

/** What is between the tags of the one element of that name, or `null` when there is none or more than one. */
function elementOf(text: string, name: string): string | null {
  const [before, ...starts] = text.split(new RegExp(`<${name}(?: xmlns="[^"<>]{0,200}")?>`));
  const [start] = starts;
  if (before === undefined || start === undefined || starts.length > 1) return null;
  const [inner, ...ends] = start.split(`</${name}>`);
  return inner === undefined || ends.length !== 1 ? null : inner;
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** `undefined` when there is an entity that is none of the five. */
function unescaped(text: string): string | undefined {
  if (/&(?!(?:amp|lt|gt|quot|apos);)/.test(text)) return undefined;
  return text.replaceAll(/&(amp|lt|gt|quot|apos);/g, (_, name: string) => ENTITIES[name] ?? "");
}

function refusalOf(answer: IssuerAnswer, where: string): MintFailure {
  const { status, retryAfterMs, json } = answer;
  // JSON names the error at the top, XML within its answer.
  const code = reader(answer, json === null ? ["ErrorResponse", "Error"] : ["Error"])?.("Code");
  if (status === 429 || (typeof code === "string" && THROTTLED.has(code)))
    return new MintFailure(`${where} is asked too often (throttled, ${status}): ask less, or have its limit raised`, {
      retryAfterMs,
      isWide: true,
    });
  const known = typeof code === "string" && Object.hasOwn(ERRORS, code) ? ERRORS[code] : undefined;
  if (status < 500 && known !== undefined && typeof code === "string")
    return new MintFailure(`${where} refuses (${code}): ${known.advice}`, { retryAfterMs, isWide: known.isWide });
  return new MintFailure(`${where} answers with status ${status}: look at AWS's own status, or check its URL`, {
    retryAfterMs,
    isWide: true,
  });
}
