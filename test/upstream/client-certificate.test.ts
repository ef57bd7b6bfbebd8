import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Denial } from "../../src/core/denial.ts";
import { CertificateRefused, LeaseGone } from "../../src/core/lease-denials.ts";
import { Secret } from "../../src/core/secret.ts";
import type { ClientIdentity, UpstreamChannel } from "../../src/core/wire.ts";
import { makeCa, type TestCa, type TestLeaf } from "../house/support/certificates.ts";
import { type CertifiedOptions, type CertifiedUpstream, startCertified } from "../house/support/certified-upstream.ts";
import { UpstreamTrust } from "../../src/upstream/trust.ts";
import { DESTINATION, eventually } from "../line/support/joined.ts";
import { makeCertificate } from "../tls/make-certificate.ts";
import { Pooled, type PooledOptions } from "./support/pooled.ts";

/** Connections that present a leased certificate: whose they are, and when they are used by nobody any more. */

let directory = "";
let ca: TestCa;
let strangers: TestCa;
let server: TestLeaf;
let first: TestLeaf;
let second: TestLeaf;
let stranger: TestLeaf;
let upstream: CertifiedUpstream;
let pooled: Pooled;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-certified-"));
  ca = await makeCa(join(directory, "ca"), "Client and server CA");
  strangers = await makeCa(join(directory, "strangers"), "Another CA");
  server = await ca.issue(["api.test"]);
  first = await ca.issue(["first.client.test"]);
  second = await ca.issue(["second.client.test"]);
  stranger = await strangers.issue(["stranger.client.test"]);
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});
afterEach(async () => {
  await upstream.close();
  await pooled.stop();
});

async function start(options: Partial<CertifiedOptions> = {}, more: Partial<PooledOptions> = {}): Promise<void> {
  upstream = await startCertified({ tls: server, clientCa: ca.certificate, ...options });
  const http = options.speaks?.length === 1 && options.speaks[0] === "h2" ? "h2" : "h1";
  pooled = new Pooled(upstream.port, {
    roots: [ca.certificate],
    ...more,
    timeouts: { upstreamKeepaliveMs: 60_000, ...more.timeouts },
    destination: { scheme: "https", http, ...more.destination },
  });
}

interface TestIdentity extends ClientIdentity {
  /** The lease behind it dies. */
  die(): void;
}

let identities = 0;

function identityOf({ certificate, key }: Pick<TestLeaf, "certificate" | "key">, grantedAtMs?: number): TestIdentity {
  let isLive = true;
  const order = ++identities;
  return {
    key: `lease ${order}`,
    chain: certificate,
    privateKey: Secret.of(key),
    grantedAtMs: grantedAtMs ?? order,
    isLive: () => isLive,
    die() {
      isLive = false;
    },
  };
}

async function denialOf(connecting: () => UpstreamChannel | Promise<UpstreamChannel>): Promise<Denial | null> {
  try {
    await connecting();
    return null;
  } catch (thrown) {
    return thrown as Denial;
  }
}

const whose = (): string[] => upstream.requests.map(({ certificate }) => certificate.replace(".client.test", ""));
const on = (): number[] => upstream.requests.map(({ connection }) => connection);

describe.each([
  ["http/1.1", "1.1"],
  ["h2", "2.0"],
] as const)("over %s", (protocol, version) => {
  test("each request comes with the certificate of its lease, on connections that one lease alone uses", async () => {
    await start({ speaks: [protocol] });
    const [a, b] = [identityOf(first, 1), identityOf(second, 1)];
    for (const [identity, session] of [
      [a, "a"],
      [b, "b"],
      [a, "a"],
      [b, "b"],
    ] as const)
      expect((await pooled.ask({}, { identity }, session)).status).toBe(200);
    expect(whose()).toEqual(["DNS:first", "DNS:second", "DNS:first", "DNS:second"]);
    expect(on()).toEqual([1, 2, 1, 2]);
    expect(upstream.requests.every(({ httpVersion }) => httpVersion === version)).toBe(true);
  });

  test("two sessions with the very same certificate share no connection and no TLS session", async () => {
    await start({ speaks: [protocol] });
    const [a, b] = [identityOf(first, 1), identityOf(first, 1)];
    await pooled.ask({}, { identity: a }, "a");
    await pooled.ask({}, { identity: b }, "b");
    await pooled.ask({}, { identity: a, fresh: true }, "a");
    expect(on()).toEqual([1, 2, 3]);
    expect(upstream.requests[1]?.resumed).toBe(false);
    // What one lease has opened is resumed by that lease.
    if (protocol === "http/1.1") expect(upstream.requests[2]?.resumed).toBe(true);
  });

  test("a later lease takes the place: idle connections of the one before end, and what runs ends by itself", async () => {
    await start({ speaks: [protocol] });
    const [before, after] = [identityOf(first), identityOf(second)];
    await pooled.ask({}, { identity: before });
    const long = pooled.begin(await pooled.connect({ identity: before, fresh: true }), { target: "/hold" });
    await eventually(() => upstream.requests.length === 2, "the long one");
    await pooled.ask({}, { identity: after });
    await eventually(() => pooled.closed === 1, "the end of the idle connection");
    upstream.letGo();
    await long.over;
    expect(long.status).toBe(200);
    await eventually(() => pooled.closed === 2, "the end of the other one");
    await pooled.ask({}, { identity: after });
    expect(whose()).toEqual(["DNS:first", "DNS:first", "DNS:second", "DNS:second"]);
    expect(on()).toEqual([1, 2, 3, 3]);
  });

  test("an exchange that holds the lease before gets a connection that nobody uses after it", async () => {
    await start({ speaks: [protocol] });
    const [before, after] = [identityOf(first), identityOf(second)];
    await pooled.ask({}, { identity: after });
    await pooled.ask({}, { identity: before });
    await eventually(() => pooled.closed === 1, "its end");
    await pooled.ask({}, { identity: before });
    await pooled.ask({}, { identity: after });
    expect(whose()).toEqual(["DNS:second", "DNS:first", "DNS:first", "DNS:second"]);
    expect(on()).toEqual([1, 2, 3, 1]);
  });

  test("a lease that is dead: its idle connections end, and nothing is dialled with its certificate", async () => {
    await start({ speaks: [protocol] });
    const identity = identityOf(first);
    await pooled.ask({}, { identity });
    identity.die();
    await eventually(() => pooled.closed === 1, "the end of its connection");
    expect(await denialOf(() => pooled.connect({ identity }))).toBeInstanceOf(LeaseGone);
    expect(upstream.connections).toBe(1);
  });

  test("without a certificate it is refused as well", async () => {
    await start({ speaks: [protocol] });
    const answer = await pooled.ask().catch((thrown: unknown) => thrown as Denial);
    const denial = "failure" in answer ? answer.failure?.denial : answer;
    expect(denial?.code).toBe("upstream_tls_invalid");
    expect(upstream.requests).toEqual([]);
  });
});

/** OpenSSL's own server sends the alerts of the RFC; Node's resets the connection instead. */
describe.each(["-tls1_2", "-tls1_3"])("OpenSSL's server with %s", (version) => {
  test.each(["http/1.1", "h2"] as const)(
    "refuses a certificate of nobody's over %s: no attempt without",
    async (alpn) => {
      await start();
      const certificate = ["-cert", server.certificateFile, "-key", server.keyFile, "-CAfile", ca.certificateFile];
      const demand = ["-Verify", "2", "-verify_return_error", "-alpn", alpn, version];
      const openssl = spawn("openssl", ["s_server", "-accept", "127.0.0.1:0", ...certificate, ...demand]);
      openssl.stderr.resume();
      try {
        const port = await portOf(openssl);
        const to = new Pooled(port, {
          roots: [ca.certificate],
          destination: { scheme: "https", http: alpn === "h2" ? "h2" : "h1" },
        });
        for (const identity of [identityOf(stranger), null]) {
          const asked = await to.ask({}, { identity }).catch((thrown: unknown) => thrown as Denial);
          const denial = "failure" in asked ? asked.failure?.denial : asked;
          expect(denial?.code).toBe("upstream_tls_invalid");
          if (identity !== null) expect(denial).toBeInstanceOf(CertificateRefused);
          if ("failure" in asked) expect(asked.failure?.standing).toBe("perhaps_done");
        }
        await to.stop();
      } finally {
        openssl.kill("SIGKILL");
      }
    },
  );
});

/** @returns the port that it was given, once it listens */
async function portOf({ stdout }: ChildProcessWithoutNullStreams): Promise<number> {
  let text = "";
  stdout.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  const port = (): string | undefined => /^ACCEPT 127\.0\.0\.1:(\d+)$/m.exec(text)?.[1];
  await expect.poll(port).toBeDefined();
  return Number(port());
}

describe("a full pool", () => {
  test("whose lease is replaced sends those who wait to the lease that follows", async () => {
    await start({ speaks: ["http/1.1"] }, { maxConnections: 1 });
    const [before, after] = [identityOf(first), identityOf(second)];
    const long = pooled.begin(await pooled.connect({ identity: before }), { target: "/hold" });
    await eventually(() => upstream.requests.length === 1, "the long one");
    const waiting = denialOf(() => pooled.connect({ identity: before }));
    await pooled.ask({}, { identity: after });
    expect(await waiting).toBeInstanceOf(LeaseGone);
    upstream.letGo();
    await long.over;
    expect(whose()).toEqual(["DNS:first", "DNS:second"]);
  });

  test("over HTTP/2, whose only connection breaks under those who wait: what they open is known, and ends with its lease", async () => {
    await start({ speaks: ["h2"], maxStreams: 1 }, { maxConnections: 1 });
    const identity = identityOf(first);
    const long = pooled.begin(await pooled.connect({ identity }), { target: "/hold" });
    await eventually(() => upstream.requests.length === 1, "the long one");
    const waiting = pooled.connect({ identity });
    upstream.cut();
    await long.over;
    await pooled.begin(await waiting).over;
    await pooled.ask({}, { identity });
    expect(on()).toEqual([1, 2, 2]);
    identity.die();
    await eventually(() => upstream.open === 0, "the end of what the lease has opened");
  });

  test("whose lease dies sends those who wait away, and dials for none of them", async () => {
    await start({ speaks: ["http/1.1"] }, { maxConnections: 1 });
    const identity = identityOf(first);
    const long = pooled.begin(await pooled.connect({ identity }), { target: "/hold" });
    await eventually(() => upstream.requests.length === 1, "the long one");
    const waiting = denialOf(() => pooled.connect({ identity }));
    identity.die();
    long.channel.abort();
    expect(await waiting).toBeInstanceOf(LeaseGone);
    expect(upstream.connections).toBe(1);
  });
});

describe("what OpenSSL takes for no certificate, or for no key", () => {
  const weak = makeCertificate({ key: "rsa1024" });
  test.each([
    [
      "no certificate",
      () => ({ certificate: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key: first.key }),
    ],
    [
      "no key",
      () => ({ certificate: first.certificate, key: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" }),
    ],
    ["the key of another one", () => ({ certificate: first.certificate, key: second.key })],
    ["a key that is too weak", () => ({ certificate: weak.pem, key: weak.keyPem })],
  ])("%s", async (_what, material) => {
    await start();
    const denial = await denialOf(() => pooled.connect({ identity: identityOf(material()) }));
    expect(denial?.code).toBe("lease_unusable");
    expect(denial?.detail).toMatch(/^OpenSSL refuses the client certificate or its key \(ERR_[A-Z0-9_]+\)$/);
    expect(upstream.open).toBe(0);
  });
});

test("a context whose memory was given back is made anew where it is needed again", async () => {
  await start({ speaks: ["http/1.1"] });
  const destination = { ...DESTINATION, trust: ca.certificate };
  const context = new UpstreamTrust([]).contextWith(destination, identityOf(first));
  for (let i = 0; i < 2; i++) {
    const socket = connectTls({ port: upstream.port, servername: "api.test", secureContext: context.get() });
    await once(socket, "secureConnect");
    context.release();
    context.release();
    // What is open goes on without it.
    socket.write("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n");
    await once(socket, "data");
    socket.destroy();
  }
  expect(whose()).toEqual(["DNS:first", "DNS:first"]);
});

test("no certificate is presented without TLS", async () => {
  await start({}, { destination: { scheme: "http", http: "auto" } });
  expect((await denialOf(() => pooled.connect({ identity: identityOf(first) })))?.code).toBe("internal");
  expect(upstream.open).toBe(0);
});

test("HTTP/2 where the upstream speaks nothing else: found out with the certificate", async () => {
  await start({ speaks: ["h2"] }, { destination: { http: "auto" } });
  const identity = identityOf(first);
  await pooled.ask({}, { identity });
  await pooled.ask({}, { identity });
  expect(whose()).toEqual(["DNS:first", "DNS:first"]);
  expect(new Set(on()).size).toBe(1);
  identity.die();
  await eventually(() => pooled.closed === pooled.opened, "the end of its connection");
});
