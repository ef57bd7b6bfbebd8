import { createHash, createHmac } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TestCa } from "./certificates.ts";
import { verify } from "./aws-verifier.ts";
import { type CertifiedUpstream, startCertified } from "./certified-upstream.ts";
import { type ChaosSources, LATE_MS } from "./chaos-sources.ts";
import { type DpopUpstream, startDpop } from "./dpop-upstream.ts";
import { startUpstream, type Upstream } from "./upstream.ts";

/** Upstreams that take nothing without a credential that is good at that moment, and write down every request. */

export const MAIN_HOSTS = [
  "kv.test",
  "dynamic.test",
  "refresh.test",
  "store.test",
  "exec.test",
  "partner.test",
  "aws.test",
  "github.test",
  "body.test",
] as const;
export const HOSTS = [...MAIN_HOSTS, "dpop.test", "certified.test"] as const;
export type Host = (typeof HOSTS)[number];

export interface Judged {
  readonly host: string;
  /** Number of the guest's request, from its path. */
  readonly id: number;
  /** `ok`, or what was wrong with its credential. */
  readonly verdict: string;
  /** When its credential died, monotonic `ms`, where that is known: a request that was asked before is no fault. */
  readonly diedMs?: number;
}

export interface ChaosUpstreams {
  portOf(host: Host): number;
  readonly addressed: (host: Host) => { readonly address: string; readonly port: number; readonly scheme: "https" };
  /** Every request so far. */
  judged(): Judged[];
  stop(): Promise<void>;
}

export async function startUpstreams(ca: TestCa, sources: ChaosSources): Promise<ChaosUpstreams> {
  const judged: Judged[] = [];
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const host = (request.headers.host ?? "").replace(/:\d+$/, "");
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const verdict = verdictOf(host, request, Buffer.concat(chunks), sources);
    const diedMs = host === "dynamic.test" ? endOfLoginIn(request, sources) : -Infinity;
    judged.push({ host, id: idOf(request.url), verdict, diedMs });
    // Hostile as well: it shows the guest what it was sent.
    response.setHeader("X-Echo", request.headers.authorization ?? "none");
    response.writeHead(verdict === "ok" ? 200 : 403).end("the end");
  };
  const main: Upstream = await startUpstream({
    tls: await ca.issue(MAIN_HOSTS),
    // A request that breaks off with its guest brought its head, which is judged by nobody: it counts as none.
    serve: (request, response) => void serve(request, response).catch(() => response.destroy()),
  });
  const { token, key } = sources.bound;
  const dpop: DpopUpstream = await startDpop({
    tls: await ca.issue(["dpop.test"]),
    tokens: { [token]: key.thumbprint },
  });
  dpop.nonces = "none";
  const certified: CertifiedUpstream = await startCertified({
    tls: await ca.issue(["certified.test"]),
    clientCa: ca.certificate,
  });
  const addressed = (host: Host) => ({
    address: "127.0.0.1",
    port: host === "dpop.test" ? dpop.port : host === "certified.test" ? certified.port : main.port,
    scheme: "https" as const,
  });
  return {
    addressed,
    portOf: (host) => addressed(host).port,
    judged: () => [
      ...judged,
      ...dpop.requests.map(({ path, verdict }) => ({ host: "dpop.test", id: idOf(path), verdict })),
      ...certified.requests.map(({ path, certificate }) => ({
        host: "certified.test",
        id: idOf(path),
        verdict: certificate === "DNS:guests.client.test" ? "ok" : `certificate ${certificate}`,
      })),
    ],
    stop: async () => void (await Promise.all([main.close(), dpop.close(), certified.close()])),
  };
}

function idOf(url = ""): number {
  return Number(/^\/r\/(\d+)/.exec(url)?.[1] ?? Number.NaN);
}

function verdictOf(host: string, request: IncomingMessage, body: Buffer, sources: ChaosSources): string {
  const { authorization = "" } = request.headers;
  const bearer = /^Bearer (\S+)$/.exec(authorization)?.[1] ?? "";
  const check = (isGood: boolean, what: string): string => (isGood ? "ok" : what);
  const isLive = (ends: ReadonlyMap<string, number>): string =>
    check(
      performance.now() < (ends.get(bearer) ?? 0) + LATE_MS,
      ends.has(bearer) ? "a token that is over" : "no token",
    );
  switch (host) {
    case "kv.test":
      return check(bearer === sources.kv, "no token");
    case "dynamic.test":
      return check(endOfLoginIn(request, sources) === Infinity, "no login that is good");
    case "refresh.test":
      return isLive(sources.refresh.ends);
    case "partner.test":
      return isLive(sources.partner.ends);
    case "github.test":
      return check(sources.github.opens(bearer, "docs"), "no installation token that is good");
    case "store.test": {
      const wanted = createHmac("sha256", sources.signing).update(body).digest("hex");
      return check(request.headers["x-hub-signature-256"] === `sha256=${wanted}`, "no signature");
    }
    case "exec.test":
      return check(sources.isPrinted(tokenIn(body)), "no token of the helper that is good");
    case "body.test":
      return check(tokenIn(body) === sources.body, "no token in the body");
    case "aws.test":
      return awsVerdict(request, body, sources);
    default:
      return `host ${host}`;
  }
}

function endOfLoginIn({ headers }: IncomingMessage, sources: ChaosSources): number {
  const pair = Buffer.from(/^Basic (\S+)$/.exec(headers.authorization ?? "")?.[1] ?? "", "base64").toString();
  const colon = pair.indexOf(":");
  return sources.endOfLogin(pair.slice(0, colon), pair.slice(colon + 1));
}

function tokenIn(body: Buffer): string {
  try {
    return String((JSON.parse(body.toString()) as { api_key?: unknown }).api_key);
  } catch {
    return createHash("sha256").update(body).digest("hex");
  }
}

function awsVerdict(request: IncomingMessage, body: Buffer, { sts }: ChaosSources): string {
  const id = /Credential=(\w+)\//.exec(request.headers.authorization ?? "")?.[1];
  const keys = sts.keys.find(({ accessKeyId }) => accessKeyId === id);
  if (keys === undefined) return "no keys of the service";
  const { method = "", url = "", rawHeaders } = request;
  try {
    const options = { keys, region: "eu-central-1", service: "execute-api", nowMs: Date.now() };
    verify({ method, url, rawHeaders, body }, options);
    return "ok";
  } catch (error) {
    return String(error);
  }
}
