import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { grantHonestly, hostileCustody, type HostileCustody } from "../custody/support/hostile-custody.ts";
import { denialIn, openTunnel } from "../hostile/raw-guest.ts";
import { makeCa, type TestCa } from "./support/certificates.ts";
import { type ConfigPart, destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { type ParentProxy, startParentProxy } from "./support/parent-proxy.ts";
import { run, type RunResult } from "./support/run.ts";
import { hasSquid, type Squid, startSquid } from "./support/squid.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** An edge behind a corporate proxy: guests of two sessions, parents of both schemes, a custody that can be taken away. */

const API_TOKEN = "parent-house-api-5d1c";
const CORP_PASSWORD = "parent-house-corp-81fe";
const BASIC = `Basic ${Buffer.from(`edge:${CORP_PASSWORD}`).toString("base64")}`;
const PARENT_NAME = "proxy.corp.test";

let directory = "";
let ca: TestCa;
let secure: Upstream;
let plain: Upstream;
let through: Upstream;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-behind-"));
  ca = await makeCa(join(directory, "ca"), "Corporate CA");
  const demand = { in: "header", name: "authorization", value: `Bearer ${API_TOKEN}` } as const;
  secure = await startUpstream({ tls: await ca.issue(["api.test", "named.test"]), demand });
  plain = await startUpstream();
  through = await startUpstream({ tls: await ca.issue(["through.test"]) });
});

afterAll(async () => {
  await Promise.all([secure?.close(), plain?.close(), through?.close()]);
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  for (const upstream of [secure, plain, through]) upstream.reset();
});

interface Ports {
  /** A parent in the clear, one over TLS, and one over TLS that gets names. */
  readonly http: number;
  readonly https: number;
  readonly named: number;
}

interface Behind {
  readonly edge: Edge;
  /** A client of the first or the second session. */
  curl(session: 1 | 2, url: string, ...args: string[]): Promise<RunResult>;
  readonly ports: readonly number[];
}

/** @param custody the section in place of the embedded one */
async function startBehind(ports: Ports, password = CORP_PASSWORD, custody?: ConfigPart): Promise<Behind> {
  const listener = (id: string): ConfigPart => ({
    name: id,
    address: "127.0.0.1:0",
    session: { mode: "listener", tenant: "acme", id },
  });
  const known = { credential: "corp", attach: { as: "basic" } };
  const parents = {
    http: { ...at(ports.http), ...known, plain_http_credential: "accept" },
    https: { ...at(ports.https), ...known, tls: {} },
    named: { ...at(ports.named), ...known, tls: {}, connect_by: "name" },
  };
  const api = { credential: "api", attach: { as: "bearer" } };
  const edge = await startEdge({
    // `named.test` is known to nobody here.
    hosts: {
      [PARENT_NAME]: ["127.0.0.1"],
      "api.test": ["127.0.0.1"],
      "over.test": ["127.0.0.1"],
      "plain.test": ["127.0.0.1"],
      "through.test": ["127.0.0.1"],
    },
    extraRoots: [ca.certificateFile],
    env: { API: API_TOKEN, CORP: password },
    custody: custody ?? {
      main: {
        embedded: {
          credentials: [
            {
              name: "api",
              kind: "token",
              source: { env: "API" },
              hosts: [`api.test:${secure.port}`, `named.test:${secure.port}`],
            },
            {
              name: "corp",
              kind: "userpass",
              username: "edge",
              source: { env: "CORP" },
              hosts: [...new Set([ports.http, ports.https, ports.named])].map((port) => `${PARENT_NAME}:${port}`),
            },
          ],
        },
      },
    },
    config: {
      listeners: [listener("one"), listener("two")],
      upstream: { parents, parent: "https" },
      timeouts: { upstream_connect_ms: 20_000 },
      audit: { mode: "strict" },
    },
    destinations: [
      destinationFor(secure, "api.test", api),
      destinationFor(secure, "named.test", { ...api, parent: "named", addresses: [] }),
      destinationFor(plain, "plain.test", { parent: "http" }),
      destinationFor(plain, "over.test"),
      destinationFor(through, "through.test", { tls: "passthrough", allow: undefined }),
    ],
    wait: "live",
  });
  const listening = await portsOf(edge, ["one", "two"]);
  return {
    edge,
    ports: listening,
    curl(session, url, ...args) {
      const proxy = `http://127.0.0.1:${listening[session - 1] ?? 0}`;
      const env = { ...edge.guestEnv(), http_proxy: proxy, https_proxy: proxy, HTTPS_PROXY: proxy, ALL_PROXY: proxy };
      return run("curl", ["-sS", "--max-time", "20", ...args, url], { env });
    },
  };
}

/** What the system chose for listeners, by their names. */
async function portsOf(edge: Edge, names: readonly string[]): Promise<number[]> {
  const ready = await vi.waitFor(
    () => {
      const [line] = /^.*"msg":"ready".*\}$/m.exec(edge.process.output()) ?? [];
      return JSON.parse(line ?? "no such line yet") as { listeners: Record<string, string> };
    },
    { timeout: 30_000 },
  );
  return names.map((name) => Number(new URL(`http://${ready.listeners[name]}`).port));
}

function at(port: number): ConfigPart {
  return { address: `${PARENT_NAME}:${port}`, addresses: ["127.0.0.1"] };
}

/** The last line of the audit about an exchange with a destination that went through a parent, once it is there. */
async function recordOf(edge: Edge, destination: string): Promise<Record<string, unknown>> {
  let found: Record<string, unknown> | undefined;
  await expect
    .poll(async () => {
      const lines = await edge.audit();
      found = lines.findLast(
        (line) => line["destination"] === destination && line["outcome"] !== undefined && line["via"] !== undefined,
      );
      return found;
    })
    .toBeDefined();
  return found as Record<string, unknown>;
}

/** What every way to go is held to, whoever the parent is. */
function ways(behind: () => Behind, http: () => number): void {
  test("https through a parent over TLS: the target gets its own credential, and nothing of the parent's", async () => {
    const result = await behind().curl(1, secure.urlFor("api.test", "/inspect"));
    expect(JSON.parse(result.stdout)).toMatchObject({ url: "/inspect", credential: true, serverName: "api.test" });
    expect(JSON.stringify(secure.requests)).not.toContain(CORP_PASSWORD);
    expect(JSON.stringify(secure.requests).toLowerCase()).not.toContain("proxy-authorization");
    expect(await recordOf(behind().edge, "api-test")).toMatchObject({
      outcome: "completed",
      via: "https",
      upstream: `127.0.0.1 CONNECT 127.0.0.1:${secure.port}`,
      injected: true,
    });
  });

  test("by name: one that this side cannot resolve", async () => {
    const result = await behind().curl(1, secure.urlFor("named.test", "/hello"));
    expect(JSON.parse(result.stdout)).toMatchObject({ url: "/hello" });
    expect(await recordOf(behind().edge, "named-test")).toMatchObject({
      via: "named",
      upstream: `127.0.0.1 CONNECT named.test:${secure.port}`,
    });
  });

  test.each([
    ["plain.test", "http"],
    ["over.test", "https"],
  ])("plain http to %s goes through CONNECT as well, parent %s", async (name, via) => {
    const result = await behind().curl(1, plain.urlFor(name, "/hello"));
    expect(JSON.parse(result.stdout)).toMatchObject({ url: "/hello" });
    expect(plain.requests[0]?.url).toBe("/hello");
    expect(JSON.stringify(plain.requests)).not.toContain(CORP_PASSWORD);
    expect(await recordOf(behind().edge, name.replace(".", "-"))).toMatchObject({ via });
    expect(http()).toBeGreaterThan(0);
  });

  test("a pass-through tunnel goes through it, byte for byte", async () => {
    const url = through.urlFor("through.test", "/hello");
    const result = await behind().curl(1, url, "--cacert", ca.certificateFile);
    expect(JSON.parse(result.stdout)).toMatchObject({ url: "/hello" });
    expect(await recordOf(behind().edge, "through-test")).toMatchObject({ via: "https", outcome: "completed" });
  });

  test("a strict audit holds what is about to be sent before the parent's credential leaves", async () => {
    await behind().curl(1, through.urlFor("through.test", "/hello"), "--cacert", ca.certificateFile);
    const lines = await behind().edge.audit();
    const intent = lines.findLast((line) => line["type"] === "intent" && line["destination"] === "through-test");
    expect(intent).toMatchObject({ via: "https" });
  });
}

describe("a parent that does CONNECT", () => {
  let http: ParentProxy;
  let https: ParentProxy;
  let behind: Behind;

  beforeAll(async () => {
    const tls = await ca.issue([PARENT_NAME]);
    http = await startParentProxy({ demand: BASIC });
    https = await startParentProxy({ demand: BASIC, tls, names: ["named.test"] });
    behind = await startBehind({ http: http.port, https: https.port, named: https.port });
  });

  afterAll(async () => {
    await behind?.edge.stop();
    await Promise.all([http?.kill(), https?.kill()]);
  });

  beforeEach(() => {
    http.reset();
    https.reset();
  });

  ways(
    () => behind,
    () => http.asked.length + https.asked.length,
  );

  test("what it reads is the target and the credential that is its own", async () => {
    await behind.curl(1, secure.urlFor("named.test", "/hello"), "-H", "Proxy-Authorization: Bearer guest");
    const target = `named.test:${secure.port}`;
    for (const { head } of https.asked)
      expect(head).toBe(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: ${BASIC}\r\n\r\n`);
    expect(https.received()).not.toContain(API_TOKEN);
  });

  test("two sessions never share a tunnel", async () => {
    for (let i = 0; i < 3; i++) {
      await behind.curl(1, plain.urlFor("over.test", `/one/${i}`));
      await behind.curl(2, plain.urlFor("over.test", `/two/${i}`));
    }
    const connectionsOf = (session: string): Set<number> =>
      new Set(plain.requests.filter(({ url }) => url.startsWith(`/${session}/`)).map(({ connection }) => connection));
    expect(plain.requests).toHaveLength(6);
    expect([...connectionsOf("one")].filter((connection) => connectionsOf("two").has(connection))).toEqual([]);
  });

  test("killed under load: upstream_unreachable, nothing without a credential, and served again once it is back", async () => {
    const codes = new Map<string, number>();
    const count = (code: string): void => void codes.set(code, (codes.get(code) ?? 0) + 1);
    const seen = (code: string): number => codes.get(code) ?? 0;
    let killed = false;
    const guest = async (port: number, done: () => boolean): Promise<void> => {
      const host = `api.test:${secure.port}`;
      while (!done()) {
        const one = await openTunnel(port, host, "api.test");
        one.send(`GET /status?code=200 HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
        count(denialIn(await one.ended()) ?? "served");
        one.destroy();
      }
    };
    const load = (done: () => boolean): Promise<unknown> =>
      Promise.all([0, 1, 0, 1].map((i) => guest(behind.ports[i] ?? 0, done)));
    const { port } = https;
    await load(() => {
      if (!killed && seen("served") > 30) {
        killed = true;
        codes.clear();
        void https.kill();
      }
      return killed && seen("upstream_unreachable") > 20;
    });
    expect([...codes.keys()].filter((code) => code !== "served")).toEqual(["upstream_unreachable"]);
    const result = await behind.curl(1, secure.urlFor("api.test", "/hello"), "-o", "/dev/null", "-w", "%{http_code}");
    expect(result.stdout).toBe("502");
    const reached = secure.requests.length;
    https = await startParentProxy({ demand: BASIC, tls: await ca.issue([PARENT_NAME]), names: ["named.test"], port });
    codes.clear();
    await load(() => seen("served") > 10);
    expect([...codes.keys()]).toEqual(["served"]);
    expect(secure.requests.length).toBeGreaterThan(reached);
    expect(secure.credentialless()).toBe(0);
    for (const { credential } of secure.requests) expect(credential).toBe(true);
  });
});

describe("a reload", () => {
  test("sends destinations another way, without a restart", async () => {
    const one = await startParentProxy({ demand: BASIC });
    const two = await startParentProxy({ demand: BASIC, tls: await ca.issue([PARENT_NAME]) });
    const behind = await startBehind({ http: one.port, https: two.port, named: two.port });
    try {
      await behind.curl(1, plain.urlFor("over.test", "/hello"));
      expect([one.asked.length, two.asked.length]).toEqual([0, 1]);
      await behind.edge.rewrite({ upstream: { parent: "http" } });
      await expect
        .poll(async () => (await behind.curl(1, plain.urlFor("over.test", "/hello")), one.asked.length), {
          timeout: 20_000,
        })
        .toBeGreaterThan(0);
      expect(behind.edge.process.output()).not.toContain("restart the edge");
    } finally {
      await behind.edge.stop();
      await Promise.all([one.kill(), two.kill()]);
    }
  });
});

describe("a parent that does not know the edge", () => {
  let parent: ParentProxy;
  let behind: Behind;

  beforeAll(async () => {
    parent = await startParentProxy({ demand: BASIC, tls: await ca.issue([PARENT_NAME]) });
    behind = await startBehind({ http: parent.port, https: parent.port, named: parent.port }, "wrong-corp-password");
  });

  afterAll(async () => {
    await behind?.edge.stop();
    await parent?.kill();
  });

  test("is upstream_unreachable to the guest, who sees neither 407 nor what it said; the operator sees the status", async () => {
    const result = await behind.curl(1, plain.urlFor("over.test", "/hello"), "-i");
    expect(result.stdout).toMatch(/^HTTP\/1\.1 502 /);
    expect(result.stdout).toMatch(/x-deny-reason: upstream_unreachable/i);
    expect(result.stdout).not.toMatch(/407|corp|Basic|Proxy-Authenticate/);
    expect(plain.connections).toBe(0);
    expect(await recordOf(behind.edge, "over-test")).toMatchObject({
      denial: "upstream_unreachable",
      detail: "parent https: answered CONNECT with 407",
      via: "https",
    });
    await expect.poll(() => behind.edge.metrics()).toMatch(/postern_lease_rejections_total\{custody="main"\} [1-9]/);
    expect(behind.edge.process.output()).not.toContain("wrong-corp-password");
  });
});

describe("custody of the parent's credential is down", () => {
  let parent: ParentProxy;
  let custody: HostileCustody;
  let behind: Behind;

  beforeAll(async () => {
    parent = await startParentProxy({ tls: await ca.issue([PARENT_NAME]) });
    const path = join(directory, "custody.sock");
    custody = await hostileCustody({ leaf: null, path });
    custody.behave = grantHonestly("whatever", (same) => ({ ...same, ttl_ms: 1000 }));
    const remote = { main: { remote: { address: `unix:${path}` } } };
    behind = await startBehind({ http: parent.port, https: parent.port, named: parent.port }, "unused", remote);
  });

  afterAll(async () => {
    await behind?.edge.stop();
    await custody?.kill();
    await parent?.kill();
  });

  test("everything that goes through it is refused before the parent hears a byte", async () => {
    await custody.kill();
    for (const url of [
      plain.urlFor("over.test", "/"),
      secure.urlFor("api.test", "/"),
      through.urlFor("through.test", "/"),
    ]) {
      const result = await behind.curl(1, url, "-D", "-");
      expect(result.stdout).toMatch(/x-deny-reason: custody_unavailable/i);
    }
    expect(parent.connections).toBe(0);
    expect(plain.connections + secure.connections + through.connections).toBe(0);
  });
});

describe.skipIf(!hasSquid)(`squid${hasSquid ? "" : " (skipped: squid is absent)"}`, () => {
  let squid: Squid;
  let behind: Behind;

  beforeAll(async () => {
    const tls = await ca.issue([PARENT_NAME]);
    squid = await startSquid({ username: "edge", password: CORP_PASSWORD, tls, names: ["named.test"] });
    behind = await startBehind({ http: squid.httpPort, https: squid.httpsPort, named: squid.httpsPort });
  });

  afterAll(async () => {
    await behind?.edge.stop();
    await squid?.stop();
  });

  ways(
    () => behind,
    () => 1,
  );

  test("its log knows the edge by its user name, and every request as CONNECT", async () => {
    await behind.curl(1, plain.urlFor("plain.test", "/hello"));
    // A tunnel is written down once it ends, which it does when it was idle for a while.
    await expect.poll(() => squid.log(), { timeout: 20_000 }).toContain(`CONNECT 127.0.0.1:${plain.port} edge`);
    expect(await squid.log()).not.toContain("GET ");
  });
});
