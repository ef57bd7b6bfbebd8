import { createHash, createPublicKey, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { TLSSocket } from "node:tls";
import { calculateJwkThumbprint, EmbeddedJWK, type JWTPayload, jwtVerify } from "jose";

/** A client that the server knows. */
export interface KnownClient {
  readonly id: string;
  readonly secret?: string;
  /** PEM of its public key, for `private_key_jwt`. */
  readonly publicKey?: string;
  readonly auth: "client_secret_basic" | "client_secret_post" | "private_key_jwt" | "tls" | "none";
  readonly scopes: readonly string[];
}

export interface OAuth2ServerOptions {
  readonly clients: readonly KnownClient[];
  readonly expiresInS?: number | string | null;
  /** Trusted issuers of assertions and subject tokens, by `iss`: PEM of a public key. */
  readonly issuers?: Readonly<Record<string, string>>;
  /** How refresh tokens live on: each use makes a new one; `grace`: the old one is good until the new one was used once. */
  readonly rotation?: "strict" | "grace" | "none";
  /** A DPoP proof needs a nonce, which changes with each answer (RFC 9449 §8). */
  readonly nonces?: boolean;
  /** Over TLS, where clients may show a certificate of this CA: its name is then the client. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientCa: string };
}

/** One token that was issued. */
export interface Issued {
  readonly token: string;
  readonly grant: string;
  readonly scope: string;
  readonly client: string;
  readonly form: URLSearchParams;
  readonly claims: JWTPayload | null;
  /** Thumbprint of the key that it is bound to, or `null`. */
  readonly boundTo: string | null;
}

/** The refresh tokens that came of one grant. */
export interface Family {
  current: string;
  /** Every one that was ever given. */
  readonly known: Set<string>;
  /** Those that may be used. */
  live: Set<string>;
  revoked: boolean;
  readonly client: string;
  /** Of a public client: the key that it was bound to with its first use. */
  boundTo: string | null;
}

/** What a test makes of the next answers. */
export type Mood = "well" | ((request: IncomingMessage, response: ServerResponse) => void);

class Refusal extends Error {
  readonly error: string;
  readonly status: number;

  constructor(error: string, status = 400) {
    super(error);
    this.error = error;
    this.status = status;
  }
}

const FORM_BYTES = 64 * 1024;
/** What issuers like to say: nothing of it may show anywhere. */
export const DESCRIPTION = "described-by-the-issuer";

/** A token endpoint on loopback that verifies for real and remembers what it was sent. */
export class OAuth2Server {
  readonly url: string;
  readonly issued: Issued[] = [];
  /** Monotonic `ms` at which each token ends. */
  readonly ends = new Map<string, number>();
  readonly refused: string[] = [];
  requests = 0;
  mood: Mood = "well";
  /** Put over each good answer. */
  twist: Readonly<Record<string, unknown>> = {};
  expiresInS: number | string | null;
  readonly families: Family[] = [];
  /** Serial numbers of the client certificates that were shown, in order. */
  readonly serials: string[] = [];
  rotation: OAuth2ServerOptions["rotation"];
  readonly #server: Server;
  readonly #options: OAuth2ServerOptions;
  readonly #jtis = new Set<string>();
  #nonce = "nonce-0";
  #nonces = 0;

  private constructor(server: Server, options: OAuth2ServerOptions) {
    this.#server = server;
    this.#options = options;
    this.rotation = options.rotation;
    this.expiresInS = options.expiresInS === undefined ? 3600 : options.expiresInS;
    const origin = options.tls === undefined ? "http://127.0.0.1" : "https://localhost";
    this.url = `${origin}:${(server.address() as AddressInfo).port}/oauth2/token`;
    server.on("request", (request, response) => void this.#serve(request, response));
  }

  static async start(options: OAuth2ServerOptions): Promise<OAuth2Server> {
    const { tls } = options;
    const server =
      tls === undefined
        ? createServer()
        : createTlsServer({
            cert: tls.certificate,
            key: tls.key,
            ca: tls.clientCa,
            requestCert: true,
            rejectUnauthorized: false,
          });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    return new OAuth2Server(server, options);
  }

  /** A refresh token of a new family. */
  grantRefresh(client: string): string {
    const token = `rt-${randomBytes(12).toString("hex")}`;
    this.families.push({
      current: token,
      known: new Set([token]),
      live: new Set([token]),
      revoked: false,
      client,
      boundTo: null,
    });
    return token;
  }

  isIssued(token: string): boolean {
    return this.issued.some((one) => one.token === token);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++;
    if (request.socket instanceof TLSSocket && shown(request) !== null)
      this.serials.push(request.socket.getPeerCertificate().serialNumber);
    if (this.mood !== "well") return this.mood(request, response);
    await this.#serveWell(request, response);
  }

  /** Answers a request that a mood took, after all. */
  again(request: IncomingMessage, response: ServerResponse): void {
    void this.#serveWell(request, response);
  }

  async #serveWell(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const answer = { ...(await this.#answer(request)), ...this.twist };
      response.writeHead(200, {
        "content-type": "application/json",
        "cache-control": "no-store",
        ...this.#nonceField(),
      });
      response.end(JSON.stringify(answer));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.refused.push(error.error);
      response.writeHead(error.status, { "content-type": "application/json", ...this.#nonceField() });
      response.end(JSON.stringify({ error: error.error, error_description: DESCRIPTION }));
    }
  }

  async #answer(request: IncomingMessage): Promise<Record<string, unknown>> {
    const form = new URLSearchParams(await bodyOf(request));
    if (request.method !== "POST") throw new Refusal("invalid_request");
    const repeated = [...form.keys()].some(
      (key, i, all) => key !== "audience" && key !== "resource" && all.indexOf(key) !== i,
    );
    if (repeated) throw new Refusal("invalid_request");
    const grant = form.get("grant_type") ?? "";
    const boundTo = await this.#proof(request.headers["dpop"]);
    const client = await this.#client(request, form);
    switch (grant) {
      case "client_credentials":
        if (client.auth === "none") throw new Refusal("unauthorized_client");
        return this.#issue(grant, client, form, null, boundTo);
      case "refresh_token":
        return this.#refresh(client, form, boundTo);
      case "urn:ietf:params:oauth:grant-type:token-exchange":
        return this.#exchange(grant, client, form);
      case "urn:ietf:params:oauth:grant-type:jwt-bearer":
        return this.#issue(grant, client, form, await this.#verified(form.get("assertion"), this.url));
      default:
        throw new Refusal("unsupported_grant_type");
    }
  }

  async #client(request: IncomingMessage, form: URLSearchParams): Promise<KnownClient> {
    const header = request.headers.authorization;
    const assertion = form.get("client_assertion");
    const [id, used, secret] =
      header !== undefined
        ? [...basicOf(header)]
        : assertion !== null
          ? [form.get("client_id") ?? "", "private_key_jwt", assertion]
          : form.has("client_secret")
            ? [form.get("client_id") ?? "", "client_secret_post", form.get("client_secret") ?? ""]
            : [form.get("client_id") ?? "", shown(request) === null ? "none" : "tls", ""];
    const client = this.#options.clients.find((one) => one.id === id);
    if (client === undefined || client.auth !== used) throw new Refusal("invalid_client", 401);
    if (used === "private_key_jwt") await this.#clientAssertion(client, secret ?? "", form);
    else if (used === "tls" && shown(request) !== client.id) throw new Refusal("invalid_client", 401);
    else if (used !== "none" && used !== "tls" && secret !== client.secret) throw new Refusal("invalid_client", 401);
    return client;
  }

  async #clientAssertion(client: KnownClient, assertion: string, form: URLSearchParams): Promise<void> {
    if (form.get("client_assertion_type") !== "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
      throw new Refusal("invalid_request");
    const claims = await this.#jwt(assertion, client.publicKey ?? "", { issuer: client.id, audience: this.url });
    if (claims === null || claims.sub !== client.id) throw new Refusal("invalid_client", 401);
  }

  /** Signature, `aud`, life of at most an hour, and each `jti` once. */
  async #jwt(
    token: string,
    publicKey: string,
    expected: { readonly issuer: string; readonly audience: string },
  ): Promise<JWTPayload | null> {
    try {
      const { payload } = await jwtVerify(token, createPublicKey(publicKey), {
        algorithms: ["EdDSA", "ES256", "RS256", "PS256"],
        requiredClaims: ["exp", "iat", "jti"],
        maxTokenAge: "1h",
        ...expected,
      });
      if (payload.jti === undefined || this.#jtis.has(payload.jti)) return null;
      this.#jtis.add(payload.jti);
      return payload;
    } catch {
      return null;
    }
  }

  async #verified(token: string | null, audience: string): Promise<JWTPayload> {
    if (token === null) throw new Refusal("invalid_request");
    for (const [issuer, key] of Object.entries(this.#options.issuers ?? {})) {
      const claims = await this.#jwt(token, key, { issuer, audience });
      if (claims !== null) return claims;
    }
    throw new Refusal("invalid_grant");
  }

  #refresh(client: KnownClient, form: URLSearchParams, boundTo: string | null): Record<string, unknown> {
    const sent = form.get("refresh_token") ?? "";
    const family = this.families.find((one) => one.known.has(sent));
    if (family === undefined || family.client !== client.id || family.revoked) throw new Refusal("invalid_grant");
    if (!family.live.has(sent)) {
      // Reuse: somebody has a copy (RFC 9700 §4.14.2).
      family.revoked = true;
      throw new Refusal("invalid_grant");
    }
    const isForeign = client.auth === "none" && family.boundTo !== null && family.boundTo !== boundTo;
    if (isForeign) throw new Refusal("invalid_grant");
    family.boundTo ??= boundTo;
    const answer = this.#issue("refresh_token", client, form, null, boundTo);
    if (this.rotation === "none") return answer;
    const next = `rt-${randomBytes(12).toString("hex")}`;
    // With grace, what was used stays good until its successor was used.
    family.live = new Set(this.rotation === "grace" ? [sent, next] : [next]);
    family.known.add(next);
    family.current = next;
    return { ...answer, refresh_token: next };
  }

  /** What a crash of the issuer does that had not yet written its last rotation. */
  forgetLastRotation(family: Family, before: string): void {
    family.known.delete(family.current);
    family.current = before;
    family.live = new Set([before]);
  }

  async #exchange(grant: string, client: KnownClient, form: URLSearchParams): Promise<Record<string, unknown>> {
    const { subject, type } = { subject: form.get("subject_token"), type: form.get("subject_token_type") };
    if (subject === null || type === null) throw new Refusal("invalid_request");
    if (form.has("actor_token") !== form.has("actor_token_type")) throw new Refusal("invalid_request");
    const isJwt = type === "urn:ietf:params:oauth:token-type:jwt";
    const claims = isJwt ? await this.#verified(subject, this.url) : null;
    if (!isJwt && !subject.startsWith("subject-")) throw new Refusal("invalid_grant");
    return {
      ...this.#issue(grant, client, form, claims),
      issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
    };
  }

  #nonceField(): Record<string, string> {
    if (this.#options.nonces !== true) return {};
    this.#nonce = `nonce-${++this.#nonces}`;
    return { "dpop-nonce": this.#nonce };
  }

  /** RFC 9449 §4.3. @returns the thumbprint of the key, or `null` without a proof */
  async #proof(proof: string | string[] | undefined): Promise<string | null> {
    if (proof === undefined) return null;
    try {
      const { payload, protectedHeader } = await jwtVerify(String(proof), EmbeddedJWK, {
        typ: "dpop+jwt",
        algorithms: ["ES256", "EdDSA"],
        maxTokenAge: "60s",
        requiredClaims: ["jti", "iat", "htm", "htu"],
      });
      const isFresh = payload.jti !== undefined && !this.#jtis.has(payload.jti);
      if (!isFresh || payload["htm"] !== "POST" || payload["htu"] !== this.url) throw new Refusal("invalid_dpop_proof");
      this.#jtis.add(payload.jti ?? "");
      if (this.#options.nonces === true && payload["nonce"] !== this.#nonce) throw new Refusal("use_dpop_nonce");
      return await calculateJwkThumbprint(protectedHeader.jwk ?? {});
    } catch (error) {
      throw error instanceof Refusal ? error : new Refusal("invalid_dpop_proof");
    }
  }

  #issue(
    grant: string,
    client: KnownClient,
    form: URLSearchParams,
    claims: JWTPayload | null,
    boundTo: string | null = null,
  ): Record<string, unknown> {
    const scope = form.get("scope") ?? "";
    const unknown = scope.split(" ").filter((one) => one !== "" && !client.scopes.includes(one));
    if (unknown.length > 0) throw new Refusal("invalid_scope");
    const token = `at-${randomBytes(12).toString("hex")}`;
    this.ends.set(token, performance.now() + Number(this.expiresInS ?? Infinity) * 1000);
    this.issued.push({ token, grant, scope, client: client.id, form, claims, boundTo });
    return {
      access_token: token,
      token_type: boundTo === null ? "Bearer" : "DPoP",
      ...(this.expiresInS === null ? {} : { expires_in: this.expiresInS }),
      scope,
    };
  }
}

/** The name in a client certificate that verifies, or `null`. */
function shown({ socket }: IncomingMessage): string | null {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return null;
  return /^DNS:([a-z0-9.-]+)$/.exec(socket.getPeerCertificate().subjectaltname ?? "")?.[1] ?? null;
}

/** RFC 6749 §2.3.1. */
function basicOf(header: string): [string, "client_secret_basic", string] {
  const text = Buffer.from(/^Basic ([A-Za-z0-9+/=]+)$/.exec(header)?.[1] ?? "", "base64").toString();
  const colon = text.indexOf(":");
  const decode = (part: string): string => new URLSearchParams(`x=${part}`).get("x") ?? "";
  return [decode(text.slice(0, colon)), "client_secret_basic", decode(text.slice(colon + 1))];
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) {
    body += String(chunk);
    if (body.length > FORM_BYTES) throw new Refusal("invalid_request");
  }
  return body;
}

/** For assertions about a secret without showing it. */
export function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}
