import { createPublicKey, randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { jwtVerify } from "jose";
import { type Answer, LoopbackIssuer, SAID } from "./loopback-issuer.ts";

export interface GoogleOptions {
  readonly email: string;
  /** PEM of the account's public key, and its id. */
  readonly publicKey: string;
  readonly keyId: string;
  /** Accounts that it may act for. */
  readonly actsFor?: readonly string[];
}

/** Google's token endpoint and its IAM credentials API, on one origin. */
export class GoogleServer extends LoopbackIssuer {
  readonly #options: GoogleOptions;
  readonly #own = new Map<string, string>();

  constructor(options: GoogleOptions) {
    super();
    this.#options = options;
  }

  protected async answer(request: IncomingMessage, body: string): Promise<Answer> {
    if (request.method !== "POST") return { status: 404 };
    if (request.url === "/token") return this.#token(new URLSearchParams(body));
    const account = /^\/v1\/projects\/-\/serviceAccounts\/([^/]+):generateAccessToken$/.exec(request.url ?? "")?.[1];
    if (account === undefined) return { status: 404 };
    return this.#impersonate(decodeURIComponent(account), request.headers.authorization ?? "", body);
  }

  async #token(form: URLSearchParams): Promise<Answer> {
    const refusal = { status: 400, json: { error: "invalid_grant", error_description: SAID } };
    if (form.get("grant_type") !== "urn:ietf:params:oauth:grant-type:jwt-bearer") return refusal;
    const { publicKey, email, keyId } = this.#options;
    try {
      const { payload, protectedHeader } = await jwtVerify(form.get("assertion") ?? "", createPublicKey(publicKey), {
        algorithms: ["RS256"],
        issuer: email,
        audience: `${this.origin}/token`,
        requiredClaims: ["iat", "exp"],
        maxTokenAge: "1h",
      });
      const { iat = 0, exp = 0, scope } = payload;
      if (protectedHeader.kid !== keyId || exp - iat > 3600) return refusal;
      if (typeof scope !== "string" || scope === "") return { status: 400, json: { error: "invalid_scope" } };
      const secret = `ya29.${randomBytes(40).toString("base64url")}`;
      if (scope === "https://www.googleapis.com/auth/iam") this.#own.set(secret, scope);
      else this.issued.push({ secret, asked: { scopes: scope.split(" ") } });
      return { status: 200, json: { access_token: secret, expires_in: this.expiresInS, token_type: "Bearer" } };
    } catch {
      return refusal;
    }
  }

  #impersonate(account: string, authorization: string, body: string): Answer {
    const failed = (code: number, status: string): Answer => ({
      status: code,
      json: { error: { code, message: SAID, status } },
    });
    if (!this.#own.has(authorization.replace(/^Bearer /, ""))) return failed(401, "UNAUTHENTICATED");
    if (this.#options.actsFor?.includes(account) !== true) return failed(403, "PERMISSION_DENIED");
    const { scope, lifetime, delegates } = JSON.parse(body) as {
      readonly scope: readonly string[];
      readonly lifetime: string;
      readonly delegates: readonly string[];
    };
    const seconds = Number(/^(\d{1,4})s$/.exec(lifetime)?.[1] ?? Number.NaN);
    if (!(seconds <= 3600) || scope.length === 0) return failed(400, "INVALID_ARGUMENT");
    const secret = `ya29.c.${randomBytes(40).toString("base64url")}`;
    this.issued.push({ secret, asked: { scopes: scope, account, delegates, seconds } });
    const expireTime = new Date(Date.now() + seconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");
    return { status: 200, json: { accessToken: secret, expireTime } };
  }
}
