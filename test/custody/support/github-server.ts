import { createPublicKey, randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { jwtVerify } from "jose";
import { type Answer, LoopbackIssuer, SAID } from "./loopback-issuer.ts";

export interface GithubOptions {
  readonly clientId: string;
  /** PEM of the app's public key. */
  readonly publicKey: string;
  readonly installation: string;
  readonly repositories: readonly string[];
  readonly permissions: Readonly<Record<string, string>>;
  /** Where the API begins, such as `/api/v3`. */
  readonly base?: string;
}

const LEVELS = ["read", "write", "admin"];

/** The part of GitHub that gives installation tokens and takes them back. */
export class GithubServer extends LoopbackIssuer {
  readonly revoked = new Set<string>();
  suspended = false;
  /** Tokens of the long form of 2026, which hold a JWT. */
  stateless = false;
  /** Adds to what an answer says of the token: lies. */
  claimed: Readonly<Record<string, unknown>> = {};
  readonly #options: GithubOptions;

  constructor(options: GithubOptions) {
    super();
    this.#options = options;
  }

  /** Whether a token opens a repository, for reading unless said otherwise. */
  opens(token: string, repository: string, level = "read"): boolean {
    const issued = this.issued.find(({ secret }) => secret === token);
    if (issued === undefined || this.revoked.has(token)) return false;
    const { repositories, permissions } = issued.asked as {
      repositories: readonly string[];
      permissions: Readonly<Record<string, string>>;
    };
    const granted = permissions["contents"] ?? "";
    return repositories.includes(repository) && LEVELS.indexOf(granted) >= LEVELS.indexOf(level);
  }

  protected async answer(request: IncomingMessage, body: string): Promise<Answer> {
    const { base = "", installation } = this.#options;
    if ((request.headers["user-agent"] ?? "") === "") return refusal(403, "Request forbidden by administrative rules");
    if (request.headers["x-github-api-version"] !== "2022-11-28") return refusal(400, "unknown version");
    const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? "")?.[1] ?? "";
    if (request.method === "DELETE" && request.url === `${base}/installation/token`) {
      if (!this.isIssued(token) || this.revoked.has(token)) return refusal(401, "Bad credentials");
      this.revoked.add(token);
      return { status: 204 };
    }
    const id = new RegExp(`^${base}/app/installations/(\\d+)/access_tokens$`).exec(request.url ?? "")?.[1];
    if (request.method !== "POST" || id === undefined) return refusal(404, "Not Found");
    if (!(await this.#isApp(token))) return refusal(401, "A JSON web token could not be decoded");
    if (id !== installation) return refusal(404, "Not Found");
    if (this.suspended) return refusal(403, "This installation has been suspended");
    return this.#issue(JSON.parse(body) as Ask);
  }

  /** Signature, times and issuer, as GitHub documents them. */
  async #isApp(jwt: string): Promise<boolean> {
    const nowS = Date.now() / 1000;
    try {
      const { payload } = await jwtVerify(jwt, createPublicKey(this.#options.publicKey), {
        algorithms: ["RS256"],
        issuer: this.#options.clientId,
        requiredClaims: ["iat", "exp"],
      });
      const { iat = Infinity, exp = Infinity } = payload;
      return iat <= nowS && exp <= nowS + 600 && exp > nowS;
    } catch {
      return false;
    }
  }

  #issue({ repositories, permissions }: Ask): Answer {
    const { repositories: known, permissions: granted } = this.#options;
    const all = repositories === undefined;
    const wanted = { repositories: repositories ?? known, permissions: permissions ?? granted };
    const tooMuch =
      wanted.repositories.some((name) => !known.includes(name)) ||
      Object.entries(wanted.permissions).some(
        ([name, level]) => LEVELS.indexOf(level) > LEVELS.indexOf(granted[name] ?? ""),
      );
    if (tooMuch) return refusal(422, "The permissions requested are not granted to this installation.");
    const secret = this.stateless
      ? `ghs_12345_${randomBytes(96).toString("base64url")}.${randomBytes(180).toString("base64url")}.${randomBytes(64).toString("base64url")}`
      : `ghs_${randomBytes(18).toString("hex")}`;
    this.issued.push({ secret, asked: wanted });
    return {
      status: 201,
      json: {
        token: secret,
        expires_at: new Date(Date.now() + this.expiresInS * 1000).toISOString().replace(/\.\d+Z$/, "Z"),
        permissions: { ...wanted.permissions, metadata: "read" },
        repository_selection: all ? "all" : "selected",
        ...(all ? {} : { repositories: wanted.repositories.map((name) => ({ name, full_name: `acme/${name}` })) }),
        ...this.claimed,
      },
    };
  }
}

interface Ask {
  readonly repositories?: readonly string[];
  readonly permissions?: Readonly<Record<string, string>>;
}

function refusal(status: number, message: string): Answer {
  return { status, json: { message: `${message} ${SAID}`, documentation_url: "https://docs.test/" } };
}
