import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Clock } from "../../../src/core/clock.ts";
import { type AppRole, FakeVaultStore, type FakeToken, type KvVersion } from "./fake-vault-store.ts";

/** What was asked of it. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Record<string, unknown>;
}

interface Reply {
  readonly status: number;
  readonly body?: object;
  readonly headers?: Record<string, string>;
}

/** How it answers instead of rightly. */
export type Misbehaviour = (asked: Asked, response: ServerResponse) => boolean;

const EMPTY = { lease_id: "", renewable: false, lease_duration: 0, data: null, wrap_info: null, warnings: null };

/**
 * The HTTP API of HashiCorp Vault and OpenBao, as far as custody speaks it, written from its documentation: statuses, texts and
 * envelopes are those that a real server gives. Conformance is held by `vault-conformance.test.ts`, which can also run against one.
 */
export class FakeVault {
  readonly store: FakeVaultStore;
  readonly asked: Asked[] = [];
  sealed = false;
  /** `Retry-After` of 429, `s`; `null`: no limit. */
  limitedS: number | null = null;
  /** Statuses that the next requests of data get, one each. */
  readonly failures: number[] = [];
  /** Looked at first: `true` when it has answered, or is not going to. */
  misbehave: Misbehaviour | null = null;
  /** Requests that have no answer yet. */
  running = 0;
  readonly #clock: Clock;
  readonly #server: ReturnType<typeof createServer>;
  #port = 0;

  constructor(clock: Clock, tls: { readonly key: string; readonly cert: string } | null = null) {
    this.#clock = clock;
    this.store = new FakeVaultStore(() => clock.wallMs());
    const listener = (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response);
    this.#server = tls === null ? createServer(listener) : createTlsServer(tls, listener);
  }

  get port(): number {
    return this.#port;
  }

  /** @param path of a Unix socket, in place of a port of its own */
  async listen(path?: string): Promise<this> {
    if (path === undefined) this.#server.listen(this.#port, "127.0.0.1");
    else this.#server.listen(path);
    await once(this.#server, "listening");
    const bound = this.#server.address() as AddressInfo | string;
    if (typeof bound !== "string") this.#port = bound.port;
    return this;
  }

  /** As killed: open connections break. `listen()` brings it back on the same port, with what it stored. */
  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  count(pattern: RegExp): number {
    return this.asked.filter(({ method, path }) => pattern.test(`${method} ${path}`)).length;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.running++;
    response.once("close", () => this.running--);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString("utf8");
    const path = (request.url ?? "").replace(/^\/v1\//, "");
    const body = text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
    const asked: Asked = { method: request.method ?? "", path, headers: request.headers, body };
    this.asked.push(asked);
    if (this.misbehave?.(asked, response) === true) return;
    const { status, body: answer, headers = {} } = this.#reply(asked);
    response.writeHead(status, {
      "content-type": "application/json",
      "cache-control": "no-store",
      date: new Date(this.#clock.wallMs()).toUTCString(),
      ...headers,
    });
    response.end(answer === undefined ? undefined : JSON.stringify(answer));
  }

  #reply(asked: Asked): Reply {
    const { path } = asked;
    if (path.startsWith("sys/health")) return this.#health();
    if (this.sealed) return errors(503, "Vault is sealed");
    if (this.limitedS !== null) {
      return {
        ...errors(429, "request path: rate limit quota exceeded"),
        headers: { "retry-after": `${this.limitedS}` },
      };
    }
    if (/^auth\/.+\/login$/.test(path)) return this.#login(asked);
    if (path === "sys/wrapping/lookup") return this.#wrapLookup(asked);
    if (path === "sys/wrapping/unwrap") return this.#unwrap(asked);
    const token = this.store.useToken(tokenOf(asked));
    if (token === null) return errors(403, "permission denied");
    const [bare = ""] = path.split("?", 1);
    const capability = asked.method === "GET" ? "read" : "update";
    if (!this.store.allows(token, bare, capability)) return errors(403, "1 error occurred:\n\t* permission denied\n\n");
    const failure = this.failures.shift();
    if (failure !== undefined) return errors(failure, "internal error");
    return this.#authorized(asked, bare, token);
  }

  #authorized({ body, path }: Asked, bare: string, token: FakeToken): Reply {
    switch (bare) {
      case "auth/token/lookup-self":
        return { status: 200, body: { ...EMPTY, data: lookupOf(token, this.#clock.wallMs()) } };
      case "auth/token/renew-self": {
        const life = this.store.renewToken(token);
        return life === null ? errors(400, "lease is not renewable") : this.#auth(token, life);
      }
      case "auth/token/revoke-self":
        this.store.revokeToken(token.id);
        return { status: 204 };
      case "sys/leases/renew":
        return this.#renewLease(body["lease_id"]);
      case "sys/leases/revoke":
        return this.#revokeLease(body["lease_id"]);
    }
    const maker = this.store.makers.get(bare);
    if (maker !== undefined) {
      const { data, lease } = this.store.make(bare, maker, token);
      const terms = lease === null ? {} : { lease_id: lease.id, lease_duration: maker.ttlMs / 1000 };
      return { status: 200, body: { ...EMPTY, ...terms, renewable: lease?.renewable ?? false, data } };
    }
    const versioned = /^([^/]+)\/data\/(.+)$/.exec(bare);
    if (versioned !== null) return this.#kv2(`${versioned[1]}/${versioned[2]}`, path);
    const flat = this.store.kv1.get(bare);
    if (flat !== undefined) return { status: 200, body: { ...EMPTY, lease_duration: 2_764_800, data: flat } };
    if (this.store.kv2.has(bare)) {
      const warnings = [
        "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use.",
      ];
      return { status: 404, body: { ...EMPTY, warnings } };
    }
    return errors(404);
  }

  #kv2(place: string, path: string): Reply {
    const versions = this.store.kv2.get(place) ?? [];
    const wanted = Number(/[?&]version=(\d+)/.exec(path)?.[1] ?? versions.length);
    const version = versions[wanted - 1];
    if (version === undefined) return errors(404);
    const isGone = version.destroyed || (version.deletionMs !== null && version.deletionMs <= this.#clock.wallMs());
    const data = { data: isGone ? null : version.data, metadata: metadataOf(version, wanted) };
    return { status: isGone ? 404 : 200, body: { ...EMPTY, data } };
  }

  #login({ path, body }: Asked): Reply {
    const mount = path.slice("auth/".length, -"/login".length);
    const appRole = [...this.store.appRoles].find(
      ([name, role]) => name.startsWith(`${mount}/`) && role.roleId === body["role_id"],
    )?.[1];
    if ("role_id" in body || "secret_id" in body) {
      if (appRole === undefined || !this.store.useSecretId(appRole, String(body["secret_id"])))
        return errors(400, "invalid role or secret ID");
      return this.#issued(appRole.terms, path);
    }
    if (typeof body["jwt"] !== "string" || body["jwt"] === "") return errors(400, "missing jwt");
    const role = this.store.jwtRoles.get(`${mount}/${String(body["role"])}`);
    if (role === undefined) return errors(400, `role "${String(body["role"])}" could not be found`);
    if (!role.accepts.has(body["jwt"])) return errors(403, "permission denied");
    return this.#issued(role.terms, path);
  }

  #issued(terms: AppRole["terms"], path: string): Reply {
    const token = this.store.issue({ ...terms, path });
    return this.#auth(token, token.expiresMs === Number.POSITIVE_INFINITY ? 0 : token.ttlMs / 1000);
  }

  #auth(token: FakeToken, life: number): Reply {
    const auth = {
      client_token: token.id,
      accessor: token.accessor,
      policies: token.policies,
      token_policies: token.policies,
      metadata: {},
      lease_duration: life,
      renewable: token.renewable,
      entity_id: "",
      token_type: token.type,
      orphan: true,
      mfa_requirement: null,
      num_uses: token.usesLeft,
    };
    return { status: 200, body: { ...EMPTY, auth } };
  }

  #wrapLookup({ body }: Asked): Reply {
    const wrap = this.store.liveWrap(body["token"] as string | undefined);
    if (wrap === null) return errors(400, "wrapping token is not valid or does not exist");
    const creation_ttl = (wrap.expiresMs - wrap.createdMs) / 1000;
    const data = { creation_path: wrap.path, creation_time: new Date(wrap.createdMs).toISOString(), creation_ttl };
    return { status: 200, body: { ...EMPTY, data } };
  }

  #unwrap(asked: Asked): Reply {
    const header = tokenOf(asked);
    const inBody = asked.body["token"] as string | undefined;
    const id = inBody ?? header;
    const wrap = this.store.liveWrap(id);
    this.store.wraps.delete(id ?? "");
    // In both places at once it is used up by the first of the two.
    if (wrap === null || (inBody !== undefined && inBody === header))
      return errors(400, "wrapping token is not valid or does not exist");
    return { status: 200, body: { ...EMPTY, data: wrap.data } };
  }

  #renewLease(id: unknown): Reply {
    const lease = this.store.liveLease(id);
    if (lease === null) return errors(400, "lease not found");
    if (!lease.renewable) return errors(400, "lease is not renewable");
    const nowMs = this.#clock.wallMs();
    lease.expiresMs = Math.min(nowMs + lease.ttlMs, lease.maxUntilMs);
    const body = { ...EMPTY, lease_id: lease.id, renewable: true };
    return { status: 200, body: { ...body, lease_duration: Math.floor((lease.expiresMs - nowMs) / 1000) } };
  }

  #revokeLease(id: unknown): Reply {
    if (typeof id !== "string" || id === "") return errors(400, "lease_id must be specified");
    this.store.revoked.push(id);
    this.store.leases.delete(id);
    return { status: 202, body: EMPTY };
  }

  #health(): Reply {
    const body = { initialized: true, sealed: this.sealed, standby: false, version: "0.0.0-fake" };
    return { status: this.sealed ? 503 : 200, body };
  }
}

function errors(status: number, ...texts: readonly string[]): Reply {
  return { status, body: { errors: texts } };
}

function tokenOf({ headers }: Asked): string | undefined {
  const field = headers["x-vault-token"];
  return typeof field === "string" ? field : undefined;
}

function metadataOf({ createdMs, deletionMs, destroyed }: KvVersion, version: number): object {
  const deletion_time = deletionMs === null ? "" : new Date(deletionMs).toISOString();
  return { created_time: new Date(createdMs).toISOString(), custom_metadata: null, deletion_time, destroyed, version };
}

function lookupOf(token: FakeToken, nowMs: number): object {
  const isEndless = token.expiresMs === Number.POSITIVE_INFINITY;
  return {
    id: token.id,
    accessor: token.accessor,
    policies: token.policies,
    ttl: isEndless ? 0 : Math.floor((token.expiresMs - nowMs) / 1000),
    creation_ttl: token.ttlMs / 1000,
    explicit_max_ttl: token.maxMs / 1000,
    expire_time: isEndless ? null : new Date(token.expiresMs).toISOString(),
    issue_time: new Date(token.issuedMs).toISOString(),
    renewable: token.renewable,
    num_uses: token.usesLeft,
    orphan: true,
    path: token.path,
    type: token.type,
    ...(token.periodMs > 0 ? { period: token.periodMs / 1000 } : {}),
  };
}
