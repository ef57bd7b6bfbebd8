import type { IncomingMessage, ServerResponse } from "node:http";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCa } from "./certificates.ts";
import { type ConfigPart, destinationFor, type Edge, startEdge } from "./edge.ts";
import { root } from "./postern-process.ts";
import type { Demand, Recorded } from "./recording.ts";
import { bareEnv, run } from "./run.ts";
import { startUpstream, type Upstream } from "./upstream.ts";

/** The two names of the service: the same upstream, asked with the credential of a custody that works, and of one that is down. */
export const SERVICE = "service.test";
export const DOWN = "down.test";

export interface ServiceOptions {
  /** Answers the requests that brought the credential. */
  readonly serve?: (request: IncomingMessage, response: ServerResponse, recorded: Recorded) => void;
  /** Bare git repositories for `/git/`. */
  readonly gitRoot?: string;
  readonly demand: Demand;
  /** What custody holds, without name, source and hosts. */
  readonly credential?: ConfigPart;
  readonly secret: string;
  /** How the edge attaches it, and what else is to be said of both destinations. */
  readonly destination: ConfigPart;
  /** Merged over the config. */
  readonly config?: ConfigPart;
}

/** A real edge in front of a service over TLS, and what a guest's programs are given to use it. */
export interface Service {
  readonly edge: Edge;
  readonly upstream: Upstream;
  /** Empty at first; removed in the end. */
  readonly directory: string;
  url(path: string, name?: typeof SERVICE | typeof DOWN): string;
  /** What `postern guest-env` prints, on top of a bare environment with a home of its own. */
  guestEnv(more?: Readonly<Record<string, string>>): Promise<Record<string, string>>;
  stop(): Promise<void>;
}

export async function startService(options: ServiceOptions): Promise<Service> {
  const directory = await mkdtemp(join(tmpdir(), "postern-service-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const upstream = await startUpstream({
    tls: await ca.issue([SERVICE, DOWN]),
    demand: options.demand,
    ...(options.gitRoot === undefined ? {} : { gitRoot: options.gitRoot }),
    ...(options.serve === undefined ? {} : { serve: options.serve }),
  });
  const source = { kind: "token", ...options.credential, name: "service", source: { env: "SERVICE_SECRET" } };
  const edge = await startEdge({
    hosts: { [SERVICE]: ["127.0.0.1"], [DOWN]: ["127.0.0.1"] },
    extraRoots: [ca.certificateFile],
    env: { SERVICE_SECRET: options.secret },
    custody: {
      main: { embedded: { credentials: [{ ...source, hosts: [`${SERVICE}:${upstream.port}`] }] } },
      gone: { remote: { address: `unix:${join(directory, "nobody.sock")}` } },
    },
    destinations: [
      destinationFor(upstream, SERVICE, { ...options.destination, credential: "main/service" }),
      destinationFor(upstream, DOWN, { ...options.destination, credential: "gone/service" }),
    ],
    ...(options.config === undefined ? {} : { config: options.config }),
  });
  let printed: Promise<Record<string, string>> | null = null;
  return {
    edge,
    upstream,
    directory,
    url: (path, name = SERVICE) => upstream.urlFor(name, path),
    async guestEnv(more = {}) {
      printed ??= printGuestEnv(edge, directory);
      return { ...bareEnv(join(edge.directory, "guest-home")), ...(await printed), ...more };
    },
    async stop() {
      await edge.stop();
      await upstream.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function printGuestEnv(edge: Edge, directory: string): Promise<Record<string, string>> {
  const args = ["guest-env", "--config", edge.configFile, "--out", join(directory, "guest"), "--format", "json"];
  const result = await run(process.execPath, [join(root, "src/main.ts"), ...args], { env: bareEnv(directory) });
  if (result.code !== 0) throw new Error(result.stderr);
  return (JSON.parse(result.stdout) as { env: Record<string, string> }).env;
}
