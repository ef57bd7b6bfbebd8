import { createHash, createHmac, type Hash, type Hmac } from "node:crypto";
import { createRequire } from "node:module";
import { SignatureV4 } from "@smithy/signature-v4";
import type { Line } from "../exchange.ts";
import type { AwsKeys } from "./exchange.ts";

/** Two other implementations of Signature Version 4, to be asked for the same signature. */

export interface OracleRequest {
  readonly method: string;
  readonly path: string;
  /** Decoded; the path as it is sent. */
  readonly query: readonly (readonly [string, string])[];
  /** Names are distinct; only what the edge signs. `host` and `x-amz-date` among them. */
  readonly lines: readonly Line[];
  readonly body: Buffer;
  readonly region: string;
  readonly service: string;
  readonly keys: AwsKeys;
}

interface Aws4 {
  sign(request: object, credentials: AwsKeys): { headers: Record<string, string>; path: string };
}
const aws4 = createRequire(import.meta.url)("aws4") as Aws4;

/** @returns the Authorization that the package `aws4` makes */
export function aws4Authorization(request: OracleRequest): string {
  const query = request.query.map(([name, value]) => `${encode(name)}=${encode(value)}`).join("&");
  const signed = aws4.sign(
    {
      method: request.method,
      path: query === "" ? request.path : `${request.path}?${query}`,
      headers: Object.fromEntries(request.lines),
      body: request.body,
      region: request.region,
      service: request.service,
      // It adds them where there is a body.
      extraHeadersToIgnore: { "content-length": true, "content-type": true },
    },
    request.keys,
  );
  return signed.headers["Authorization"] ?? "none";
}

/** @returns the signature that the package `aws4` puts into a query; the body is that of S3's presigned requests, or empty */
export function aws4Presigned(request: OracleRequest, stamp: string, expires: number): string {
  const pairs = [...request.query, ["X-Amz-Date", stamp] as const, ["X-Amz-Expires", String(expires)] as const];
  const query = pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join("&");
  const signed = aws4.sign(
    {
      method: request.method,
      path: `${request.path}?${query}`,
      headers: Object.fromEntries(request.lines),
      region: request.region,
      service: request.service,
      signQuery: true,
    },
    request.keys,
  );
  return /&X-Amz-Signature=([0-9a-f]{64})$/.exec(signed.path)?.[1] ?? "none";
}

/** @returns the Authorization that AWS's own SDK for JavaScript makes */
export async function smithyAuthorization(request: OracleRequest): Promise<string> {
  const isS3 = request.service === "s3";
  const query: Record<string, string[]> = {};
  for (const [name, value] of request.query) (query[name] ??= []).push(value);
  const headers = Object.fromEntries(request.lines.map(([name, value]) => [name.toLowerCase(), value]));
  const signer = new SignatureV4({
    service: request.service,
    region: request.region,
    credentials: request.keys,
    sha256: Sha256,
    uriEscapePath: !isS3,
    applyChecksum: isS3,
  });
  const signed = await signer.sign(
    {
      method: request.method,
      protocol: "https:",
      hostname: headers["host"] ?? "",
      path: request.path,
      query,
      headers,
      body: request.body,
    },
    { signingDate: dateOf(headers["x-amz-date"] ?? "") },
  );
  return signed.headers["authorization"] ?? "none";
}

export function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** @param stamp `YYYYMMDDTHHMMSSZ` */
function dateOf(stamp: string): Date {
  return new Date(stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
}

/** What the SDK wants to hash with. */
class Sha256 {
  readonly #secret: string | Buffer | null;
  #hash: Hash | Hmac;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#secret = secret === undefined ? null : bytesOf(secret);
    this.#hash = this.#fresh();
  }

  #fresh(): Hash | Hmac {
    return this.#secret === null ? createHash("sha256") : createHmac("sha256", this.#secret);
  }

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(data));
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }

  reset(): void {
    this.#hash = this.#fresh();
  }
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): string | Buffer {
  if (typeof data === "string") return data;
  return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data);
}
