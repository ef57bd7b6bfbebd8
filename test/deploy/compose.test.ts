import { cp, mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createServer, connect as tlsConnect, type TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { load } from "js-yaml";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DEFAULT_NO_PROXY, guestEnv } from "../../src/cli/guest-env.ts";
import type { ListenAddress } from "../../src/config/listen-address.ts";
import { parseConfig, parseCustodyConfig } from "../../src/config/load.ts";
import { loadCa } from "../../src/tls/ca-files.ts";
import { makeCa } from "../house/support/certificates.ts";
import { bareEnv, run } from "../house/support/run.ts";

/** deploy/compose without an engine: what the files say about networks, privileges and secrets, and that they fit together. */

const folder = resolve(import.meta.dirname, "../../deploy/compose");

interface Service {
  readonly image: string;
  readonly user: string;
  readonly command: readonly string[];
  readonly networks?: readonly string[] | Readonly<Record<string, { readonly ipv4_address?: string }>>;
  readonly network_mode?: string;
  readonly ports?: unknown;
  readonly privileged?: unknown;
  readonly cap_add?: unknown;
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly read_only: boolean;
  readonly tmpfs: readonly string[];
  readonly environment?: unknown;
  readonly healthcheck: Readonly<Record<string, unknown>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly { readonly type: string; readonly source: string; readonly read_only?: boolean }[];
  readonly dns?: readonly string[];
  readonly env_file?: readonly { readonly path: string; readonly format: string }[];
}

interface Compose {
  readonly services: Readonly<Record<"guest" | "edge" | "custody" | "guest-files", Service>>;
  readonly networks: Readonly<
    Record<
      string,
      {
        readonly internal?: boolean;
        readonly enable_ipv6?: boolean;
        readonly driver_opts?: object;
        readonly ipam?: { readonly config: readonly { readonly subnet: string }[] };
      }
    >
  >;
  readonly secrets: Readonly<Record<string, { readonly file?: string }>>;
  readonly configs: Readonly<Record<string, { readonly file: string }>>;
}

const text = await readFile(join(folder, "compose.yaml"), "utf8");
const compose = mergeKeys(load(text, { maxAliases: 100 })) as Compose;
const { guest, edge, custody } = compose.services;
const services = Object.entries(compose.services);

describe("networks", () => {
  test("the guest is on one network, and that one is internal", () => {
    expect(networksOf(guest)).toEqual(["guest-net"]);
    expect(compose.networks["guest-net"]).toMatchObject({ internal: true, enable_ipv6: false });
  });

  test("the guest shares no network with custody, and none that leads out", () => {
    const outside = Object.entries(compose.networks).filter(([, network]) => network.internal !== true);
    expect(outside.map(([name]) => name)).toEqual(["egress-net"]);
    for (const name of [...networksOf(custody), ...outside.map(([outer]) => outer)])
      expect(networksOf(guest)).not.toContain(name);
  });

  test("the edge alone joins them, and custody is on an internal network of its own", () => {
    expect(networksOf(edge).toSorted()).toEqual(["custody-net", "egress-net", "guest-net"]);
    expect(networksOf(custody)).toEqual(["custody-net"]);
    expect(compose.networks["custody-net"]).toMatchObject({ internal: true });
    const sharers = services.filter(([, service]) => networksOf(service).includes("guest-net"));
    expect(sharers.map(([name]) => name).toSorted()).toEqual(["edge", "guest"]);
  });

  test("internal networks give the host no address", () => {
    for (const network of Object.values(compose.networks).filter(({ internal }) => internal === true)) {
      expect(network.driver_opts).toEqual({
        "com.docker.network.bridge.gateway_mode_ipv4": "isolated",
        "com.docker.network.bridge.gateway_mode_ipv6": "isolated",
      });
    }
  });

  test("no port is published, no service uses the host's network", () => {
    for (const [, service] of services) {
      expect(service.ports).toBeUndefined();
      expect([undefined, "none"]).toContain(service.network_mode);
    }
  });

  test("the guest resolves no name, and the edge forwards no packet", () => {
    expect(guest.dns).toEqual(["127.0.0.1"]);
    expect(edge).toMatchObject({ sysctls: { "net.ipv4.ip_forward": 0, "net.ipv6.conf.all.forwarding": 0 } });
  });
});

describe("privileges", () => {
  test.each(services)("%s is hardened", (_, service) => {
    expect(service).toMatchObject({
      read_only: true,
      cap_drop: ["ALL"],
      security_opt: ["no-new-privileges:true"],
      init: true,
    });
    expect(service.privileged).toBeUndefined();
    expect(service.cap_add).toBeUndefined();
    expect(service.tmpfs[0]).toMatch(/^\/tmp:.*noexec/);
    expect(service.user).toMatch(/^("?\$\{POSTERN_UID:-10001\}:\$\{POSTERN_GID:-10001\}|1000:1000)$/);
    expect(JSON.stringify(service.volumes)).not.toContain("docker.sock");
  });

  test.each([["guest", guest] as const, ["edge", edge] as const, ["custody", custody] as const])(
    "%s has a health check, and what it depends on is waited for",
    (_, service) => {
      expect(service.healthcheck).toMatchObject({ test: expect.arrayContaining(["CMD"]) as unknown });
      for (const { condition } of Object.values(service.depends_on ?? {})) {
        expect(["service_healthy", "service_completed_successfully"]).toContain(condition);
      }
    },
  );

  test("no image is taken as latest", () => {
    for (const [, { image }] of services) expect(image).toMatch(/:[^:}]*[0-9][^:}]*\}?$/);
    expect(text).not.toMatch(/:latest/);
  });
});

describe("secrets", () => {
  test("are files, and never in an environment", () => {
    for (const { file } of Object.values(compose.secrets)) expect(file).toMatch(/^\.\/secrets\//);
    for (const [, service] of services) expect(service.environment).toBeUndefined();
  });

  test("go where they are used alone: the upstream's key to custody, no key to the guest", () => {
    expect(guest.secrets).toBeUndefined();
    expect(edge.secrets).not.toContain("openai_api_key");
    expect(edge.secrets).not.toContain("custody.key");
    expect(custody.secrets).toEqual(expect.arrayContaining(["openai_api_key", "custody.key"]));
    expect(custody.secrets).not.toContain("ca.key");
    expect(compose.services["guest-files"].secrets).toEqual(["ca.crt"]);
    expect(guest.volumes).toMatchObject([{ source: "./guest", read_only: true }]);
  });

  test("stay out of the repository", async () => {
    const ignored = (await readFile(join(folder, ".gitignore"), "utf8")).split("\n");
    expect(ignored).toEqual(expect.arrayContaining(["/secrets/", "/var/", "/guest/", "/.env"]));
  });
});

describe("the configurations", async () => {
  const edgeText = await readFile(join(folder, "edge.yaml"), "utf8");
  const custodyText = await readFile(join(folder, "custody.yaml"), "utf8");
  const edgeLoaded = parseConfig(edgeText, "edge.yaml", "/etc/postern");
  const custodyLoaded = parseCustodyConfig(custodyText, "custody.yaml", "/etc/postern");

  test("are valid", () => {
    expect(edgeLoaded).toMatchObject({ ok: true });
    expect(custodyLoaded).toMatchObject({ ok: true });
  });

  test("listen on the network they belong to, by the address that compose gives", () => {
    if (!edgeLoaded.ok || !custodyLoaded.ok) throw new Error("not valid");
    expect(edgeLoaded.config.listeners.map(({ address }) => hostOf(address))).toEqual([addressOf(edge, "guest-net")]);
    expect(edgeLoaded.config.admin?.address).toMatchObject({ host: "127.0.0.1", port: 9464 });
    expect(hostOf(custodyLoaded.config.listen.address)).toBe(addressOf(custody, "custody-net"));
    expect(edgeLoaded.config.custodies).toMatchObject([
      { kind: "remote", address: { host: addressOf(custody, "custody-net"), port: 8443 } },
    ]);
    for (const [service, network] of [
      [edge, "guest-net"],
      [custody, "custody-net"],
    ] as const) {
      const subnet = compose.networks[network]?.ipam?.config[0]?.subnet ?? "";
      expect(addressOf(service, network)).toMatch(
        new RegExp(`^${subnet.replace(/0\/24$/, "").replaceAll(".", "\\.")}`),
      );
    }
  });

  test("name only secrets that their container is given", () => {
    for (const [config, service] of [
      [edgeText, edge],
      [custodyText, custody],
    ] as const) {
      const named = [...config.matchAll(/\/run\/secrets\/([\w.-]+)/g)].map((match) => match[1] ?? "");
      expect(named.toSorted()).toEqual([...(service.secrets ?? [])].toSorted());
      for (const name of service.secrets ?? []) expect(compose.secrets).toHaveProperty([name]);
    }
  });

  test("every audit file lies on the mount that may be written to", () => {
    if (!edgeLoaded.ok || !custodyLoaded.ok) throw new Error("not valid");
    expect(edgeLoaded.config.audit.file).toMatch(/^\/var\/lib\/postern\//);
    expect(custodyLoaded.config.audit.file).toMatch(/^\/var\/lib\/postern\//);
  });
});

describe("guest.env", () => {
  test("is what guest-env prints for this network", async () => {
    const out = await mkdtemp(join(tmpdir(), "postern-compose-"));
    const { certificateFile } = await makeCa(join(out, "ca"));
    const { text: printed } = await guestEnv({
      format: "docker",
      proxy: "http://172.30.91.2:3128",
      caFile: certificateFile,
      outDir: out,
      bundleFile: null,
      guestDir: "/etc/postern",
      systemRootsFile: null,
      noProxy: DEFAULT_NO_PROXY,
      java: false,
    });
    expect(await readFile(join(folder, "guest.env"), "utf8")).toBe(printed);
    expect(guest.env_file).toEqual([{ path: "guest.env", format: "raw" }]);
    await rm(out, { recursive: true });
  });
});

describe("prepare.sh", () => {
  let copy = "";

  beforeAll(async () => {
    copy = await mkdtemp(join(tmpdir(), "postern-prepare-"));
    await cp(join(folder, "prepare.sh"), join(copy, "prepare.sh"));
    expect(await prepare()).toMatchObject({ code: 0, stderr: "" });
  });

  afterAll(() => rm(copy, { recursive: true, force: true }));

  function prepare(): ReturnType<typeof run> {
    return run("bash", [join(copy, "prepare.sh")], { env: bareEnv() });
  }

  test("makes every secret but the upstream's key, readable by their owner alone", async () => {
    const made = await readdir(join(copy, "secrets"));
    const wanted = Object.keys(compose.secrets).filter((name) => name !== "openai_api_key");
    expect(made.toSorted()).toEqual(wanted.toSorted());
    for (const name of made) expect((await stat(join(copy, "secrets", name))).mode & 0o077).toBe(0);
    for (const { source } of [...(edge.volumes ?? []), ...(custody.volumes ?? []), ...(guest.volumes ?? [])])
      expect((await stat(join(copy, source))).isDirectory()).toBe(true);
  });

  test("its certificates prove custody and edge to each other", async () => {
    const secret = (name: string): Promise<string> => readFile(join(copy, "secrets", name), "utf8");
    const ca = await secret("custody-ca.crt");
    const server = createServer({
      cert: await secret("custody.crt"),
      key: await secret("custody.key"),
      ca,
      requestCert: true,
      rejectUnauthorized: true,
    });
    const proven = new Promise<string | string[] | undefined>((done) =>
      server.on("secureConnection", (socket: TLSSocket) => done(socket.getPeerCertificate().subject.CN)),
    );
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const client = tlsConnect({
      port: (server.address() as AddressInfo).port,
      host: "127.0.0.1",
      servername: "custody",
      ca,
      cert: await secret("edge.crt"),
      key: await secret("edge.key"),
    });
    await new Promise<void>((done, fail) => client.on("secureConnect", done).on("error", fail));
    expect(client.authorized).toBe(true);
    expect(await proven).toBe("edge");
    client.destroy();
    await new Promise((done) => server.close(done));
  });

  test("its CA for guests is one that the edge takes, without a warning", () => {
    const paths = {
      certificate: join(copy, "secrets/ca.crt"),
      key: join(copy, "secrets/ca.key"),
      passphraseFile: null,
    };
    expect(loadCa(paths, Date.now()).warnings).toEqual([]);
  });

  test("changes nothing when it is run again, and keeps a CA of one's own", async () => {
    await writeFile(join(copy, "secrets", "ca.crt"), "mine");
    const before = await readFile(join(copy, "secrets", "edge.key"), "utf8");
    const again = await prepare();
    expect(again.stdout).toContain("kept yours");
    expect(await readFile(join(copy, "secrets", "ca.crt"), "utf8")).toBe("mine");
    expect(await readFile(join(copy, "secrets", "edge.key"), "utf8")).toBe(before);
  });

  test("stops over half a set of certificates", async () => {
    await rm(join(copy, "secrets", "edge.key"));
    expect(await prepare()).toMatchObject({ code: 1, stderr: expect.stringContaining("remove these") as unknown });
  });
});

function networksOf({ networks = [] }: Service): string[] {
  return Array.isArray(networks) ? (networks as string[]) : Object.keys(networks);
}

function addressOf({ networks }: Service, name: string): string | undefined {
  return (networks as Readonly<Record<string, { readonly ipv4_address?: string }>>)[name]?.ipv4_address;
}

function hostOf(address: ListenAddress): string | null {
  return address.kind === "tcp" ? address.host : null;
}

/** YAML 1.1 merge keys, as Compose reads them: what stands beside `<<` wins. */
function mergeKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(mergeKeys);
  if (typeof value !== "object" || value === null) return value;
  const { "<<": merged = [], ...own } = value as Record<string, unknown>;
  const bases = (Array.isArray(merged) ? merged : [merged]).map(mergeKeys);
  const kept = Object.entries(own).map(([key, child]) => [key, mergeKeys(child)]);
  return Object.assign({}, ...bases.toReversed(), Object.fromEntries(kept)) as unknown;
}
