import { X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type House, OVER_HTTP2, startHouse, TOKEN, WAYS } from "./support/house.ts";
import { type Haproxy, startHaproxy } from "./support/haproxy.ts";
import { type ListenerSet, listenerSet } from "./support/listener-set.ts";
import { patternBytes, patternSha256 } from "./support/pattern.ts";
import { valuesOf } from "./support/recording.ts";
import { bareEnv, isPresent, run, type RunResult } from "./support/run.ts";
import type { Way } from "./support/house.ts";

/** Real clients on every kind of listener: over TLS, by SOCKS5, from behind HAProxy, and both on a unix socket. */

const hasHaproxy = isPresent("haproxy", ["-v"]);
const UPLOAD_BYTES = 3_000_000;
let set: ListenerSet;
let house: House;
let haproxy: Haproxy | null = null;
let file = "";

beforeAll(async () => {
  set = await listenerSet();
  house = await startHouse({ listeners: set.listeners });
  file = join(house.directory, "upload.bin");
  await writeFile(file, patternBytes(0, UPLOAD_BYTES));
  if (hasHaproxy) haproxy = await startHaproxy(set);
});

afterAll(async () => {
  await haproxy?.stop();
  await house?.stop();
  await set?.remove();
});

beforeEach(() => house.reset());

/** What curl is told for each way to the edge. */
const PROXIES: Readonly<Record<string, () => string[]>> = {
  "HTTP over TLS": () => ["-x", `https://localhost:${set.ports.tls}`, ...trust()],
  "HTTP over TLS with a client certificate": () => {
    const certificate = ["--proxy-cert", set.guest.certificateFile, "--proxy-key", set.guest.keyFile];
    return ["-x", `https://localhost:${set.ports.mutual}`, ...trust(), ...certificate];
  },
  "SOCKS5 with names": () => ["--socks5-hostname", `127.0.0.1:${set.ports.socks}`],
  "SOCKS5 with user and password": () => {
    const proxy = `127.0.0.1:${set.ports.socks}`;
    return ["--socks5-hostname", proxy, "--proxy-user", "sandbox:some-token"];
  },
  "SOCKS5 on a unix socket": () => ["-x", `socks5h://localhost${set.sockets.socks}`],
};

const BEHIND: Readonly<Record<string, () => string[]>> = {
  "HTTP behind HAProxy, version 1": () => ["-x", `http://127.0.0.1:${haproxy?.ports.http1}`],
  "HTTP behind HAProxy, version 2": () => ["-x", `http://127.0.0.1:${haproxy?.ports.http2}`],
  "HTTP behind HAProxy, version 2 with a checksum": () => ["-x", `http://127.0.0.1:${haproxy?.ports.checked}`],
  "HTTP behind HAProxy on a unix socket": () => ["-x", `http://127.0.0.1:${haproxy?.ports.unix}`],
  "HTTP over TLS behind HAProxy": () => ["-x", `https://localhost:${haproxy?.ports.tls}`, ...trust()],
  "SOCKS5 behind HAProxy": () => ["--socks5-hostname", `127.0.0.1:${haproxy?.ports.socks}`],
};

/** Records of exchanges, once there are as many as `count` that fit. */
async function records(count: number, fits: (record: Record<string, unknown>) => boolean): Promise<unknown[]> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const found = (await house.edge.audit()).filter((record) => record["type"] === "exchange" && fits(record));
    if (found.length >= count || performance.now() > deadline) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function trust(): string[] {
  return ["--proxy-cacert", set.ca.certificateFile];
}

function curl(proxy: readonly string[], way: Way, path: string, ...args: string[]): Promise<RunResult> {
  return curlTo(proxy, house.url(way, path), ...args);
}

function curlTo(proxy: readonly string[], url: string, ...args: string[]): Promise<RunResult> {
  // Of two versions the last one counts.
  return run("curl", ["-sS", "--http1.1", "--cacert", house.edge.ca.certificateFile, ...proxy, ...args, url]);
}

const kinds = [
  ...Object.entries(PROXIES).map(([name, proxy]) => ({ name, proxy, there: true })),
  ...Object.entries(BEHIND).map(([name, proxy]) => ({
    name: hasHaproxy ? name : `${name} (skipped: haproxy is absent)`,
    proxy,
    there: hasHaproxy,
  })),
];

for (const { name, proxy, there } of kinds) {
  describe.skipIf(!there)(name, () => {
    test("HTTP/2 in the tunnel: GET carries the credential, 5 MB down, 3 MB up, many at once", async () => {
      const ask = (path: string, ...args: string[]): Promise<RunResult> =>
        curl(proxy(), OVER_HTTP2, path, "--http2", "-w", "\nHTTP/%{http_version}\n", ...args);
      const hello = await ask("/hello?a=1");
      expect(hello).toMatchObject({ code: 0, stderr: "" });
      expect(hello.stdout).toBe('{"method":"GET","url":"/hello?a=1","credential":"seen"}\n\nHTTP/2\n');
      expect(valuesOf(house.upstream(OVER_HTTP2).requests[0]!, "authorization")).toEqual([`Bearer ${TOKEN}`]);
      const into = join(house.directory, "down.bin");
      expect((await ask("/download?bytes=5000000", "-o", into)).stdout).toBe("\nHTTP/2\n");
      expect((await readFile(into)).equals(patternBytes(0, 5_000_000))).toBe(true);
      const up = await ask("/upload", "-T", file);
      expect(up.stdout).toMatch(/\nHTTP\/2\n$/);
      expect(JSON.parse(up.stdout.replace("HTTP/2", ""))).toMatchObject({ sha256: patternSha256(UPLOAD_BYTES) });
      const urls = Array.from({ length: 20 }, (_, i) => house.url(OVER_HTTP2, `/hello?i=${i}`));
      const many = await ask("/hello", "--parallel", ...urls);
      expect(many.code).toBe(0);
      expect(many.stdout.match(/^HTTP\/2$/gm)).toHaveLength(21);
      expect(house.upstream(OVER_HTTP2).credentialless()).toBe(0);
    });

    describe.each(WAYS)("%s", (way) => {
      test("GET carries the credential", async () => {
        const result = await curl(proxy(), way, "/hello?a=1");
        expect(result).toMatchObject({ code: 0, stderr: "" });
        expect(JSON.parse(result.stdout)).toEqual({ method: "GET", url: "/hello?a=1", credential: "seen" });
        expect(valuesOf(house.upstream(way).requests[0]!, "authorization")).toEqual([`Bearer ${TOKEN}`]);
      });

      test("20 MB down, 3 MB up, many at once", async () => {
        const down = await curl(proxy(), way, "/download?bytes=20000000");
        expect(down.stdoutSha256).toBe(patternSha256(20_000_000));
        const up = await curl(proxy(), way, "/upload", "-T", file);
        expect(JSON.parse(up.stdout)).toMatchObject({ bytes: UPLOAD_BYTES, sha256: patternSha256(UPLOAD_BYTES) });
        const urls = Array.from({ length: 20 }, (_, i) => house.url(way, `/hello?i=${i}`));
        const many = await curl(proxy(), way, "/hello", "--parallel", ...urls);
        expect(many.code).toBe(0);
        expect(house.upstream(way).credentialless()).toBe(0);
      });

      test.each(["/reset?bytes=100000&after=50000", "/reset?chunked=1&after=50000"])("%s is broken", async (path) => {
        const result = await curl(proxy(), way, path, "-o", "/dev/null");
        expect([18, 56]).toContain(result.code);
      });

      test("a request is decided inside", async () => {
        const result = await curl(proxy(), way, "/hello", "-X", "TRACE", "-o", "/dev/null", "-w", "%{http_code}");
        expect(result.stdout).toMatch(/^4\d\d$/);
        expect(house.upstream(way).requests).toHaveLength(0);
      });
    });
  });
}

describe("SOCKS5", () => {
  test("refused by name: reply 2, and the record says why", async () => {
    const result = await curlTo(PROXIES["SOCKS5 with names"]!(), "https://other.test/");
    expect(result.code).toBe(97);
    expect(result.stderr).toContain("(2)");
    expect(await records(1, ({ denial }) => denial === "destination_not_allowed")).toMatchObject([
      { kind: "connect", method: "CONNECT", authority: "other.test:443", listener: "socks", status: 403 },
    ]);
  });

  test("an address that the guest resolved is another destination", async () => {
    const proxy = ["--socks5", `127.0.0.1:${set.ports.socks}`];
    const at = ["--resolve", `api.test:${house.upstream(WAYS[0]).port}:127.0.0.1`];
    const result = await curl([...proxy, ...at], WAYS[0], "/hello");
    expect(result.code).toBe(97);
    expect(house.upstream(WAYS[0]).requests).toHaveLength(0);
  });
});

describe("HTTP over TLS", () => {
  let turnedAway = 0;
  const isRefused = (name: string) => (record: Record<string, unknown>) =>
    record["listener"] === name && record["kind"] === "connection" && record["denial"] === "tls_handshake_failed";

  test.each([
    ["without a client certificate", () => []],
    [
      "with one of another CA",
      () => ["--proxy-cert", set.stranger.certificateFile, "--proxy-key", set.stranger.keyFile],
    ],
  ])("where one is required, %s nobody gets in", async (_name, more) => {
    const proxy = ["-x", `https://localhost:${set.ports.mutual}`, ...trust(), ...more()];
    const result = await curl(proxy, WAYS[0], "/hello");
    expect([35, 56]).toContain(result.code);
    expect(house.upstream(WAYS[0]).requests).toHaveLength(0);
    turnedAway++;
    expect(await records(turnedAway, isRefused("mutual"))).toHaveLength(turnedAway);
  });

  test("plain HTTP at its port is no answer, and is written down", async () => {
    const result = await curl(["-x", `http://localhost:${set.ports.tls}`], WAYS[0], "/hello");
    expect(result.code).not.toBe(0);
    expect(house.upstream(WAYS[0]).requests).toHaveLength(0);
    expect(await records(1, isRefused("tls"))).toMatchObject([
      { detail: expect.stringMatching(/http request|https proxy request/) as string, outcome: "denied" },
    ]);
  });

  const hasPython = isPresent("python3");
  test.skipIf(!hasPython)(
    `Python's urllib, in absolute-form${hasPython ? "" : " (skipped: python3 is absent)"}`,
    async () => {
      const roots = join(house.directory, "roots.pem");
      await writeFile(roots, set.ca.certificate + house.edge.ca.certificate);
      const script = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())";
      const http_proxy = `https://localhost:${set.ports.tls}`;
      const env = { ...bareEnv(house.directory), http_proxy, SSL_CERT_FILE: roots };
      const result = await run("python3", ["-c", script, house.url(WAYS[1], "/hello")], { env });
      expect(result.stderr).toBe("");
      expect(JSON.parse(result.stdout)).toMatchObject({ credential: "seen" });
    },
  );

  const hasOpenssl = isPresent("openssl", ["version"]);
  test.skipIf(!hasOpenssl).each([
    ["h2 alone is refused by alert", ["-alpn", "h2"], /no application protocol/i],
    ["h2 and HTTP/1.1 become HTTP/1.1", ["-alpn", "h2,http/1.1"], /ALPN protocol: http\/1\.1/],
    ["no ALPN at all is fine", [], /No ALPN negotiated/],
    ["TLS 1.1 is refused", ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], /alert protocol version|no protocols available/],
    ["TLS 1.2 is taken", ["-tls1_2"], /Protocol *: TLSv1\.2/],
  ] as const)("%s", async (_name, args, told) => {
    const at = ["s_client", "-connect", `127.0.0.1:${set.ports.tls}`, "-CAfile", set.ca.certificateFile];
    const result = await run("openssl", [...at, ...args], { input: "" });
    expect(result.stdout + result.stderr).toMatch(told);
  });

  test("a renewed certificate is taken over without a restart; one that does not fit is not", async () => {
    const renewed = await set.ca.issue(["localhost", "renewed.test"]);
    await writeFile(set.own.keyFile, await readFile((await set.ca.issue(["localhost"])).keyFile));
    await said("certificate not taken over");
    expect(await curl(PROXIES["HTTP over TLS"]!(), WAYS[0], "/hello")).toMatchObject({ code: 0 });
    await writeFile(set.own.certificateFile, renewed.certificate);
    await writeFile(set.own.keyFile, renewed.key);
    await said("renewed certificate in use");
    const expires = new X509Certificate(renewed.certificate).validToDate.toISOString();
    expect(house.edge.process.output()).toContain(`"listener":"tls","expires":"${expires}","msg":"renewed`);
    const at = [
      "--connect-to",
      `renewed.test:${set.ports.tls}:127.0.0.1:${set.ports.tls}`,
      "--resolve",
      `renewed.test:${set.ports.tls}:127.0.0.1`,
    ];
    const proxy = ["-x", `https://renewed.test:${set.ports.tls}`, ...trust(), ...at];
    expect(await curl(proxy, WAYS[0], "/hello")).toMatchObject({ code: 0 });
  });

  async function said(text: string): Promise<void> {
    const deadline = performance.now() + 30_000;
    while (!house.edge.process.output().includes(text)) {
      if (performance.now() > deadline)
        throw new Error(`${text}: not said\n${house.edge.process.output().slice(-2000)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
});

describe.skipIf(!hasHaproxy)(`behind HAProxy${hasHaproxy ? "" : " (skipped: haproxy is absent)"}`, () => {
  test.each(["http1", "http2", "unix", "tls", "socks"] as const)(
    "%s: the guest is who came to HAProxy",
    async (kind) => {
      // HAProxy sees curl come from this address, the edge sees HAProxy come from 127.0.0.1.
      const from = ["--interface", "127.0.0.77"];
      const name = {
        http1: "HTTP behind HAProxy, version 1",
        http2: "HTTP behind HAProxy, version 2",
        unix: "HTTP behind HAProxy on a unix socket",
        tls: "HTTP over TLS behind HAProxy",
        socks: "SOCKS5 behind HAProxy",
      }[kind];
      expect(await curl([...BEHIND[name]!(), ...from], WAYS[0], "/hello")).toMatchObject({ code: 0, stderr: "" });
      const listener =
        kind === "unix" ? "announced-file" : `announced${{ tls: "Tls", socks: "Socks" }[kind as string] ?? ""}`;
      const isIt = (record: Record<string, unknown>): boolean =>
        record["listener"] === listener && record["guest"] === "127.0.0.77";
      expect((await records(2, isIt)).length).toBeGreaterThan(1);
    },
  );

  test("who goes round it is refused", async () => {
    const proxy = ["-x", `http://127.0.0.1:${set.ports.announced}`, "--interface", "127.0.0.78"];
    expect((await curl(proxy, WAYS[0], "/hello")).code).not.toBe(0);
    expect(await records(1, ({ guest }) => guest === "127.0.0.78")).toMatchObject([
      { kind: "connection", listener: "announced", denial: "proxy_protocol_invalid", outcome: "denied" },
    ]);
  });

  test("its checks are nobody's guest, and nothing is written down of them", async () => {
    const opened = async (): Promise<number> =>
      Number(/^postern_guest_connections_opened_total (\d+)$/m.exec(await house.edge.metrics())?.[1]);
    const before = await opened();
    // Nothing else connects meanwhile.
    while ((await opened()) < before + 3) await new Promise((resolve) => setTimeout(resolve, 50));
    const isOfChecks = ({ kind, listener, guest }: Record<string, unknown>): boolean =>
      kind === "connection" && listener === "announced" && guest !== "127.0.0.78";
    expect(await records(0, isOfChecks)).toEqual([]);
  });
});
