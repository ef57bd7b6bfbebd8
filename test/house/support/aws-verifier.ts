import { createHash, createHmac } from "node:crypto";

/**
 * Signature Version 4 as a service checks it, slowly and by the book: nothing of it comes from `src/`. A request is whole when it
 * gets here.
 */

export interface SignedRequest {
  readonly method: string;
  /** Raw path and query. */
  readonly url: string;
  /** Names and values in turn, as they came; over HTTP/2 with a `host` in place of `:authority`. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

export interface ServiceKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface VerifierOptions {
  readonly keys: ServiceKeys;
  readonly region: string;
  readonly service: string;
  readonly nowMs: number;
}

export interface Verified {
  readonly form: "header" | "query";
  /** What the signature said of the body. */
  readonly payload: string;
  /** The body without chunk framing. */
  readonly content: Buffer;
  readonly chunks: number;
  readonly trailers: Readonly<Record<string, string>>;
}

/** @throws Error whose message is the code that a service would answer, and why */
export function verify(request: SignedRequest, options: VerifierOptions): Verified {
  const { keys, region, service, nowMs } = options;
  const headers = new Map<string, string[]>();
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const name = (request.rawHeaders[i] as string).toLowerCase();
    if (name.startsWith(":")) continue;
    headers.set(name, [...(headers.get(name) ?? []), request.rawHeaders[i + 1] as string]);
  }
  const one = (name: string): string | null => {
    const values = headers.get(name) ?? [];
    if (values.length > 1) throw new Error(`InvalidRequest: ${name} came ${values.length} times`);
    return values[0] ?? null;
  };
  const [rawPath = "", ...rest] = request.url.split("?");
  const pairs = rest
    .join("?")
    .split("&")
    .filter((text) => text !== "")
    .map((text): [string, string] => {
      const [name = "", ...value] = text.split("=");
      return [decodeURIComponent(name), decodeURIComponent(value.join("="))];
    });
  const parameter = (name: string): string | null => {
    const found = pairs.filter(([key]) => key === name);
    if (found.length > 1) throw new Error(`InvalidRequest: ${name} came ${found.length} times`);
    return found[0]?.[1] ?? null;
  };

  const authorization = one("authorization");
  const isQuery = parameter("X-Amz-Signature") !== null;
  if (authorization !== null && isQuery) throw new Error("InvalidRequest: only one auth mechanism allowed");
  if (authorization === null && !isQuery) throw new Error("AccessDenied: not signed");
  const parts = isQuery
    ? {
        algorithm: parameter("X-Amz-Algorithm"),
        credential: parameter("X-Amz-Credential"),
        signedHeaders: parameter("X-Amz-SignedHeaders"),
        signature: parameter("X-Amz-Signature"),
      }
    : partsOf(authorization ?? "");
  if (parts.algorithm !== "AWS4-HMAC-SHA256") throw new Error(`InvalidRequest: algorithm ${parts.algorithm}`);
  const time = (isQuery ? parameter("X-Amz-Date") : one("x-amz-date")) ?? "";
  if (!/^\d{8}T\d{6}Z$/.test(time)) throw new Error(`AccessDenied: date ${time}`);
  const scope = `${time.slice(0, 8)}/${region}/${service}/aws4_request`;
  if (parts.credential !== `${keys.accessKeyId}/${scope}`)
    throw new Error(`AuthorizationHeaderMalformed: ${parts.credential} is not ${keys.accessKeyId}/${scope}`);
  const madeMs = Date.parse(time.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  if (Math.abs(nowMs - madeMs) > 900_000) throw new Error("RequestTimeTooSkewed");
  if (isQuery && nowMs > madeMs + Number(parameter("X-Amz-Expires")) * 1000) throw new Error("AccessDenied: expired");
  const token = isQuery ? parameter("X-Amz-Security-Token") : one("x-amz-security-token");
  if ((token ?? undefined) !== keys.sessionToken) throw new Error("InvalidToken");

  const signed = (parts.signedHeaders ?? "").split(";");
  const must = [...headers.keys()].filter(
    (name) => name === "host" || name.startsWith("x-amz-") || name === "content-type",
  );
  for (const name of must) {
    if (!signed.includes(name)) throw new Error(`AccessDenied: ${name} was not signed`);
  }
  const isS3 = service.startsWith("s3");
  const payload = payloadOf(
    request.body,
    isS3,
    isQuery,
    one("x-amz-content-sha256") ?? parameter("X-Amz-Content-Sha256"),
  );
  const canonical = [
    request.method,
    isS3 ? s3Path(rawPath) : servicePath(rawPath),
    pairs
      .filter(([name]) => !(isQuery && name === "X-Amz-Signature"))
      .map(([name, value]) => [uriEncode(name), uriEncode(value)] as const)
      .sort(([a, x], [b, y]) => (a === b ? compare(x, y) : compare(a, b)))
      .map(([name, value]) => `${name}=${value}`)
      .join("&"),
    ...signed.map(
      (name) =>
        `${name}:${(headers.get(name) ?? []).map((value) => value.replace(/^[ \t]+|[ \t]+$/g, "").replaceAll(/[ \t]+/g, " ")).join(",")}`,
    ),
    "",
    signed.join(";"),
    payload,
  ].join("\n");
  let key = hmac(`AWS4${keys.secretAccessKey}`, time.slice(0, 8));
  for (const part of [region, service, "aws4_request"]) key = hmac(key, part);
  const seed = hmac(key, ["AWS4-HMAC-SHA256", time, scope, sha256(Buffer.from(canonical, "latin1"))].join("\n"));
  if (seed.toString("hex") !== parts.signature) throw new Error(`SignatureDoesNotMatch: ${JSON.stringify(canonical)}`);

  const form = isQuery ? "query" : "header";
  if (!payload.startsWith("STREAMING-")) {
    if (/^[0-9a-f]{64}$/.test(payload) && sha256(request.body) !== payload)
      throw new Error("XAmzContentSHA256Mismatch");
    return { form, payload, content: request.body, chunks: 0, trailers: {} };
  }
  const announced = (one("x-amz-trailer") ?? "").split(",").filter((name) => name !== "");
  const decoded = decode(request.body, payload, announced, seed.toString("hex"), (kind, previous, hashes) =>
    hmac(key, [`AWS4-HMAC-SHA256-${kind}`, time, scope, previous, ...hashes].join("\n")).toString("hex"),
  );
  if (String(decoded.content.length) !== one("x-amz-decoded-content-length")) throw new Error("IncompleteBody");
  return { form, payload, ...decoded };
}

function partsOf(
  authorization: string,
): Record<"algorithm" | "credential" | "signedHeaders" | "signature", string | null> {
  const match = /^(\S+) Credential=(\S+), SignedHeaders=(\S+), Signature=(\S+)$/.exec(authorization);
  if (match === null) throw new Error("AuthorizationHeaderMalformed");
  const [, algorithm = null, credential = null, signedHeaders = null, signature = null] = match;
  return { algorithm, credential, signedHeaders, signature };
}

function payloadOf(body: Buffer, isS3: boolean, isQuery: boolean, said: string | null): string {
  if (said !== null) return said;
  if (isS3 && isQuery) return "UNSIGNED-PAYLOAD";
  if (isS3) throw new Error("InvalidRequest: missing x-amz-content-sha256");
  return sha256(body);
}

type Sign = (kind: "PAYLOAD" | "TRAILER", previous: string, hashes: readonly string[]) => string;

function decode(
  body: Buffer,
  payload: string,
  announced: readonly string[],
  seed: string,
  sign: Sign,
): Pick<Verified, "content" | "chunks" | "trailers"> {
  const isSigned = !payload.includes("UNSIGNED");
  const content: Buffer[] = [];
  let previous = seed;
  let at = 0;
  const line = (): string => {
    const end = body.indexOf("\r\n", at);
    if (end < 0) throw new Error("IncompleteBody");
    const text = body.toString("latin1", at, end);
    at = end + 2;
    return text;
  };
  for (;;) {
    const match = /^([0-9a-fA-F]+)(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line());
    if (match === null) throw new Error("IncompleteBody: no size line");
    const data = body.subarray(at, at + Number.parseInt(match[1] as string, 16));
    if (isSigned) {
      previous = sign("PAYLOAD", previous, [sha256(Buffer.alloc(0)), sha256(data)]);
      if (previous !== match[2]) throw new Error(`SignatureDoesNotMatch: chunk ${content.length}`);
    } else if (match[2] !== undefined) throw new Error("InvalidRequest: a signature in an unsigned chunk");
    if (data.length === 0) break;
    content.push(data);
    at += data.length;
    if (line() !== "") throw new Error("IncompleteBody: no end of a chunk");
  }
  const trailers: Record<string, string> = {};
  let text = "";
  let signature: string | null = null;
  for (let next = line(); next !== ""; next = line()) {
    const colon = next.indexOf(":");
    const name = next.slice(0, colon).toLowerCase();
    const value = next.slice(colon + 1).trim();
    if (name === "x-amz-trailer-signature") signature = value;
    else {
      trailers[name] = value;
      text += `${name}:${value}\n`;
    }
  }
  if (at !== body.length) throw new Error("InvalidRequest: more than a body");
  if (Object.keys(trailers).sort().join() !== [...announced].sort().join()) throw new Error("MalformedTrailerError");
  if (isSigned && announced.length > 0 && signature !== sign("TRAILER", previous, [sha256(Buffer.from(text))]))
    throw new Error("SignatureDoesNotMatch: trailers");
  return { content: Buffer.concat(content), chunks: content.length, trailers };
}

function s3Path(path: string): string {
  return path
    .split("/")
    .map((segment) => uriEncode(decodeURIComponent(segment)))
    .join("/");
}

function servicePath(path: string): string {
  const normal = new URL(path.replaceAll(/\/{2,}/g, "/"), "http://x").pathname;
  return normal.split("/").map(uriEncode).join("/");
}

function uriEncode(text: string): string {
  let out = "";
  for (const byte of Buffer.from(text, "utf8")) {
    const character = String.fromCharCode(byte);
    out += /[A-Za-z0-9._~-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
