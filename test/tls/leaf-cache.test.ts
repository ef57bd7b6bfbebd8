import { randomBytes, type X509Certificate } from "node:crypto";
import net, { type AddressInfo } from "node:net";
import tls, { type SecureContext } from "node:tls";
import { describe, expect, test } from "vitest";
import { Authority } from "../../src/core/authority.ts";
import type { Clock } from "../../src/core/clock.ts";
import { CertificateAuthority } from "../../src/tls/certificate-authority.ts";
import { LeafCache, quickestFirst } from "../../src/tls/leaf-cache.ts";
import { LeafMinter } from "../../src/tls/leaf-minter.ts";
import { DAY_MS, type Made, makeCertificate, NOW_MS } from "./make-certificate.ts";

class ManualClock implements Clock {
  nowMs = NOW_MS;
  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    throw new Error("certificates go by the wall clock");
  }
}

function cacheOf(
  entries: number,
  made: readonly Made[] = [makeCertificate()],
): { cache: LeafCache; clock: ManualClock } {
  const clock = new ManualClock();
  const certificates = made.map(({ pem }) => pem).join("");
  const key = made[0]?.keyPem ?? "";
  const ca = CertificateAuthority.fromPem(
    { certificates, certificateName: "ca.crt", key, keyName: "ca.key", passphrase: null },
    NOW_MS,
  );
  const minter = new LeafMinter({ ca, leafKey: "ec", lifetimeMs: DAY_MS, clock, randomBytes });
  return { cache: new LeafCache({ minter, entries, clock }), clock };
}

function authority(text: string): Authority {
  const parsed = Authority.parse(text, 443);
  if (parsed === null) throw new Error(`not an authority: ${text}`);
  return parsed;
}

const a = authority("a.test");
const b = authority("b.test");
const c = authority("c.test");

describe("cipher suites", () => {
  test("AES-128 stands first where it is offered, the rest as it was", () => {
    expect(quickestFirst("TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:HIGH:!MD5")).toBe(
      "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:HIGH:!MD5",
    );
  });

  test("who takes it out of Node's list is not given it back", () => {
    const list = "TLS_AES_256_GCM_SHA384:ECDHE-ECDSA-AES256-GCM-SHA384";
    expect(quickestFirst(list)).toBe(list);
  });
});

describe("what is kept", () => {
  test("one context a host, whatever the port", () => {
    const { cache } = cacheOf(10);
    const first = cache.contextFor(a);
    expect(cache.contextFor(authority("A.test:8443"))).toBe(first);
    expect(cache.contextFor(b)).not.toBe(first);
    expect([cache.mints, cache.hits, cache.evictions, cache.size]).toEqual([2, 1, 0, 2]);
  });

  test("what was prepared is found by the handshake; to prepare what is there does nothing and counts nothing", () => {
    const { cache } = cacheOf(10);
    cache.prepare(a);
    cache.prepare(a);
    expect([cache.mints, cache.hits, cache.size]).toEqual([1, 0, 1]);
    const first = cache.contextFor(a);
    cache.prepare(a);
    expect(cache.contextFor(a)).toBe(first);
    expect([cache.mints, cache.hits, cache.size]).toEqual([1, 2, 1]);
  });

  test("the least recently used goes first", () => {
    const { cache } = cacheOf(2);
    const first = cache.contextFor(a);
    cache.contextFor(b);
    cache.contextFor(a);
    cache.contextFor(c);
    expect(cache.contextFor(a)).toBe(first);
    expect([cache.mints, cache.evictions]).toEqual([3, 1]);
    cache.contextFor(b);
    expect([cache.mints, cache.evictions, cache.size]).toEqual([4, 2, 2]);
  });

  test("a guest that asks for ever new names cannot grow it", () => {
    const { cache } = cacheOf(20);
    for (let i = 0; i < 300; i++) cache.contextFor(authority(`h${i}.test`));
    expect([cache.size, cache.mints, cache.evictions]).toEqual([20, 300, 280]);
  });

  test.each([0, -1, 1.5, Number.NaN])("%s entries are refused", (entries) => {
    expect(() => cacheOf(entries)).toThrow(/at least 1/);
  });
});

describe("age", () => {
  test("minted anew once half of its life is over", () => {
    const { cache, clock } = cacheOf(10);
    const first = cache.contextFor(a);
    clock.nowMs = NOW_MS + DAY_MS / 2 - 1;
    expect(cache.contextFor(a)).toBe(first);
    clock.nowMs = NOW_MS + DAY_MS / 2;
    expect(cache.contextFor(a)).not.toBe(first);
    expect([cache.mints, cache.size]).toEqual([2, 1]);
  });

  test("minted anew when the wall clock was set back before its beginning", () => {
    const { cache, clock } = cacheOf(10);
    const first = cache.contextFor(a);
    clock.nowMs = NOW_MS - 3_600_001;
    expect(cache.contextFor(a)).not.toBe(first);
  });
});

describe("on the wire", () => {
  const root = makeCertificate({ name: "root", notBeforeMs: 0, notAfterMs: Date.UTC(2049, 0, 1) });
  const issuing = makeCertificate({ name: "issuing", issuer: root, notBeforeMs: 0, notAfterMs: Date.UTC(2049, 0, 1) });

  test("leaf and intermediate are served, the root is not", async () => {
    const { cache } = cacheOf(10, [issuing, root]);
    await using server = await serve(() => cache.contextFor(a));
    const { chain } = await handshake(server.port, {});
    expect(chain.map(({ subject }) => subject)).toEqual(["CN=a.test", "CN=issuing"]);
  });

  test("TLS 1.2 is the least", async () => {
    const { cache } = cacheOf(10);
    await using server = await serve(() => cache.contextFor(a));
    expect((await handshake(server.port, { maxVersion: "TLSv1.2" })).protocol).toBe("TLSv1.2");
    const old = handshake(server.port, { maxVersion: "TLSv1.1", minVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" });
    await expect(old).rejects.toThrow(/alert protocol version/);
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)("a %s session is resumed", async (version) => {
    const { cache } = cacheOf(10);
    await using server = await serve(() => cache.contextFor(a));
    const first = await handshake(server.port, { maxVersion: version });
    expect(first.reused).toBe(false);
    const again = await handshake(server.port, { maxVersion: version, session: first.session });
    expect(again.reused).toBe(true);
  });

  test("a session of one host is none at another", async () => {
    const { cache } = cacheOf(10);
    await using one = await serve(() => cache.contextFor(a));
    await using other = await serve(() => cache.contextFor(b));
    const first = await handshake(one.port, {});
    expect((await handshake(other.port, { session: first.session })).reused).toBe(false);
  });

  test("a connection outlives the eviction of its context", async () => {
    const { cache } = cacheOf(1);
    await using server = await serve(() => cache.contextFor(a));
    const socket = tls.connect({
      port: server.port,
      host: "127.0.0.1",
      servername: "a.test",
      rejectUnauthorized: false,
    });
    await once(socket, "secureConnect");
    cache.contextFor(b);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(cache.evictions).toBe(1);
    socket.write("still there?");
    expect(String(await once(socket, "data"))).toBe("still there?");
    socket.destroy();
  });
});

test("evicted contexts give their memory back at once, not when V8 happens to look", async () => {
  const { cache } = cacheOf(1);
  const contexts: SecureContext[] = [];
  for (let i = 0; i < 5; i++) contexts.push(cache.contextFor(authority(`h${i}.test`)));
  const isOpen = (): boolean[] =>
    contexts.map((one) => (one.context as NativeContext).getCertificate() instanceof Buffer);
  expect(isOpen()).toEqual([true, true, true, true, true]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(isOpen()).toEqual([false, false, false, false, true]);
});

interface NativeContext {
  getCertificate(): unknown;
}

interface Server extends AsyncDisposable {
  readonly port: number;
}

/** Ends TLS the way the guest side does: on the accepted socket. Echoes. */
async function serve(context: () => SecureContext): Promise<Server> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    const secure = new tls.TLSSocket(socket, { isServer: true, secureContext: context() });
    secure.on("data", (data) => secure.write(data));
    secure.on("error", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Shaken {
  readonly chain: readonly X509Certificate[];
  readonly protocol: string | null;
  readonly reused: boolean;
  readonly session: Buffer;
}

async function handshake(port: number, options: tls.ConnectionOptions): Promise<Shaken> {
  const socket = tls.connect({ port, host: "127.0.0.1", servername: "a.test", rejectUnauthorized: false, ...options });
  let session: Buffer | undefined;
  socket.on("session", (ticket) => (session = ticket));
  try {
    await once(socket, "secureConnect");
    // TLS 1.3 tickets come after the handshake, ahead of the first answer.
    socket.write("x");
    await once(socket, "data");
    const chain: X509Certificate[] = [];
    for (
      let one = socket.getPeerX509Certificate();
      one !== undefined && chain.length < 9;
      one = one.issuerCertificate
    ) {
      chain.push(one);
    }
    return {
      chain,
      protocol: socket.getProtocol(),
      reused: socket.isSessionReused(),
      session: session ?? Buffer.alloc(0),
    };
  } finally {
    socket.destroy();
  }
}

function once(socket: tls.TLSSocket, event: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    socket.once(event, resolve);
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed")));
  });
}
