import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { denialIn } from "../hostile/raw-guest.ts";
import { makeCa, type TestCa, type TestLeaf } from "./support/certificates.ts";
import { type CertifiedUpstream, startCertified } from "./support/certified-upstream.ts";
import { type Custody, startCustody } from "./support/custody.ts";
import { type ConfigPart, destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { type ParentProxy, startParentProxy } from "./support/parent-proxy.ts";
import { freePorts } from "./support/postern-process.ts";
import { run, type RunResult } from "./support/run.ts";

/** An upstream that knows its callers by their certificates, guests that have none, and the whole edge in between. */

let directory = "";
let ca: TestCa;
let first: TestLeaf;
let second: TestLeaf;
let stranger: TestLeaf;
let both: CertifiedUpstream;
let only2: CertifiedUpstream;
let parent: ParentProxy;
let custody: Custody;
let edge: Edge;
/** Listeners of two sessions of one tenant, and of one of another. */
let ports: number[] = [];

/** What the source yields: leaf, then key. */
const pemOf = ({ certificate, key }: TestLeaf): string => certificate + key;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-certified-house-"));
  ca = await makeCa(join(directory, "ca"), "Upstream and client CA");
  const strangers = await makeCa(join(directory, "strangers"), "Another CA");
  first = await ca.issue(["first.client.test"]);
  second = await ca.issue(["second.client.test"]);
  stranger = await strangers.issue(["stranger.client.test"]);
  const tls = await ca.issue(["api.test", "once.test", "behind.test", "remote.test", "stranger.test"]);
  both = await startCertified({ tls, clientCa: ca.certificate });
  only2 = await startCertified({ tls: await ca.issue(["two.test"]), clientCa: ca.certificate, speaks: ["h2"] });
  parent = await startParentProxy();
  await writeFile(join(directory, "identity.pem"), pemOf(first), { mode: 0o600 });
  await writeFile(join(directory, "remote.pem"), pemOf(first), { mode: 0o600 });
  await writeFile(join(directory, "stranger.pem"), pemOf(stranger), { mode: 0o600 });
  const hosts = ["api.test", "once.test", "behind.test", "stranger.test"].map((name) => `${name}:${both.port}`);
  custody = await startCustody({
    credentials: [
      {
        name: "remote",
        kind: "client_certificate",
        source: { file: join(directory, "remote.pem") },
        hosts: [`remote.test:${both.port}`],
        ttl_seconds: 2,
      },
    ],
  });
  ports = await freePorts(3);
  const attach = { as: "client_certificate" };
  edge = await startEdge({
    hosts: Object.fromEntries(
      ["api.test", "once.test", "behind.test", "remote.test", "stranger.test", "two.test", "parent.test"].map(
        (name) => [name, ["127.0.0.1"]],
      ),
    ),
    custody: {
      main: {
        embedded: {
          credentials: [
            credential("identity", join(directory, "identity.pem"), [...hosts, `two.test:${only2.port}`]),
            { ...credential("once", join(directory, "identity.pem"), hosts), max_uses: 1 },
            credential("stranger", join(directory, "stranger.pem"), hosts),
          ],
        },
      },
      far: { remote: { address: custody.address } },
    },
    config: {
      listeners: ports.map((port, i) => ({
        name: `session-${i}`,
        address: `127.0.0.1:${port}`,
        session: { mode: "listener", tenant: i < 2 ? "acme" : "zenith", id: `session-${i % 2}` },
      })),
      upstream: {
        parents: { corp: { address: `parent.test:${parent.port}`, addresses: ["127.0.0.1"] } },
      },
      // So that what is found closed was closed for its lease's sake.
      timeouts: { upstream_keepalive_ms: 60_000 },
    },
    destinations: [
      destinationFor(both, "api.test", { ...trusted(), credential: "main/identity", attach }),
      destinationFor(both, "once.test", { ...trusted(), credential: "main/once", attach: [attach] }),
      destinationFor(both, "behind.test", { ...trusted(), credential: "main/identity", attach, parent: "corp" }),
      destinationFor(both, "stranger.test", { ...trusted(), credential: "main/stranger", attach }),
      destinationFor(both, "remote.test", { ...trusted(), credential: "far/remote", attach }),
      destinationFor(only2, "two.test", { ...trusted(), credential: "main/identity", attach, http: "h2" }),
    ],
    wait: "live",
  });
});

afterAll(async () => {
  await edge?.stop();
  await custody?.stop();
  await Promise.all([both?.close(), only2?.close(), parent?.kill()]);
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  both.reset();
  only2.reset();
  parent.reset();
});

/** The private CA of the upstream, for that destination alone. */
const trusted = (): ConfigPart => ({ trust: ca.certificateFile });

function credential(name: string, file: string, hosts: readonly string[]): ConfigPart {
  return { name, kind: "client_certificate", source: { file }, hosts };
}

function curl(session: 0 | 1 | 2, name: string, path: string, ...args: string[]): Promise<RunResult> {
  const proxy = `http://127.0.0.1:${ports[session] ?? 0}`;
  const env = { ...edge.guestEnv(), https_proxy: proxy, HTTPS_PROXY: proxy, ALL_PROXY: proxy };
  const { port } = name === "two.test" ? only2 : both;
  const options = ["-sS", "-o", "-", "-w", "%{http_code}", "-D", "-", "--max-time", "30"];
  return run("curl", [...options, ...args, `https://${name}:${port}${path}`], { env });
}

const codeOf = ({ stdout }: RunResult): string => stdout.slice(-3);
const whose = ({ requests }: CertifiedUpstream): string[] =>
  requests.map(({ certificate }) => certificate.replace(/^DNS:([a-z]+)\.client\.test$/, "$1"));
const on = ({ requests }: CertifiedUpstream): number[] => requests.map(({ connection }) => connection);

describe.each(["--http1.1", "--http2"])("curl %s", (version) => {
  test("the upstream knows the caller, on a connection that is used again", async () => {
    for (const method of ["GET", "POST"])
      expect(codeOf(await curl(0, "api.test", "/hello", version, "-X", method))).toBe("200");
    expect(whose(both)).toEqual(["first", "first"]);
    expect(new Set(on(both)).size).toBe(1);
    expect(both.requests.map(({ authorization }) => authorization)).toEqual([null, null]);
  });

  test("over HTTP/2", async () => {
    for (let i = 0; i < 2; i++) expect(codeOf(await curl(0, "two.test", "/hello", version))).toBe("200");
    expect(only2.requests.map(({ httpVersion }) => httpVersion)).toEqual(["2.0", "2.0"]);
    expect(whose(only2)).toEqual(["first", "first"]);
  });

  test("through a parent, which reads nothing of it", async () => {
    expect(codeOf(await curl(0, "behind.test", "/hello", version))).toBe("200");
    expect(whose(both)).toEqual(["first"]);
    expect(parent.connections).toBeLessThanOrEqual(1);
    expect(parent.received()).not.toContain("CERTIFICATE");
  });
});

test("sessions and tenants share neither a connection nor a TLS session", async () => {
  for (let i = 0; i < 3; i++)
    for (const session of [0, 1, 2] as const) await curl(session, "api.test", `/session/${session}`);
  expect(both.requests).toHaveLength(9);
  const connectionsOf = (session: number): number[] =>
    both.requests.filter(({ path }) => path === `/session/${session}`).map(({ connection }) => connection);
  const all = [0, 1, 2].map((session) => new Set(connectionsOf(session)));
  expect(all.map(({ size }) => size)).toEqual([1, 1, 1]);
  expect(new Set(all.flatMap((one) => [...one])).size).toBe(3);
  expect(both.requests.filter(({ resumed }) => resumed)).toEqual([]);
});

test("a lease that serves one exchange opens one connection", async () => {
  for (let i = 0; i < 3; i++) expect(codeOf(await curl(0, "once.test", "/hello"))).toBe("200");
  expect(new Set(on(both)).size).toBe(3);
});

test("401: once more with a lease and a connection that are new; 403 is the guest's", async () => {
  expect(codeOf(await curl(0, "once.test", "/once/401"))).toBe("200");
  expect(both.requests.map(({ path }) => path)).toEqual(["/once/401", "/once/401"]);
  expect(new Set(on(both)).size).toBe(2);
  both.reset();
  expect(codeOf(await curl(0, "api.test", "/status/403"))).toBe("403");
  expect(codeOf(await curl(1, "api.test", "/status/401", "-X", "POST", "-d", "x"))).toBe("401");
  expect(both.requests).toHaveLength(2);
});

test("a certificate that the upstream does not take: a refusal, and no attempt without", async () => {
  const result = await curl(0, "stranger.test", "/hello");
  expect(denialIn(result.stdout)).toBe("upstream_unreachable");
  expect(both.requests).toEqual([]);
});

test("a certificate that was renewed is presented on connections of its own, and those before it end", async () => {
  await curl(0, "api.test", "/before");
  const before = new Set(on(both));
  await writeFile(join(directory, "next.pem"), pemOf(second), { mode: 0o600 });
  await rename(join(directory, "next.pem"), join(directory, "identity.pem"));
  await expect
    .poll(
      async () => {
        await curl(0, "api.test", "/after");
        return whose(both).at(-1);
      },
      { timeout: 30_000, interval: 100 },
    )
    .toBe("second");
  for (let i = 0; i < 3; i++) await curl(0, "api.test", "/after");
  expect(whose(both).slice(-4)).toEqual(["second", "second", "second", "second"]);
  for (const { certificate, connection } of both.requests)
    expect(before.has(connection)).toBe(certificate === "DNS:first.client.test");
});

test("custody is killed: no request goes out on what is open once the lease is dead", async () => {
  expect(codeOf(await curl(0, "remote.test", "/alive"))).toBe("200");
  custody.process.signal("SIGKILL");
  await custody.process.exited();
  let served = 0;
  await expect
    .poll(
      async () => {
        const result = await curl(0, "remote.test", "/hello");
        if (codeOf(result) === "200") served++;
        return denialIn(result.stdout);
      },
      { timeout: 30_000, interval: 200 },
    )
    .toBe("custody_unavailable");
  expect(both.requests.filter(({ path }) => path === "/hello")).toHaveLength(served);
  for (let i = 0; i < 5; i++)
    expect(denialIn((await curl(0, "remote.test", "/hello")).stdout)).toBe("custody_unavailable");
  expect(both.requests.filter(({ path }) => path === "/hello")).toHaveLength(served);
});

test("nothing of a key is written down", async () => {
  const texts = [JSON.stringify(await edge.audit()), edge.process.output(), custody.process.output()];
  for (const { key } of [first, second, stranger])
    for (const text of texts) expect(text).not.toContain(key.split("\n")[1] ?? "");
  expect(await readFile(join(directory, "identity.pem"), "utf8")).toContain("PRIVATE KEY");
});
