import { mkdtemp, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCa, type TestCa } from "./certificates.ts";
import { freePorts, type PosternProcess, startPostern } from "./postern-process.ts";
import { bareEnv } from "./run.ts";
import type { Upstream } from "./upstream.ts";

type Reachable = Pick<Upstream, "address" | "port" | "scheme">;

/** A part of a config file, as YAML would say it. Objects are merged into the base, lists replace it. */
export interface ConfigPart {
  readonly [key: string]: unknown;
}

export interface EdgeOptions {
  /** Merged over the base: one open listener, admin, a CA of its own, an audit file, no destination. */
  readonly config?: ConfigPart;
  readonly destinations?: readonly ConfigPart[];
  /** Beside the one of the base. */
  readonly listeners?: readonly ConfigPart[];
  /** Of the embedded custody `main`; a source may be `{ env: NAME }` with `env` below. */
  readonly credentials?: readonly ConfigPart[];
  /** The store of that custody. */
  readonly store?: ConfigPart;
  /** The whole `custody:` section, in place of the embedded one. */
  readonly custody?: ConfigPart;
  readonly env?: Readonly<Record<string, string>>;
  /** What names resolve to at the edge; no other name exists. */
  readonly hosts?: Readonly<Record<string, readonly string[]>>;
  /** PEM files that the edge trusts upstream beside the system's roots. */
  readonly extraRoots?: readonly string[];
  /** `ready` waits for /readyz to say 200, `live` for /healthz only (custody down from the start). */
  readonly wait?: "ready" | "live";
}

export interface Edge {
  readonly process: PosternProcess;
  /** `http://127.0.0.1:PORT` */
  readonly proxyUrl: string;
  readonly proxyPort: number;
  readonly adminUrl: string;
  /** PEM file of the edge's CA, the one that guests trust. */
  readonly ca: TestCa;
  /** Holds the config, the audit file and the CA; removed by `stop`. */
  readonly directory: string;
  readonly configFile: string;
  /** Environment of a guest: bare, plus the proxy in both cases and the CA for clients that add or replace roots. */
  guestEnv(more?: Readonly<Record<string, string>>): Record<string, string>;
  /** Writes the config anew, for reload tests. */
  rewrite(change: ConfigPart): Promise<void>;
  /** Records of the audit file so far. */
  audit(): Promise<Record<string, unknown>[]>;
  /** `/metrics` as text. */
  metrics(): Promise<string>;
  stop(): Promise<void>;
}

/** Starts the real command on a config of its own. */
export async function startEdge(options: EdgeOptions = {}): Promise<Edge> {
  const directory = await mkdtemp(join(tmpdir(), "postern-edge-"));
  const ca = await makeCa(join(directory, "ca"), "Postern house test CA");
  await mkdir(join(directory, "guest-home"));
  // A port may be taken between the look and the use.
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(directory, ca, options);
    } catch (error) {
      if (attempt < 3 && String(error).includes("EADDRINUSE")) continue;
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }
}

async function startOnce(directory: string, ca: TestCa, options: EdgeOptions): Promise<Edge> {
  const [proxyPort = 0, adminPort = 0] = await freePorts(2);
  const configFile = join(directory, "postern.yaml");
  const adminUrl = `http://127.0.0.1:${adminPort}`;
  let config = merge(baseConfig(directory, ca, proxyPort, adminPort, options), options.config ?? {});
  // JSON is YAML.
  const write = async (): Promise<void> => {
    // Renamed over the old one: a half of it is never there to be read.
    await writeFile(`${configFile}.next`, JSON.stringify(config, null, 2));
    await rename(`${configFile}.next`, configFile);
  };
  await write();
  const probe = `${adminUrl}${options.wait === "live" ? "/healthz" : "/readyz"}`;
  const process = await startPostern(["serve", "--config", configFile], {
    env: options.env ?? {},
    hosts: options.hosts ?? {},
    ready: async () => (await statusOf(probe)) === 200,
  });
  const proxyUrl = `http://127.0.0.1:${proxyPort}`;
  return {
    process,
    proxyUrl,
    proxyPort,
    adminUrl,
    ca,
    directory,
    configFile,
    guestEnv: (more = {}) => ({ ...guestEnv(join(directory, "guest-home"), proxyUrl, ca.certificateFile), ...more }),
    async rewrite(change) {
      config = merge(config, change);
      await write();
    },
    async audit() {
      const text = await readFile(join(directory, "audit.jsonl"), "utf8");
      // Read in the middle of a write, its end is a part of a line.
      const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
      return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    metrics: async () => (await bodyOf(`${adminUrl}/metrics`)).body,
    async stop() {
      await process.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function baseConfig(
  directory: string,
  ca: TestCa,
  proxyPort: number,
  adminPort: number,
  { destinations = [], credentials = [], store, custody, extraRoots = [], listeners = [] }: EdgeOptions,
): ConfigPart {
  return {
    listeners: [
      {
        name: "guests",
        address: `127.0.0.1:${proxyPort}`,
        session: { mode: "open", tenant: "local", workspace: "default", id: "local" },
      },
      ...listeners,
    ],
    admin: { address: `127.0.0.1:${adminPort}` },
    ca: { certificate: ca.certificateFile, key: ca.keyFile },
    upstream: { extra_roots: extraRoots },
    timeouts: { drain_ms: 2000 },
    audit: { file: join(directory, "audit.jsonl") },
    custody: custody ?? { main: { embedded: { credentials, ...(store === undefined ? {} : { store }) } } },
    destinations,
  };
}

/** A destination that leads to a test upstream: `name` is its host name as well, which `hosts` must map to 127.0.0.1. */
export function destinationFor(upstream: Reachable, name: string, more: ConfigPart = {}): ConfigPart {
  const scheme = upstream.scheme;
  return {
    name: name.replaceAll(/[^a-z0-9-]/g, "-"),
    host: name,
    port: upstream.port,
    scheme,
    addresses: [`${upstream.address}/${upstream.address.includes(":") ? 128 : 32}`],
    allow: [{ methods: ["*"], paths: ["/**"] }],
    ...more,
  };
}

/** Every client's own way to the proxy and the CA, by the table of `postern guest-env`; kept apart to be a second opinion. */
function guestEnv(home: string, proxyUrl: string, caFile: string): Record<string, string> {
  const proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].flatMap((name) => [name, name.toLowerCase()]);
  const trust = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"];
  return {
    ...bareEnv(home),
    ...Object.fromEntries(proxies.map((name) => [name, proxyUrl])),
    ...Object.fromEntries(trust.map((name) => [name, caFile])),
    NODE_USE_ENV_PROXY: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_NOSYSTEM: "1",
  };
}

function merge(base: ConfigPart, change: ConfigPart): ConfigPart {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(change)) {
    const before = merged[key];
    merged[key] = isPart(before) && isPart(value) ? merge(before, value) : value;
  }
  return merged;
}

function isPart(value: unknown): value is ConfigPart {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function statusOf(url: string): Promise<number> {
  try {
    return (await bodyOf(url)).status;
  } catch {
    // Not listening yet: the caller asks again until its deadline.
    return 0;
  }
}

/** `node:http` by hand: fetch would take a proxy from the environment of whoever runs the tests. */
function bodyOf(url: string): Promise<{ status: number; body: string }> {
  return new Promise((done, fail) => {
    const request = get(url, { agent: false, timeout: 20_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        done({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") }),
      );
      response.on("error", fail);
    });
    request.on("timeout", () => request.destroy(new Error(`${url} does not answer`)));
    request.on("error", fail);
  });
}
