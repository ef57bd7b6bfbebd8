import { createHmac, hash } from "node:crypto";
import type { CanonicalRequest } from "./canonical.ts";
import { canonicalText } from "./canonical.ts";

/** Hex SHA-256 of nothing. */
export const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
export const ALGORITHM = "AWS4-HMAC-SHA256";

/** Where a signature is good: told by the destination, never by the guest. */
export interface Scope {
  readonly region: string;
  readonly service: string;
}

/** The moment of a signature, as AWS spells it. */
export interface Stamp {
  /** `YYYYMMDDTHHMMSSZ` */
  readonly time: string;
  /** `YYYYMMDD/region/service/aws4_request` */
  readonly scope: string;
}

/** The keys of one lease for one region and service. The signing key of a day is made once. */
export class SigningKey {
  readonly #secret: string;
  readonly #scope: Scope;
  #second = Number.NaN;
  #stamp: Stamp = { time: "", scope: "" };
  #day = "";
  #key: Buffer = Buffer.alloc(0);

  /** @param secret the secret access key */
  constructor(secret: string, scope: Scope) {
    this.#secret = secret;
    this.#scope = scope;
  }

  /** @param wallMs milliseconds since the epoch */
  stampAt(wallMs: number): Stamp {
    const second = Math.floor(wallMs / 1000);
    if (second !== this.#second) {
      const time = `${new Date(second * 1000).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
      const { region, service } = this.#scope;
      this.#stamp = { time, scope: `${time.slice(0, 8)}/${region}/${service}/aws4_request` };
      this.#second = second;
    }
    return this.#stamp;
  }

  /** @returns hex signature of a request */
  signRequest(stamp: Stamp, request: CanonicalRequest, isS3: boolean): string {
    const text = canonicalText(request, isS3);
    return this.#sign(stamp, `${ALGORITHM}\n${stamp.time}\n${stamp.scope}\n${sha256(Buffer.from(text, "latin1"))}`);
  }

  /** @returns hex signature of one chunk of a body, which chains from the one before it */
  signChunk(stamp: Stamp, previous: string, data: Buffer): string {
    const { time, scope } = stamp;
    const text = `${ALGORITHM}-PAYLOAD\n${time}\n${scope}\n${previous}\n${EMPTY_SHA256}\n${sha256(data)}`;
    return this.#sign(stamp, text);
  }

  /** @param trailers `name:value` lines, each ended by LF */
  signTrailers(stamp: Stamp, previous: string, trailers: string): string {
    const digest = sha256(Buffer.from(trailers, "latin1"));
    return this.#sign(stamp, `${ALGORITHM}-TRAILER\n${stamp.time}\n${stamp.scope}\n${previous}\n${digest}`);
  }

  #sign(stamp: Stamp, text: string): string {
    return createHmac("sha256", this.#keyOf(stamp)).update(text, "latin1").digest("hex");
  }

  #keyOf({ time }: Stamp): Buffer {
    const day = time.slice(0, 8);
    if (day !== this.#day) {
      this.#key = signingKey(this.#secret, day, this.#scope);
      this.#day = day;
    }
    return this.#key;
  }
}

/** @param day `YYYYMMDD` */
export function signingKey(secret: string, day: string, { region, service }: Scope): Buffer {
  let key: string | Buffer = `AWS4${secret}`;
  for (const part of [day, region, service, "aws4_request"]) key = createHmac("sha256", key).update(part).digest();
  return key as Buffer;
}

/** @returns lower-case hex */
export function sha256(data: Buffer): string {
  return hash("sha256", data, "hex");
}
