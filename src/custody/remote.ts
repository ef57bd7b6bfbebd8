import { parsedJson } from "../core/json-text.ts";
import { checkServerIdentity } from "node:tls";
import { Pool } from "undici";
import type { CustodyHealth, CustodyPort, HeldLease, LeaseGrant, LeaseRequest } from "../core/custody.ts";
import { LeaseRefusal } from "../core/custody.ts";
import { Denial } from "../core/denial.ts";
import type { RevocationPage } from "../core/revocation.ts";
import { decodeProblem } from "./problem.ts";
import { signatureSchema, signPath } from "./sign-wire.ts";
import { decodeLeaseGrant, encodeLeaseRequest } from "./wire.ts";
import { decodePage } from "./wire-revocations.ts";
import { healthSchema, releasedSchema, renewalSchema, WAIT_HEADER } from "./wire-schema.ts";

export interface RemoteOptions {
  readonly address:
    | { readonly kind: "unix"; readonly path: string }
    | { readonly kind: "tcp"; readonly host: string; readonly port: number };
  /** Mutual TLS; `null` only with a unix socket. */
  readonly tls: RemoteTls | null;
  /** One call in all: connecting, asking and reading, `ms`. */
  readonly timeoutMs: number;
}

export interface RemoteTls {
  /** PEM roots; they replace the system's. */
  readonly ca: string;
  /** PEM certificate (and intermediates) and key of this edge. */
  readonly certificate: string;
  readonly key: string;
  /** Name or IP that the custody's certificate must carry. */
  readonly serverName: string;
}

/** No answer is larger than this, `bytes`. */
const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * Custody as a process of its own, over mutual TLS or a unix socket. One request, one answer: no retry, no redirect, no
 * cache, no second way. What it cannot read strictly is no answer.
 */
export class RemoteCustody implements CustodyPort {
  readonly timeoutMs: number;
  readonly #pool: Pool;

  /** @throws TypeError for TCP without TLS */
  constructor({ address, tls, timeoutMs }: RemoteOptions) {
    if (tls === null && address.kind !== "unix") throw new TypeError("custody over TCP needs mutual TLS");
    this.timeoutMs = timeoutMs;
    this.#pool = new Pool(originOf(address, tls), {
      allowH2: false,
      connections: 64,
      pipelining: 1,
      // Well below the server's own, so that no request is sent into a connection that is being closed.
      keepAliveTimeout: 4_000,
      keepAliveMaxTimeout: 30_000,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      maxHeaderSize: 8 * 1024,
      maxResponseSize: MAX_ANSWER_BYTES,
      connect: {
        timeout: timeoutMs,
        ...(address.kind === "unix" ? { socketPath: address.path } : {}),
        ...(tls === null ? {} : tlsOptions(tls)),
      },
    });
  }

  async lease(request: LeaseRequest, signal: AbortSignal): Promise<LeaseGrant> {
    const body = encodeLeaseRequest(request);
    if (body === null)
      throw new LeaseRefusal("request_malformed", "a name of the session is too long or not plain text");
    const answer = await this.#call("POST", "/v1/leases", JSON.stringify(body), signal);
    const grant = decodeLeaseGrant(answer);
    if ("wrongAt" in grant) throw unreadable(`does not follow the lease schema at ${grant.wrongAt}`);
    return grant;
  }

  async sign(leaseId: string, input: string, signal: AbortSignal): Promise<string> {
    const answer = signatureSchema.safeParse(
      await this.#call("POST", signPath(leaseId), JSON.stringify({ input }), signal),
    );
    if (!answer.success) throw unreadable("does not follow the signature schema");
    return answer.data.signature;
  }

  async health(signal: AbortSignal): Promise<CustodyHealth> {
    const answer = healthSchema.safeParse(await this.#call("GET", "/v1/health", null, signal));
    if (!answer.success) throw unreadable("does not follow the health schema");
    const { status, catalogue = null, detail = "it does not say why" } = answer.data;
    return { catalogue, problem: status === "degraded" ? detail : null };
  }

  async renew(held: HeldLease, signal: AbortSignal): Promise<number> {
    const answer = renewalSchema.safeParse(await this.#change("renew", held, signal));
    if (!answer.success || answer.data.lease_id !== held.leaseId) throw unreadable("does not follow the lease schema");
    return answer.data.ttl_ms;
  }

  async release(held: HeldLease, signal: AbortSignal): Promise<void> {
    const answer = releasedSchema.safeParse(await this.#change("release", held, signal));
    if (!answer.success || answer.data.lease_id !== held.leaseId) throw unreadable("does not follow the lease schema");
  }

  async revocations(after: string | null, waitMs: number, signal: AbortSignal): Promise<RevocationPage> {
    const query = new URLSearchParams({ ...(after === null ? {} : { after }), wait_ms: String(waitMs) });
    const path = `/v1/revocations/feed?${query.toString()}`;
    const page = decodePage(await this.#call("GET", path, null, signal, this.timeoutMs + waitMs));
    if (page === null) throw unreadable("does not follow the schema of the feed");
    return page;
  }

  /** Ends every connection; calls that run are refused. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  #change(what: "renew" | "release", { leaseId, session, tenant }: HeldLease, signal: AbortSignal): Promise<unknown> {
    const path = `/v1/leases/${encodeURIComponent(leaseId)}/${what}`;
    return this.#call("POST", path, JSON.stringify({ session, tenant }), signal);
  }

  /** @returns the JSON of a 200 */
  async #call(
    method: "GET" | "POST",
    path: string,
    body: string | null,
    signal: AbortSignal,
    timeoutMs = this.timeoutMs,
  ): Promise<unknown> {
    const { status, type, text } = await this.#exchange(method, path, body, signal, timeoutMs);
    const json = parsedJson(text);
    if (status === 200 && type === "application/json" && json !== undefined) return json;
    throw decodeProblem(status, json) ?? unreadable(`has status ${status} and is no answer of custody`);
  }

  async #exchange(
    method: "GET" | "POST",
    path: string,
    body: string | null,
    signal: AbortSignal,
    timeoutMs: number,
  ): Promise<{ status: number; type: string; text: string }> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    try {
      // Told ahead of the end, so that a slow source is refused by name and does not look like a custody that is gone.
      const wait = { [WAIT_HEADER]: String(Math.floor(this.timeoutMs * 0.8)) };
      const headers = body === null ? wait : { ...wait, "content-type": "application/json" };
      const limits = { headersTimeout: timeoutMs, bodyTimeout: timeoutMs };
      const response = await this.#pool.request({ method, path, headers, body, signal: deadline, ...limits });
      const type = response.headers["content-type"];
      return {
        status: response.statusCode,
        type: typeof type === "string" ? (type.split(";")[0] ?? "").trim().toLowerCase() : "",
        text: await response.body.text(),
      };
    } catch (error) {
      throw unreachable(error, deadline.aborted);
    }
  }
}

function originOf(address: RemoteOptions["address"], tls: RemoteTls | null): string {
  const scheme = tls === null ? "http" : "https";
  if (address.kind === "unix") return `${scheme}://custody`;
  return `${scheme}://${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

function tlsOptions({ ca, certificate, key, serverName }: RemoteTls) {
  return {
    ca,
    cert: certificate,
    key,
    rejectUnauthorized: true,
    minVersion: "TLSv1.3",
    // The name of the config, whatever address was dialled. SNI carries names only (RFC 6066 §3).
    checkServerIdentity: (_host: string, peer: Parameters<typeof checkServerIdentity>[1]) =>
      checkServerIdentity(serverName, peer),
    ...(/^[0-9.]+$|:/.test(serverName) ? {} : { servername: serverName }),
  } as const;
}

function unreadable(what: string): Denial {
  return new Denial("custody_unavailable", { cause: `custody's answer ${what}` });
}

/** Error codes only: messages of parsers and of TLS carry what the other side sent. */
function unreachable(error: unknown, isLate: boolean): Denial {
  if (isLate) return new Denial("custody_unavailable", { cause: "custody did not answer in time" });
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
  const name = error instanceof Error ? error.name : "unknown error";
  return new Denial("custody_unavailable", { cause: `custody cannot be reached (${code ?? name})` });
}
