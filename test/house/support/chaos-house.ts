import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROLE_ID } from "../../custody/support/vault-bench.ts";
import { makeCa } from "./certificates.ts";
import { ChaosCustody } from "./chaos-custody.ts";
import { ChaosGuests } from "./chaos-guests.ts";
import { type ChaosSources, ROLE, startSources } from "./chaos-sources.ts";
import { type ChaosUpstreams, type Host, HOSTS, startUpstreams } from "./chaos-upstreams.ts";
import { type ConfigPart, destinationFor, type Edge, startEdge } from "./edge.ts";
import { freePorts, root } from "./postern-process.ts";
import { run } from "./run.ts";
import { type SmallDisk, smallDisk } from "./small-disk.ts";

/** One edge, a custody on a unix socket, one over mutual TLS, everything that they rely on, and guests. */
export interface ChaosHouse {
  readonly directory: string;
  readonly edge: Edge;
  /** On a unix socket: Vault, refresh tokens, the store, helpers, keys of DPoP. */
  readonly near: ChaosCustody;
  /** Over mutual TLS: client credentials, STS, GitHub, client certificates, files. */
  readonly far: ChaosCustody;
  readonly sources: ChaosSources;
  readonly upstreams: ChaosUpstreams;
  readonly guests: ChaosGuests;
  /** Of the edge's audit, and of everything that `near` writes; `null` where none can be had. */
  readonly edgeDisk: SmallDisk | null;
  readonly nearDisk: SmallDisk | null;
  /** Where roots are, or what they became; all keys of TLS are in `.key` files of these folders. */
  readonly rootFiles: readonly string[];
  /** The wall clock of edge and custodies, as it is set from now on. */
  setClocks(shiftMs: number): Promise<void>;
  startNear(): Promise<void>;
  /** `postern custody secret set NAME`, beside the custody. @returns the exit code */
  setSecret(value: string): Promise<number | null>;
  stop(): Promise<void>;
}

export const NEAR_HOSTS = [
  "kv.test",
  "dynamic.test",
  "refresh.test",
  "store.test",
  "exec.test",
  "dpop.test",
] as const satisfies readonly Host[];

/** Life of the leases of what has no end of its own, `s`. */
const TTL_S = 2;

export async function startChaos(): Promise<ChaosHouse> {
  const directory = await mkdtemp(join(tmpdir(), "postern-chaos-"));
  const at = (name: string): string => join(directory, name);
  const ca = await makeCa(at("upstream-ca"), "Upstream CA");
  const custodyCa = await makeCa(at("custody-ca"), "Custody CA");
  const client = await ca.issue(["guests.client.test"]);
  const server = await custodyCa.issue(["custody.internal"], { extendedKeyUsage: "serverAuth" });
  const edgeLeaf = await custodyCa.issue(["edge-1.internal"], { extendedKeyUsage: "clientAuth" });
  const sources = await startSources(at("roots"), client);
  const upstreams = await startUpstreams(ca, sources);
  const nearDisk = smallDisk(16);
  const edgeDisk = smallDisk(64);
  const [farPort = 0] = await freePorts(1);
  await writeFile(at("clock"), "0");
  const clock = {
    POSTERN_TEST_CLOCK: at("clock"),
    NODE_OPTIONS: `--import ${join(root, "test/house/support/clock-preload.ts")}`,
  };
  const nearDirectory = nearDisk?.directory ?? at("near");
  const near = new ChaosCustody(
    nearDirectory,
    { path: at("near.sock") },
    nearConfig(sources, upstreams, nearDirectory),
    clock,
  );
  const listen = {
    tls: { certificate: server.certificateFile, key: server.keyFile, client_ca: custodyCa.certificateFile },
  };
  const farConfig = { listen, clients: [{ name: "edge-1.internal" }], credentials: farCredentials(sources, upstreams) };
  const far = new ChaosCustody(at("far"), { port: farPort }, farConfig, clock);
  const startNear = async (): Promise<void> => {
    await sources.wrapSecretId();
    await near.start();
  };
  const setSecret = async (value: string): Promise<number | null> => {
    const words = ["custody", "secret", "set", "chaos/signing", "--config", near.configFile];
    const result = await run(process.execPath, [join(root, "src/main.ts"), ...words], { input: value });
    return result.code;
  };
  await near.prepare();
  if ((await setSecret(sources.signing)) !== 0) throw new Error("the store takes no secret");
  await startNear();
  await far.start();
  const remote = { timeout_ms: 2_000 };
  const tls = {
    ca: custodyCa.certificateFile,
    certificate: edgeLeaf.certificateFile,
    key: edgeLeaf.keyFile,
    server_name: "custody.internal",
  };
  const edge = await startEdge({
    hosts: Object.fromEntries(HOSTS.map((host) => [host, ["127.0.0.1"]])),
    extraRoots: [ca.certificateFile],
    env: clock,
    custody: {
      near: { remote: { address: `unix:${at("near.sock")}`, ...remote } },
      far: { remote: { address: `127.0.0.1:${farPort}`, tls, ...remote } },
    },
    destinations: HOSTS.map((host) =>
      destinationFor(upstreams.addressed(host), host, { attach: ATTACH[host], credential: credentialOf(host) }),
    ),
    config: edgeDisk === null ? {} : { audit: { file: join(edgeDisk.directory, "audit.jsonl"), mode: "strict" } },
  });
  const guests = new ChaosGuests(edge.proxyPort, (host) => upstreams.portOf(host));
  return {
    directory,
    edge,
    near,
    far,
    sources,
    upstreams,
    guests,
    edgeDisk,
    nearDisk,
    rootFiles: [
      sources.directory,
      at("upstream-ca"),
      at("custody-ca"),
      join(edge.directory, "ca"),
      join(nearDirectory, "refresh.state"),
    ],
    async setClocks(shiftMs) {
      await writeFile(at("clock"), String(shiftMs));
      for (const { pid } of [edge.process, near.process, far.process]) process.kill(pid, "SIGUSR2");
    },
    startNear,
    setSecret,
    async stop() {
      await edge.stop();
      await Promise.all([near.process.stop(), far.process.stop()]);
      await upstreams.stop();
      await sources.stop();
      nearDisk?.remove();
      edgeDisk?.remove();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

const BODY_BYTES = 4096;
const ATTACH: Readonly<Record<Host, ConfigPart>> = {
  "kv.test": { as: "bearer" },
  "dynamic.test": { as: "basic" },
  "refresh.test": { as: "bearer" },
  "store.test": { as: "hmac", preset: "github", body_bytes: BODY_BYTES },
  "exec.test": { as: "body", pointer: "/api_key", body_bytes: BODY_BYTES },
  "dpop.test": { as: "dpop" },
  "partner.test": { as: "bearer" },
  "aws.test": { as: "sigv4", region: "eu-central-1", service: "execute-api", body_bytes: BODY_BYTES },
  "github.test": { as: "bearer" },
  "body.test": { as: "body", pointer: "/api_key", body_bytes: BODY_BYTES },
  "certified.test": { as: "client_certificate" },
};

export function credentialOf(host: Host): string {
  const isNear = (NEAR_HOSTS as readonly Host[]).includes(host);
  return `${isNear ? "near" : "far"}/${host.replace(".test", "")}`;
}

function nearConfig(sources: ChaosSources, upstreams: ChaosUpstreams, directory: string): ConfigPart {
  const { at, gates } = sources;
  const entry = entryFor(upstreams);
  const approle = { role_id: ROLE_ID, wrapped_secret_id: { file: at("wrapped") } };
  return {
    vaults: { main: { address: `http://127.0.0.1:${gates.vault.port}`, login: { approle }, timeout_ms: 1_500 } },
    store: { file: join(directory, "secrets.store"), key: { file: at("store.key") } },
    credentials: [
      entry("kv.test", { kind: "token", source: { vault: "main", path: "kv/apps/kv", field: "api_key" } }),
      entry("dynamic.test", {
        kind: "userpass",
        source: { vault: "main", path: "database/creds/ro", engine: "dynamic" },
        ttl_seconds: 4,
      }),
      entry("refresh.test", {
        source: { file: at("refresh-seed") },
        mint: {
          as: "oauth2_refresh_token",
          token_endpoint: tokenEndpoint(gates.refresh.port),
          client: { id: "refresher", auth: "client_secret_basic", secret: { file: at("refresher-secret") } },
          state: join(directory, "refresh.state"),
          scopes: ["read"],
        },
      }),
      entry("store.test", { kind: "signing_key", key_id: "k1", source: { store: "chaos/signing" } }),
      entry("exec.test", { kind: "token", source: { exec: [sources.helper], timeout_ms: 1_500 } }),
      entry("dpop.test", { kind: "dpop", key_at: "custody", source: { file: at("dpop.json") } }),
    ],
  };
}

function farCredentials(sources: ChaosSources, upstreams: ChaosUpstreams): readonly ConfigPart[] {
  const { at, gates } = sources;
  const entry = entryFor(upstreams);
  const here = (port: number): ConfigPart => ({
    url: `http://127.0.0.1:${port}`,
    plain_http: "accept",
    timeout_ms: 1_500,
  });
  return [
    entry("partner.test", {
      source: { file: at("partner-secret") },
      mint: {
        as: "oauth2_client_credentials",
        token_endpoint: tokenEndpoint(gates.partner.port),
        client: { id: "partner", auth: "client_secret_post" },
        scopes: ["read"],
      },
    }),
    entry("aws.test", {
      source: { file: at("sts.json") },
      mint: { as: "aws_sts_assume_role", region: "eu-central-1", sts: here(gates.sts.port), role: ROLE },
    }),
    entry("github.test", {
      source: { file: at("app.pem") },
      mint: {
        as: "github_app",
        api: here(gates.github.port),
        client_id: "Iv23li",
        installation: 7,
        repositories: ["docs"],
        permissions: ["contents:read"],
      },
    }),
    entry("body.test", { kind: "token", source: { file: at("body") } }),
    entry("certified.test", { kind: "client_certificate", source: { file: at("client.pem") } }),
  ];
}

function entryFor(upstreams: ChaosUpstreams) {
  return (host: Host, more: ConfigPart): ConfigPart => ({
    name: host.replace(".test", ""),
    hosts: [`${host}:${upstreams.portOf(host)}`],
    ttl_seconds: TTL_S,
    ...more,
  });
}

function tokenEndpoint(port: number): ConfigPart {
  return { url: `http://127.0.0.1:${port}/oauth2/token`, plain_http: "accept", timeout_ms: 1_500 };
}
