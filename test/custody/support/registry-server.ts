import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { type Answer, LoopbackIssuer, SAID } from "./loopback-issuer.ts";

export interface RegistryOptions {
  readonly service: string;
  readonly username: string;
  readonly password: string;
  readonly repositories: readonly string[];
  /** Says no life: 60 seconds. */
  readonly untold?: true;
  /** Tokens were issued so long ago, `s`. */
  readonly ageS?: number;
}

/** The token server of a registry. */
export class RegistryServer extends LoopbackIssuer {
  readonly #options: RegistryOptions;

  constructor(options: RegistryOptions) {
    super();
    this.#options = options;
  }

  /** Whether a token is good for an action on a repository. */
  allows(token: string, repository: string, action: string): boolean {
    const asked = this.issued.find(({ secret }) => secret === token)?.asked as
      | { scopes?: readonly string[] }
      | undefined;
    return (asked?.scopes ?? []).some((scope) => {
      const [, name, actions = ""] = scope.split(":");
      return name === repository && actions.split(",").includes(action);
    });
  }

  protected answer(request: IncomingMessage): Answer {
    const { service, username, password, repositories, untold, ageS } = this.#options;
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://registry");
    const refusal = (status: number): Answer => ({ status, json: { details: SAID } });
    if (request.method !== "GET" || pathname !== "/token") return refusal(404);
    const pair = Buffer.from(`${username}:${password}`).toString("base64");
    if (request.headers.authorization !== `Basic ${pair}`) return refusal(401);
    if (searchParams.get("service") !== service) return refusal(400);
    const scopes = searchParams.getAll("scope");
    if (scopes.some((scope) => !repositories.includes(scope.split(":")[1] ?? ""))) return refusal(403);
    const secret = `${randomBytes(60).toString("base64url")}.${randomBytes(200).toString("base64url")}`;
    this.issued.push({ secret, asked: { scopes } });
    const life = untold === true ? {} : { expires_in: this.expiresInS };
    const issuedAt = ageS === undefined ? {} : { issued_at: new Date(Date.now() - ageS * 1000).toISOString() };
    return { status: 200, json: { token: secret, access_token: secret, ...life, ...issuedAt } };
  }
}
