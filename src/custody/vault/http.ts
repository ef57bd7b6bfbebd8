import { jsonObject } from "../../core/json-text.ts";
import { checkServerIdentity } from "node:tls";
import { Pool } from "undici";
import type { Clock } from "../../core/clock.ts";
import type { Secret } from "../../core/secret.ts";
import type { VaultServer } from "../../core/vault.ts";
import type { Json } from "./answer.ts";
import { faultOfStatus, VaultFault } from "./fault.ts";

export interface VaultRequest {
  readonly method: "GET" | "POST";
  /** Below `/v1/`, already percent-encoded, with its query. */
  readonly path: string;
  /** `null`: the endpoint takes no token, and none is sent. */
  readonly token: Secret | null;
  readonly body?: Readonly<Record<string, unknown>>;
  /** Endpoints that exist in the root namespace alone. */
  readonly isOfRoot?: boolean;
}

/** An answer that is a success, or a refusal of what was asked (400, 403, 404). */
export interface VaultAnswer {
  readonly status: number;
  /** The envelope; empty where there was no body. */
  readonly json: Json;
  /** Monotonic ms of the moment before the request: what a server says of lives counts from here at the latest. */
  readonly sentAtMs: number;
  /** The server's own clock in its `Date` field, ms since the epoch, or `null`. */
  readonly serverMs: number | null;
}

/** Largest answer, `bytes`: a secret is at most 64 KiB here, and its metadata comes with it. */
const MAX_ANSWER_BYTES = 256 * 1024;
const CONNECTIONS = 16;
/** How long a server is left alone after 429 when it does not say, and at most, `ms`. */
const QUIET_MS = 1_000;
const MOST_QUIET_MS = 60_000;

/**
 * The HTTP API of one Vault. One request, one answer: TLS is verified strictly, no redirect is followed, body and time are bounded.
 * Error texts are made of codes and names of the config; what the server or a parser said is never among them.
 */
export class VaultHttp {
  readonly where: string;
  readonly #server: VaultServer;
  readonly #clock: Clock;
  readonly #pool: Pool;
  #quietUntilMs = Number.NEGATIVE_INFINITY;

  constructor(server: VaultServer, clock: Clock) {
    this.#server = server;
    this.#clock = clock;
    this.where = `vault "${server.name}"`;
    this.#pool = new Pool(originOf(server), {
      allowH2: false,
      connections: CONNECTIONS,
      pipelining: 1,
      // Below what servers and balancers keep idle connections for.
      keepAliveTimeout: 4_000,
      keepAliveMaxTimeout: 30_000,
      headersTimeout: server.timeoutMs,
      bodyTimeout: server.timeoutMs,
      maxHeaderSize: 16 * 1024,
      connect: { timeout: server.timeoutMs, ...connectOptions(server) },
    });
  }

  /**
   * @param signal nobody waits any more
   * @throws VaultFault for everything but 200, 202, 204, 400, 403 and 404
   */
  async call(request: VaultRequest, signal?: AbortSignal): Promise<VaultAnswer> {
    const sentAtMs = this.#clock.monotonicMs();
    if (sentAtMs < this.#quietUntilMs) throw this.#fault("rate_limited", "asked to be left alone for a while");
    const { status, fields, json } = await this.#exchange(request, signal);
    if (status === 429) this.#quietUntilMs = sentAtMs + quietMs(fields["retry-after"]);
    const fault = faultOfStatus(status, this.where);
    if (fault !== null) throw fault;
    if (json === null && (status === 200 || status === 202))
      throw this.#fault("unreadable", `answers with status ${status} and no JSON object`);
    const dated = typeof fields["date"] === "string" ? Date.parse(fields["date"]) : Number.NaN;
    return { status, json: json ?? {}, sentAtMs, serverMs: Number.isNaN(dated) ? null : dated };
  }

  /** `GET sys/health` with its status told in words: it answers without a token. @throws VaultFault */
  async health(signal?: AbortSignal): Promise<void> {
    // A standby forwards what it is asked.
    const path = "sys/health?standbyok=true&perfstandbyok=true";
    await this.call({ method: "GET", path, token: null, isOfRoot: true }, signal);
  }

  /** Ends every connection; calls that run are refused. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async #exchange(request: VaultRequest, signal: AbortSignal | undefined): Promise<Exchanged> {
    const timeout = AbortSignal.timeout(this.#server.timeoutMs);
    const deadline = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
    try {
      const response = await this.#pool.request({
        method: request.method,
        path: `/v1/${request.path}`,
        headers: this.#headers(request),
        body: request.body === undefined ? null : JSON.stringify(request.body),
        signal: deadline,
      });
      const bytes = await wholeBody(response.body);
      return { status: response.statusCode, fields: response.headers, json: parsed(bytes) };
    } catch (error) {
      throw this.#broken(error, deadline);
    }
  }

  #headers({ token, body, isOfRoot = false }: VaultRequest): Record<string, string> {
    const { namespace } = this.#server;
    return {
      accept: "application/json",
      // Agents and proxies can demand it: a page that was tricked into asking cannot send it.
      "x-vault-request": "true",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(namespace === null || isOfRoot ? {} : { "x-vault-namespace": `${namespace}/` }),
      ...(token === null ? {} : { "x-vault-token": token.reveal() }),
    };
  }

  /** Codes alone: messages of parsers and of TLS carry what the other side sent. */
  #broken(error: unknown, deadline: AbortSignal): VaultFault {
    if (error instanceof TooLarge)
      return this.#fault("unreadable", `answers with more than ${MAX_ANSWER_BYTES} bytes: check the path`);
    if (deadline.aborted) {
      const { timeoutMs } = this.#server;
      return this.#fault("unreachable", `gave no answer within ${timeoutMs} ms: look at it, or raise timeout_ms`);
    }
    const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
    const name = code ?? (error instanceof Error ? error.name : "unknown error");
    const isOfTls = /CERT|SIGN|VERIFY|ISSUER|ALTNAME/.test(name);
    return this.#fault(
      "unreachable",
      `cannot be reached (${name}): ${isOfTls ? "check ca and server_name of its entry" : "check its address, and that it runs"}`,
    );
  }

  #fault(kind: VaultFault["kind"], text: string): VaultFault {
    return new VaultFault(kind, `${this.where} ${text}`);
  }
}

interface Exchanged {
  readonly status: number;
  readonly fields: Readonly<Record<string, string | string[] | undefined>>;
  readonly json: Json | null;
}

class TooLarge extends Error {}

/** Reads a body to its end; what was read too much of is thrown away unread. */
async function wholeBody(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) throw new TooLarge();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } finally {
    for (const chunk of chunks) chunk.fill(0);
  }
}

/** The object in a body, or `null`. The bytes are overwritten. */
function parsed(bytes: Buffer): Json | null {
  try {
    return jsonObject(bytes.toString("utf8"));
  } finally {
    bytes.fill(0);
  }
}

/** RFC 9110 §10.2.3, seconds; a date or nonsense counts as not told. */
function quietMs(retryAfter: string | string[] | undefined): number {
  const told = typeof retryAfter === "string" && /^[0-9]{1,6}$/.test(retryAfter) ? Number(retryAfter) * 1000 : QUIET_MS;
  return Math.min(told, MOST_QUIET_MS);
}

function originOf({ address }: VaultServer): string {
  if (address.kind === "unix") return "http://localhost";
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${address.kind}://${host}:${address.port}`;
}

function connectOptions({ address, ca, serverName }: VaultServer) {
  if (address.kind === "unix") return { socketPath: address.path };
  if (address.kind === "http") return {};
  return {
    ...(ca === null ? {} : { ca }),
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    // The name of the config, whatever address was dialled. SNI carries names only (RFC 6066 §3).
    checkServerIdentity: (_host: string, peer: Parameters<typeof checkServerIdentity>[1]) =>
      checkServerIdentity(serverName, peer),
    ...(/^[0-9.]+$|:/.test(serverName) ? {} : { servername: serverName }),
  } as const;
}
