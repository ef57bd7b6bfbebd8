import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Authority } from "../../src/core/authority.ts";
import { Permit, PinnedName } from "../../src/core/exchange.ts";
import { makeCa, type TestCa, type TestLeaf } from "../house/support/certificates.ts";
import { type ParentProxy, type ParentProxyOptions, startParentProxy } from "../house/support/parent-proxy.ts";
import { startUpstream, type Upstream } from "../house/support/upstream.ts";
import { eventually } from "../line/support/joined.ts";
import { denialOf, exchange, secretOf, type Way, type WayOptions, wayThrough } from "./support/through-parent.ts";

/** Connections through a parent proxy: what it is told, what it may answer, and who shares a tunnel. */

let directory = "";
let ca: TestCa;
let parentLeaf: TestLeaf;
let plain: Upstream;
let secure: Upstream;
let parent: ParentProxy | null = null;
const ending: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-parent-"));
  ca = await makeCa(join(directory, "ca"), "Parent test CA");
  parentLeaf = await ca.issue(["proxy.corp.test"]);
  plain = await startUpstream();
  secure = await startUpstream({ tls: await ca.issue(["api.test"]) });
});

afterAll(async () => {
  await Promise.all([plain?.close(), secure?.close()]);
  await rm(directory, { recursive: true, force: true });
});

afterEach(async () => {
  await parent?.kill();
  parent = null;
  for (const end of ending.splice(0)) await end();
  plain.reset();
  secure.reset();
});

type Start = Omit<WayOptions, "parentPort"> & { readonly proxy?: ParentProxyOptions };

/** A parent and the way through it to an upstream: in the clear, unless `scheme` says otherwise. */
async function start({ proxy, ...options }: Start = {}): Promise<Way> {
  await parent?.kill();
  parent = await startParentProxy({
    ...(options.tls === true ? { tls: parentLeaf } : {}),
    ...(options.connectBy === "name" ? { names: ["api.test"] } : {}),
    ...proxy,
  });
  const { port } = options.scheme === "https" ? secure : plain;
  const way = wayThrough({
    target: { host: "api.test", port },
    roots: [ca.certificate],
    ...options,
    parentPort: parent.port,
  });
  return way;
}

const asked = (): readonly string[] => parent?.asked.map(({ head }) => head) ?? [];

describe("what a parent is told", () => {
  test("by address: the checked one, and nothing of the name", async () => {
    const way = await start();
    expect(await way.get()).toMatch(/^200 /);
    const target = `127.0.0.1:${plain.port}`;
    expect(asked()).toEqual([`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`]);
    expect(plain.requests).toHaveLength(1);
  });

  test("an IPv6 address stands in brackets", async () => {
    const way = await start({ addresses: ["2001:db8::7"], proxy: { answer: answering("HTTP/1.1 403 No\r\n\r\n") } });
    await denialOf(way.connect());
    const target = `[2001:db8::7]:${plain.port}`;
    expect(asked()).toEqual([`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`]);
  });

  test("by name: the name, which nobody resolved here", async () => {
    const way = await start({ connectBy: "name" });
    expect(await way.get()).toMatch(/^200 /);
    const target = `api.test:${plain.port}`;
    expect(asked()).toEqual([`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`]);
  });

  test("its credential, in CONNECT alone, and the target sees none of it", async () => {
    const way = await start({ authenticated: true, proxy: { demand: `Bearer ${secretOf("s1")}` } });
    expect(await way.get()).toMatch(/^200 /);
    const target = `127.0.0.1:${plain.port}`;
    expect(asked()).toEqual([
      `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: Bearer ${secretOf("s1")}\r\n\r\n`,
    ]);
    expect(JSON.stringify(plain.requests)).not.toContain("corp-secret");
    expect(way.leases.map(({ scope }) => scope)).toEqual([
      { tenant: "acme", session: "s1", host: "proxy.corp.test", port: parent?.port },
    ]);
  });

  test("the channel tells what was dialled and what CONNECT named", async () => {
    const way = await start();
    const channel = await way.connect();
    expect(channel.address).toBe(`127.0.0.1 CONNECT 127.0.0.1:${plain.port}`);
    channel.abort();
  });

  test("a raw connection goes through it as well, and what comes with the 200 is the tunnel's", async () => {
    const way = await start({ proxy: { answer: answering("HTTP/1.1 200 OK\r\n\r\nfirst") } });
    const { stream } = await way.pools.dialRaw(way.permit(), way.pinned());
    const data = once(stream, "data") as Promise<[Buffer]>;
    stream.resume();
    const [first] = await data;
    expect(first.toString()).toBe("first");
    stream.destroy();
  });
});

describe("TLS", () => {
  test.each([
    ["a plain parent", false],
    ["a TLS parent", true],
  ])("to the target, inside of a tunnel through %s", async (_name, tls) => {
    const way = await start({ tls, scheme: "https" });
    expect(await way.get()).toMatch(/^200 /);
    expect(secure.requests[0]).toMatchObject({ serverName: "api.test" });
  });

  test("the target's certificate is held to the target's name, whoever the parent is", async () => {
    // The parent leads to itself: it ends the target's TLS with its own good certificate.
    const own = createTlsServer({ cert: parentLeaf.certificate, key: parentLeaf.key }, (socket) => socket.destroy());
    own.on("tlsClientError", () => undefined);
    own.listen(0, "127.0.0.1");
    await once(own, "listening");
    ending.push(() => new Promise((done) => own.close(done)));
    const way = await start({
      scheme: "https",
      target: { host: "api.test", port: (own.address() as AddressInfo).port },
    });
    expect(await denialOf(way.connect())).toMatchObject({ code: "upstream_tls_invalid" });
  });

  test.each([
    ["an address, is held to that address", "127.0.0.1", null],
    ["an address, is not held to the parent's", "proxy.corp.test", "upstream_tls_invalid"],
    ["an address, is not held to localhost", "localhost", "upstream_tls_invalid"],
  ])("a target that is %s", async (_name, certified, code) => {
    const target = await startUpstream({ tls: await ca.issue([certified]) });
    ending.push(() => target.close());
    const way = await start({ scheme: "https", target: { host: "127.0.0.1", port: target.port } });
    if (code === null) expect(await way.get()).toMatch(/^200 /);
    else expect(await denialOf(way.connect())).toMatchObject({ code });
    expect(target.requests).toHaveLength(code === null ? 1 : 0);
  });

  test.each([
    ["the parent is an IPv6 address", { parentHost: "[::1]", serverName: "::1" }, ["::1"]],
    ["its server name is an address", { serverName: "10.0.0.9" }, ["10.0.0.9"]],
  ])("a parent's certificate is held to its server name, also where %s", async (_name, more, names) => {
    const tls = await ca.issue(names);
    const way = await start({ tls: true, proxy: { tls }, ...more });
    expect(await way.get()).toMatch(/^200 /);
    const other = await start({ tls: true, ...more });
    expect(await denialOf(other.connect())).toMatchObject({ code: "upstream_tls_invalid" });
  });

  test.each([
    ["another name", { serverName: "other.corp.test" }],
    ["an unknown root", { roots: [] }],
  ])("a parent's certificate of %s is refused before CONNECT is said", async (_name, more) => {
    const way = await start({ tls: true, authenticated: true, ...more });
    const denial = await denialOf(way.connect());
    expect(denial.code).toBe("upstream_tls_invalid");
    expect(denial.detail).toMatch(/^parent corp: /);
    expect(parent?.received()).toBe("");
  });

  test.each([
    ["a plain parent", false],
    ["a TLS parent", true],
  ])("an answer that ends with its connection needs the target's own word, through %s", async (_name, tls) => {
    const leaf = await ca.issue(["api.test"]);
    const server = createTlsServer({ cert: leaf.certificate, key: leaf.key }, (socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => {
        if (announced) socket.end("HTTP/1.1 200 OK\r\n\r\nwhole");
        else socket.write("HTTP/1.1 200 OK\r\n\r\ncut", () => raws.at(-1)?.end());
      });
    });
    const raws: Socket[] = [];
    let announced = true;
    server.on("connection", (socket: Socket) => raws.push(socket));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ending.push(() => new Promise((done) => server.close(done)));
    const { port } = server.address() as AddressInfo;
    const way = await start({ tls, scheme: "https", target: { host: "api.test", port } });
    expect(await way.get()).toBe("200 OK\nwhole");
    announced = false;
    expect(await denialOf(way.get())).toMatchObject({
      code: "upstream_unreachable",
      detail: expect.stringContaining("close_notify"),
    });
    for (const socket of raws) socket.destroy();
  });
});

describe("a hostile parent", () => {
  const HANG = (): boolean => true;
  const cases: readonly (readonly [string, string, string, ParentProxyOptions["answer"]])[] = [
    ["answers garbage", "upstream_protocol", "status_line|version", answering("\x00\x01garbage\r\n\r\n")],
    ["speaks another protocol", "upstream_protocol", "bare_lf", answering("220 smtp.corp\n")],
    ["hangs", "upstream_timeout", "did not answer CONNECT", HANG],
    ["closes", "upstream_unreachable", "closed before", (socket) => (socket.end(), true)],
    ["resets", "upstream_unreachable", "closed before|ECONNRESET", (socket) => (socket.resetAndDestroy(), true)],
    ["refuses the credential", "upstream_unreachable", "with 407$", answering("HTTP/1.1 407 Who\r\n\r\n")],
    ["forbids the target", "upstream_unreachable", "with 403$", answering("HTTP/1.1 403 No\r\n\r\n")],
    [
      "redirects",
      "upstream_unreachable",
      "with 302$",
      answering("HTTP/1.1 302 F\r\nLocation: http://evil.test/\r\n\r\n"),
    ],
    ["changes protocols", "upstream_protocol", "upgrade", answering("HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n")],
    ["never stops with 1xx", "upstream_protocol", "interim_count", answering("HTTP/1.1 103 E\r\n\r\n".repeat(40))],
    [
      "sends an endless head",
      "upstream_protocol",
      "head_bytes",
      answering(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(17_000)}`),
    ],
    [
      "sends bytes behind its 200",
      "upstream_protocol",
      "bytes behind",
      answering("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n"),
    ],
    [
      "sends a body with its 200",
      "upstream_protocol",
      "bytes behind",
      answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ],
  ];
  test.each(cases)("that %s: %s, and nothing goes to the target", async (_name, code, detail, answer) => {
    const way = await start({
      authenticated: true,
      // Whoever does answer has the time of a busy machine.
      connectMs: answer === HANG ? 700 : 20_000,
      ...(answer === undefined ? {} : { proxy: { answer } }),
    });
    const denial = await denialOf(way.connect());
    expect(denial.code).toBe(code);
    expect(denial.detail).toMatch(new RegExp(`^parent corp: .*(${detail})`));
    expect(denial.detail).not.toContain("corp-secret");
    expect(plain.connections).toBe(0);
    expect(way.open()).toBe(0);
  });

  test("that drips its answer has until upstream_connect_ms and no longer", async () => {
    const way = await start({
      connectMs: 500,
      proxy: {
        answer(socket) {
          const drip = setInterval(() => socket.write("x"), 20);
          socket.write("HTTP/1.1 200 OK\r\nX: ");
          socket.on("close", () => clearInterval(drip));
          return true;
        },
      },
    });
    expect(await denialOf(way.connect())).toMatchObject({ code: "upstream_timeout" });
  });

  test("that says the credential in its reason says it to nobody", async () => {
    const said = answering(`HTTP/1.1 502 ${secretOf("s1")}\r\nX: ${secretOf("s1")}\r\n\r\n${secretOf("s1")}`);
    const way = await start({ authenticated: true, proxy: { answer: said } });
    const denial = await denialOf(way.connect());
    expect(denial).toMatchObject({ code: "upstream_unreachable", detail: "parent corp: answered CONNECT with 502" });
  });

  test.each([
    ["closes in the middle of the target's handshake", "", ["upstream_unreachable"]],
    ["answers the target's hello itself", "\x15\x03\x01\x00\x02\x02\x28", ["upstream_tls_invalid"]],
    ["sends no TLS behind its 200", "HTTP/1.1 200 OK\r\n\r\n", ["upstream_tls_invalid"]],
  ])("that %s", async (_name, text, codes) => {
    const way = await start({
      scheme: "https",
      proxy: {
        answer(socket) {
          socket.write(`HTTP/1.1 200 OK\r\n\r\n${text}`, "latin1");
          socket.once("data", () => socket.end());
          return true;
        },
      },
    });
    expect(codes).toContain((await denialOf(way.connect())).code);
  });

  test.each([
    "Content-Length: 999",
    "Transfer-Encoding: chunked",
    "Content-Length: 1\r\nContent-Length: 2",
    "Connection: close",
  ])("what a 200 says of a body is nothing: %s", async (field) => {
    const way = await start({
      proxy: {
        answer(socket) {
          socket.write(`HTTP/1.0 200 OK\r\n${field}\r\n\r\n`);
          socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
          return true;
        },
      },
    });
    expect(await way.get()).toBe("200 OK\nok");
  });
});

describe("addresses of a target", () => {
  test("the next one is named where the parent does not get to the first", async () => {
    const way = await start({ addresses: ["127.0.0.9", "127.0.0.1"], target: { host: "api.test", port: plain.port } });
    expect(await way.get()).toMatch(/^200 /);
    expect(parent?.asked.map(({ target }) => target)).toEqual([`127.0.0.9:${plain.port}`, `127.0.0.1:${plain.port}`]);
  });

  test("a refusal is meant for all of them", async () => {
    const way = await start({
      addresses: ["127.0.0.9", "127.0.0.1"],
      proxy: { answer: answering("HTTP/1.1 403 No\r\n\r\n") },
    });
    await denialOf(way.connect());
    expect(parent?.asked).toHaveLength(1);
  });
});

describe("the parent's own lease and address", () => {
  test("407 drops the lease, once", async () => {
    const way = await start({ authenticated: true, proxy: { demand: "Bearer something else" } });
    await denialOf(way.connect());
    expect(way.rejected).toEqual(way.leases);
    expect(way.rejected).toHaveLength(1);
    expect(plain.connections).toBe(0);
  });

  test.each(["custody_unavailable", "lease_denied"] as const)(
    "without one (%s) the parent hears nothing",
    async (code) => {
      const way = await start({ authenticated: true });
      way.leaseDenial = code;
      expect(await denialOf(way.connect())).toMatchObject({ code });
      expect(await denialOf(way.pools.dialRaw(way.permit(), way.pinned()))).toMatchObject({ code });
      expect(parent?.connections).toBe(0);
    },
  );

  test("an open tunnel is not used on once no live lease is to be had", async () => {
    const way = await start({ authenticated: true });
    await way.get();
    expect(way.open()).toBe(1);
    way.leaseDenial = "lease_denied";
    expect(await denialOf(way.connect())).toMatchObject({ code: "lease_denied" });
    expect(plain.requests).toHaveLength(1);
    way.leaseDenial = null;
    await way.get();
    expect(parent?.asked).toHaveLength(1);
  });

  test("nor is one that was waited for, when none is to be had any more by then; its place goes to the next", async () => {
    const way = await start({ authenticated: true, maxConnections: 1 });
    const first = await way.connect();
    const waiting = denialOf(way.connect());
    await new Promise((resolve) => setImmediate(resolve));
    way.leaseDenial = "lease_denied";
    await exchange(first);
    expect(await waiting).toMatchObject({ code: "lease_denied" });
    expect(plain.requests).toHaveLength(1);
    way.leaseDenial = null;
    await way.get();
    expect(parent?.asked).toHaveLength(1);
  });

  test.each([
    ["name_unresolved", "upstream_unreachable"],
    ["address_denied", "address_denied"],
    ["loop_detected", "loop_detected"],
  ] as const)("a parent that is not to be had, %s, is %s", async (why, code) => {
    const way = await start();
    way.pinDenial = why;
    const denial = await denialOf(way.connect());
    expect(denial.code).toBe(code);
    expect(denial.detail).toBe(`parent corp: ${why}: said by the test`);
    expect(parent?.connections).toBe(0);
  });

  test("a parent that is down is upstream_unreachable", async () => {
    const way = await start();
    await parent?.kill();
    const denial = await denialOf(way.connect());
    expect(denial.code).toBe("upstream_unreachable");
    expect(denial.detail).toMatch(/^parent corp: .*ECONNREFUSED/);
  });

  test("a name is told to no parent that is to get addresses, and is never dialled", async () => {
    const way = await start();
    const authority = Authority.parse(`api.test:${plain.port}`, null) as Authority;
    const name = PinnedName.check(authority);
    const want = { fresh: false, http2: false, identity: null };
    await expect(async () => await way.pools.connect(way.permit(), name, want)).rejects.toMatchObject({
      code: "internal",
    });
    const { session, authority: same, destination } = way.permit();
    const direct = Permit.grant(session, same, { ...destination, parent: null }, "allow[0]");
    await expect(async () => await way.pools.connect(direct, name, want)).rejects.toMatchObject({ code: "internal" });
    await expect(way.pools.dialRaw(direct, name)).rejects.toMatchObject({ code: "internal" });
    expect(plain.connections).toBe(0);
    expect(parent?.connections).toBe(0);
  });
});

describe("who shares a tunnel", () => {
  test("exchanges of one session, whatever the parent knows it by", async () => {
    const way = await start({ authenticated: true });
    for (let i = 0; i < 3; i++) await way.get("s1");
    expect(parent?.asked).toHaveLength(1);
  });

  test("two sessions never share one that is opened with a credential", async () => {
    const way = await start({ authenticated: true });
    for (let i = 0; i < 3; i++) for (const id of ["s1", "s2"]) await way.get(id);
    expect(parent?.asked.map(({ authorization }) => authorization)).toEqual([
      `Bearer ${secretOf("s1")}`,
      `Bearer ${secretOf("s2")}`,
    ]);
    expect(new Set(plain.requests.map(({ connection }) => connection)).size).toBe(2);
  });

  test("not even when one of them waits for the other's to become free", async () => {
    const way = await start({ authenticated: true, maxConnections: 1 });
    const [one, two] = await Promise.all([way.connect("s1"), way.connect("s2")]);
    await Promise.all([exchange(one), exchange(two)]);
    expect(parent?.asked).toHaveLength(2);
  });

  test("all sessions share one that anybody may open", async () => {
    const way = await start();
    for (const id of ["s1", "s2", "s1"]) await way.get(id);
    expect(parent?.asked).toHaveLength(1);
  });

  test("nothing stays behind of pools that are empty", async () => {
    const way = await start({ authenticated: true });
    for (const id of ["s1", "s2"]) await way.get(id);
    way.sweep();
    await eventually(() => way.open() === 0, "the end of both");
    await way.get("s1");
    expect(parent?.asked).toHaveLength(3);
  });
});

/** Answers every CONNECT with this text and nothing else. */
function answering(text: string): NonNullable<ParentProxyOptions["answer"]> {
  return (socket) => {
    socket.write(text, "latin1");
    return true;
  };
}
