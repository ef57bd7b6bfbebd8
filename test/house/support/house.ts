import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openGuest, openTunnel, type RawGuest } from "../../hostile/raw-guest.ts";
import { makeCa, type TestCa } from "./certificates.ts";
import { type ConfigPart, destinationFor, type Edge, startEdge } from "./edge.ts";
import type { RawUpstream } from "./raw-upstream.ts";
import { bareEnv, run, type RunResult } from "./run.ts";
import { startUpstream, type Upstream, type UpstreamOptions } from "./upstream.ts";
import { startWsUpstream, type WsUpstream } from "./ws-upstream.ts";

/** The two ways of a guest: a tunnel with TLS inside, and a request in absolute-form. Nearly every story is told of both. */
export const WAYS = ["through CONNECT and TLS", "in absolute-form"] as const;
/** The third way, of guests that agree on `h2` inside the tunnel. */
export const OVER_HTTP2 = "over HTTP/2 in a tunnel";
/** For clients that speak whatever is agreed on; the first two hold curl to HTTP/1.1. */
export const CLIENT_WAYS = [...WAYS, OVER_HTTP2] as const;
export type Way = (typeof CLIENT_WAYS)[number];

/** What the upstreams demand and the edge attaches. */
export const TOKEN = "right-token-7d31c09e52";
const NAME = "api.test";
const EVERYTHING = [{ methods: ["*"], paths: ["/**"] }];

export interface HouseOptions {
  /** Bare git repositories for `/git/`. */
  readonly gitRoot?: string;
  /** Answers at `api.test` in place of `routes.ts`. */
  readonly serve?: NonNullable<UpstreamOptions["serve"]>;
  /** Upstreams with names of their own, made with a CA that the edge trusts; destinations without a credential lead there. */
  readonly others?: (ca: TestCa) => Promise<Readonly<Record<string, RawUpstream>>>;
  /** Those of the `others` that are `tls: passthrough`. */
  readonly passThrough?: readonly string[];
  /** What may be called at one of the `others`, by name; default everything. */
  readonly allow?: Readonly<Record<string, readonly ConfigPart[]>>;
  /** Whether `api.test` is there a third time, with WebSockets over HTTP/2. */
  readonly webSocketsOverHttp2?: boolean;
  /** Beside the open one that speaks HTTP. */
  readonly listeners?: readonly ConfigPart[];
  /** Merged over the config. */
  readonly config?: ConfigPart;
}

/** A whole house: `api.test` over TLS and without, both recording and demanding the credential, and the real edge in front. */
export interface House {
  readonly edge: Edge;
  /** The CA of the upstreams; guests that go through the edge never see it. */
  readonly upstreamCa: TestCa;
  readonly others: Readonly<Record<string, RawUpstream>>;
  readonly overHttp2: WsUpstream | null;
  /** Empty at first; removed in the end. */
  readonly directory: string;
  upstream(way: Way): Upstream;
  url(way: Way, path: string): string;
  /** curl as a guest runs it; arguments go before the URL. */
  curl(way: Way, path: string, ...args: string[]): Promise<RunResult>;
  /** The same, straight to the upstream with the credential in hand. */
  curlDirectly(way: Way, path: string, ...args: string[]): Promise<RunResult>;
  /** A guest that writes bytes, on its way to `api.test`. */
  raw(way: Way): Promise<RawWay>;
  /** The same to one of the `others`, the way that its scheme asks for. */
  rawTo(name: string): Promise<RawWay>;
  reset(): void;
  stop(): Promise<void>;
}

export interface RawWay extends RawGuest {
  /** Writes a head, the target's front and Host filled in, and then `body` as it stands. */
  request(method: string, path: string, fields?: readonly string[], body?: string): void;
}

export async function startHouse(options: HouseOptions = {}): Promise<House> {
  const directory = await mkdtemp(join(tmpdir(), "postern-house-"));
  const upstreamCa = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const demand = { in: "header", name: "authorization", value: `Bearer ${TOKEN}` } as const;
  const git = options.gitRoot === undefined ? {} : { gitRoot: options.gitRoot };
  const serve = options.serve === undefined ? {} : { serve: options.serve };
  const secure = await startUpstream({ tls: await upstreamCa.issue([NAME]), demand, ...git, ...serve });
  const plain = await startUpstream({ demand, ...git, ...serve });
  const overHttp2 =
    options.webSocketsOverHttp2 === true
      ? await startWsUpstream(await upstreamCa.issue([NAME]), `Bearer ${TOKEN}`)
      : null;
  const upstreams = [secure, plain, ...(overHttp2 === null ? [] : [overHttp2])];
  const others = (await options.others?.(upstreamCa)) ?? {};
  const names = Object.keys(others);
  const credential = { credential: "main/api", attach: { as: "bearer" } };
  const edge = await startEdge({
    hosts: Object.fromEntries([NAME, ...names].map((name) => [name, ["127.0.0.1"]])),
    extraRoots: [upstreamCa.certificateFile],
    env: { UPSTREAM_TOKEN: TOKEN },
    credentials: [
      {
        name: "api",
        kind: "token",
        source: { env: "UPSTREAM_TOKEN" },
        hosts: upstreams.map(({ port }) => `${NAME}:${port}`),
      },
    ],
    destinations: [
      destinationFor(secure, NAME, { ...credential, name: "secure" }),
      destinationFor(plain, NAME, { ...credential, name: "plain", plain_http_credential: "accept" }),
      ...(overHttp2 === null
        ? []
        : [destinationFor(overHttp2, NAME, { ...credential, name: "over-http2", http: "h2" })]),
      ...Object.entries(others).map(([name, other]) =>
        options.passThrough?.includes(name) === true
          ? destinationFor({ ...other, scheme: "https" }, name, { tls: "passthrough", allow: undefined })
          : destinationFor(other, name, { allow: options.allow?.[name] ?? EVERYTHING }),
      ),
    ],
    ...(options.listeners === undefined ? {} : { listeners: options.listeners }),
    ...(options.config === undefined ? {} : { config: options.config }),
  });
  const upstream = (way: Way): Upstream => (way === WAYS[1] ? plain : secure);
  const url = (way: Way, path: string): string => upstream(way).urlFor(NAME, path);
  return {
    edge,
    upstreamCa,
    others,
    overHttp2,
    directory,
    upstream,
    url,
    curl: (way, path, ...args) =>
      run("curl", ["-sS", way === OVER_HTTP2 ? "--http2" : "--http1.1", ...args, url(way, path)], {
        env: edge.guestEnv(),
      }),
    curlDirectly(way, path, ...args) {
      const there = ["--resolve", `${NAME}:${upstream(way).port}:127.0.0.1`, "--cacert", upstreamCa.certificateFile];
      const proof = ["-H", `Authorization: Bearer ${TOKEN}`];
      return run("curl", ["-sS", ...there, ...proof, ...args, url(way, path)], { env: bareEnv(directory) });
    },
    raw: (way) => rawWay(edge.proxyPort, way, NAME, upstream(way).port),
    rawTo(name) {
      const other = others[name];
      if (other === undefined) throw new Error(`no upstream is called ${name}`);
      return rawWay(edge.proxyPort, other.scheme === "https" ? WAYS[0] : WAYS[1], name, other.port);
    },
    reset() {
      for (const one of upstreams) one.reset();
    },
    async stop() {
      await edge.stop();
      await Promise.all([...upstreams, ...Object.values(others)].map((one) => one.close()));
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function rawWay(proxyPort: number, way: Way, name: string, port: number): Promise<RawWay> {
  const authority = `${name}:${port}`;
  const tunnelled = way !== WAYS[1];
  const guest = tunnelled ? await openTunnel(proxyPort, authority, name) : await openGuest(proxyPort);
  const front = tunnelled ? "" : `http://${authority}`;
  return Object.assign(guest, {
    request(method: string, path: string, fields: readonly string[] = [], body = ""): void {
      const head = [`${method} ${front}${path} HTTP/1.1`, `Host: ${authority}`, ...fields, "", ""].join("\r\n");
      guest.send(`${head}${body}`);
    },
  });
}
