import { isLoopbackHost } from "../core/loopback.ts";
import { jsonObject } from "../core/json-text.ts";
import { Pool } from "undici";
import type { IssuerEndpoint } from "../core/mint.ts";
import { MintFailure } from "./minters/mint-failure.ts";

export interface IssuerCall {
  readonly method: "GET" | "POST" | "DELETE";
  /** Path and query; left out: those of the endpoint. */
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The answer may be something other than JSON, which then is in `text`. */
  readonly readsText?: true;
}

export interface IssuerAnswer {
  readonly status: number;
  /** The body when it is one JSON object, else `null`. */
  readonly json: Readonly<Record<string, unknown>> | null;
  /** The body of an answer that is no JSON object, where the call asked for it, else `null`. */
  readonly text: string | null;
  /** `Retry-After` in `ms`, or `null`. */
  readonly retryAfterMs: number | null;
  /** The issuer's own clock (`Date`), ms since the epoch, or `null`. */
  readonly serverWallMs: number | null;
  /** One value of a header field, or `null` when it is absent or repeated. @param name lower case */
  readonly header: (name: string) => string | null;
}

/** A certificate that custody shows to an issuer. PEM. */
export interface OutboundIdentity {
  readonly chain: string;
  readonly key: string;
}

/** No answer is larger than this unless its minter says so, `bytes`. */
const MAX_ANSWER_BYTES = 256 * 1024;
const MAX_CONNECTIONS = 8;

/**
 * The one way from custody to an issuer: strict TLS to one origin, no redirect, no retry, no proxy of the environment, and
 * an end to time, bytes and connections. What goes wrong is told by codes of this side: nothing that the issuer wrote is
 * quoted, because issuers like to repeat what they were sent.
 */
export class Outbound {
  readonly timeoutMs: number;
  readonly #where: string;
  readonly #path: string;
  readonly #mostBytes: number;
  readonly #pool: Pool;

  /**
   * @param endpoint its URL was checked by the config: http is for loopback addresses alone
   * @param where names the issuer in errors, such as `token endpoint of credential "x"`
   * @param mostBytes of one answer
   * @throws TypeError for plain http to another machine
   */
  constructor(
    { url, ca, timeoutMs }: IssuerEndpoint,
    where: string,
    identity: OutboundIdentity | null = null,
    mostBytes = MAX_ANSWER_BYTES,
  ) {
    const { protocol, origin, hostname, pathname, search } = new URL(url);
    if (protocol !== "https:" && !(protocol === "http:" && isLoopbackHost(hostname)))
      throw new TypeError("an issuer is spoken to over https");
    this.timeoutMs = timeoutMs;
    this.#where = where;
    this.#path = `${pathname}${search}`;
    this.#mostBytes = mostBytes;
    this.#pool = new Pool(origin, {
      allowH2: false,
      connections: MAX_CONNECTIONS,
      pipelining: 1,
      keepAliveTimeout: 4_000,
      keepAliveMaxTimeout: 30_000,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      maxHeaderSize: 16 * 1024,
      maxResponseSize: mostBytes,
      connect: {
        timeout: timeoutMs,
        // Spelled out: NODE_TLS_REJECT_UNAUTHORIZED must not weaken it.
        rejectUnauthorized: true,
        minVersion: "TLSv1.2",
        ...(ca === null ? {} : { ca }),
        ...(identity === null ? {} : { cert: identity.chain, key: identity.key }),
      },
    });
  }

  /** `application/x-www-form-urlencoded` (RFC 6749 §3.2). */
  postForm(fields: readonly FormField[], headers: IssuerCall["headers"], signal: AbortSignal): Promise<IssuerAnswer> {
    const body = new URLSearchParams(fields.map(([name, value]) => [name, value])).toString();
    const type = { "content-type": "application/x-www-form-urlencoded", accept: "application/json" };
    return this.call({ method: "POST", headers: { ...type, ...headers }, body }, signal);
  }

  postJson(value: unknown, call: Pick<IssuerCall, "path" | "headers">, signal: AbortSignal): Promise<IssuerAnswer> {
    const type = { "content-type": "application/json", accept: "application/json" };
    const body = JSON.stringify(value);
    return this.call({ ...call, method: "POST", headers: { ...type, ...call.headers }, body }, signal);
  }

  /**
   * One request, one answer of any status but a redirect.
   * @param signal nobody waits any more
   * @throws MintFailure
   */
  async call({ method, path, headers = {}, body, readsText }: IssuerCall, signal: AbortSignal): Promise<IssuerAnswer> {
    const late = AbortSignal.timeout(this.timeoutMs);
    const answer = await this.#exchange(
      { method, path: path ?? this.#path, headers: { "user-agent": "postern", ...headers }, body: body ?? null },
      AbortSignal.any([signal, late]),
      late,
      readsText === true,
    );
    if (answer.status >= 300 && answer.status < 400)
      throw this.#failure(
        `answers with a redirect (${answer.status}), which is not followed: write the URL that it leads to`,
      );
    return answer;
  }

  /** Ends every connection; calls that run fail. */
  close(): void {
    this.#pool.destroy().catch(() => undefined);
  }

  /** Ends once the calls that run have ended; nothing new is called. */
  retire(): void {
    this.#pool.close().catch(() => undefined);
  }

  async #exchange(
    request: Parameters<Pool["request"]>[0],
    signal: AbortSignal,
    late: AbortSignal,
    readsText: boolean,
  ): Promise<IssuerAnswer> {
    try {
      const response = await this.#pool.request({ ...request, signal });
      const bytes = Buffer.from(await response.body.arrayBuffer());
      const body = bytes.toString("utf8");
      bytes.fill(0);
      const json = jsonObject(body);
      const text = readsText && json === null ? body : null;
      const header = (name: string): string | null => {
        const value = response.headers[name];
        return typeof value === "string" ? value : null;
      };
      const serverWallMs = dateOf(header("date"));
      const retryAfterMs = retryAfterOf(header("retry-after"), serverWallMs);
      return { status: response.statusCode, json, text, retryAfterMs, serverWallMs, header };
    } catch (error) {
      // undici's own timers are coarse, and may run out a little before ours.
      throw late.aborted || /^UND_ERR_(?:HEADERS|BODY|CONNECT)_TIMEOUT$/.test(codeOf(error))
        ? this.#failure(`did not answer within ${this.timeoutMs} ms: try again later, or raise timeout_ms`)
        : this.#broken(error);
    }
  }

  #broken(error: unknown): MintFailure {
    const code = codeOf(error);
    if (code === "UND_ERR_RES_EXCEEDED_MAX_SIZE")
      return this.#failure(`answers with more than ${this.#mostBytes} bytes: check its URL`);
    if (TLS_CODE.test(code)) return this.#failure(`shows a certificate that does not verify (${code}): check its ca`);
    return this.#failure(`cannot be reached or broke off (${code}): check its URL and the network`);
  }

  #failure(what: string): MintFailure {
    return new MintFailure(`${this.#where} ${what}`, { isWide: true });
  }
}

export type FormField = readonly [name: string, value: string];

const TLS_CODE =
  /^(?:CERT_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH)/;

/** Codes of Node and undici are words of a closed kind; messages carry what the other side sent. */
function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : null;
  if (typeof code === "string" && /^[A-Z0-9_]{1,64}$/.test(code)) return code;
  return error instanceof Error && error.name === "AbortError" ? "aborted" : "unknown error";
}

function dateOf(text: string | null): number | null {
  const ms = text === null || text.length > 64 ? Number.NaN : Date.parse(text);
  return Number.isFinite(ms) ? ms : null;
}

/** RFC 9110 §10.2.3: seconds, or a date, which is read against the issuer's own clock. */
function retryAfterOf(text: string | null, serverWallMs: number | null): number | null {
  if (text === null) return null;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const at = dateOf(text);
  return at === null || serverWallMs === null ? null : Math.max(0, at - serverWallMs);
}
