import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeCa } from "../house/support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "../house/support/edge.ts";
import { startUpstream, type Upstream } from "../house/support/upstream.ts";
import { denialIn, openGuest, openTunnel, type RawGuest } from "./raw-guest.ts";

/**
 * Destinations, spelled and misspelled: a guest tries to be led where no rule leads, to have one name decided and another one
 * dialled, to reach the edge itself. The canary is a second upstream on loopback that nobody may reach.
 */

let directory = "";
let secure: Upstream;
let plain: Upstream;
let canary: Upstream;
let edge: Edge;

/** Names that resolve to what a public name must not. */
const BAD_ADDRESSES: Record<string, string[]> = {
  "loopback.test": ["127.0.0.1"],
  "loopback-six.test": ["::1"],
  "private-ten.test": ["10.0.0.1"],
  "private-172.test": ["172.16.0.1"],
  "private-192.test": ["192.168.1.1"],
  "link-local.test": ["169.254.1.1"],
  "metadata.test": ["169.254.169.254"],
  "cgnat.test": ["100.64.0.1"],
  "multicast.test": ["224.0.0.1"],
  "reserved.test": ["240.0.0.1"],
  "unspecified.test": ["0.0.0.0"],
  "unique-local.test": ["fd00::1"],
  "mapped.test": ["::ffff:127.0.0.1"],
  "nat64.test": ["64:ff9b::7f00:1"],
  "six-to-four.test": ["2002:7f00:1::"],
  "teredo.test": ["2001:0:7f00:1::"],
  "good-and-bad.test": ["198.41.0.4", "127.0.0.1"],
};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-hostile-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const demand = { in: "header", name: "authorization", value: "Bearer right-token" } as const;
  secure = await startUpstream({ tls: await ca.issue(["api.test"]), demand });
  plain = await startUpstream({ demand });
  canary = await startUpstream();
  const credential = { credential: "main/api", attach: { as: "bearer" } };
  const anywhere = { allow: [{ methods: ["*"], paths: ["/**"] }] };
  edge = await startEdge({
    hosts: { "api.test": ["127.0.0.1"], ...BAD_ADDRESSES },
    extraRoots: [ca.certificateFile],
    env: { UPSTREAM_TOKEN: "right-token" },
    credentials: [
      {
        name: "api",
        kind: "token",
        source: { env: "UPSTREAM_TOKEN" },
        hosts: [`api.test:${secure.port}`, `api.test:${plain.port}`],
      },
    ],
  });
  // The ports of the edge itself are known only now.
  await edge.rewrite({
    destinations: [
      destinationFor(secure, "api.test", {
        ...credential,
        name: "secure",
        allow: [{ methods: ["GET", "POST", "OPTIONS"], paths: ["/v1/**", "/reflect"] }],
      }),
      destinationFor(plain, "api.test", { ...credential, name: "plain", plain_http_credential: "accept" }),
      ...Object.keys(BAD_ADDRESSES).map((host) => ({
        name: host,
        host,
        port: canary.port,
        scheme: "http",
        ...anywhere,
      })),
      // The operator's own mistake: rules that would lead to the edge's listeners.
      ...[edge.proxyPort, Number(new URL(edge.adminUrl).port)].map((port) => ({
        name: `own-${port}`,
        host: "127.0.0.0/8",
        port,
        scheme: "http",
        addresses: ["127.0.0.0/8"],
        ...anywhere,
      })),
    ],
  });
  const deadline = performance.now() + 20_000;
  while (!(await edge.metrics()).includes('postern_policy_reloads_total{result="loaded"} 2')) {
    if (performance.now() > deadline) throw new Error("the config was not reloaded");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

afterAll(async () => {
  await edge?.stop();
  await Promise.all([secure?.close(), plain?.close(), canary?.close()]);
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  secure.reset();
  plain.reset();
});

function nothingWasReached(): void {
  expect(secure.requests).toHaveLength(0);
  expect(plain.requests).toHaveLength(0);
  expect(canary.connections).toBe(0);
}

async function answerTo(message: string): Promise<string> {
  const guest = await openGuest(edge.proxyPort);
  guest.send(message);
  const text = await guest.until(/\r\n\r\n[\s\S]*\}\n$/);
  guest.destroy();
  return text;
}

describe("CONNECT to a spelling that is not the one that is allowed", () => {
  test.each([
    ["an octal address", "0177.0.0.1:443", "request_malformed"],
    ["a hexadecimal address", "0x7f000001:443", "request_malformed"],
    ["an integer address", "2130706433:443", "request_malformed"],
    ["a short address", "127.1:443", "request_malformed"],
    ["an address with five parts", "127.0.0.0.1:443", "request_malformed"],
    ["leading zeros", "127.000.000.001:443", "request_malformed"],
    ["a v4-mapped address", "[::ffff:127.0.0.1]:443", "request_malformed"],
    ["a v4-mapped address in hexadecimal", "[::ffff:7f00:1]:443", "request_malformed"],
    ["a zone id", "[fe80::1%25eth0]:443", "request_malformed"],
    ["a bare zone id", "[fe80::1%eth0]:443", "request_malformed"],
    ["a trailing dot", "api.test.:{S}", "request_malformed"],
    ["a leading dot", ".api.test:{S}", "request_malformed"],
    ["userinfo", "user@api.test:{S}", "request_malformed"],
    ["userinfo that looks like the host", "api.test:{S}@evil.test:443", "request_malformed"],
    ["percent-encoding", "api%2etest:{S}", "request_malformed"],
    ["full-width letters", "\xef\xbd\x81pi.test:{S}", "request_malformed"],
    ["no port", "api.test", "request_malformed"],
    ["port 0", "api.test:0", "request_malformed"],
    ["port 65536", "api.test:65536", "request_malformed"],
    ["a port with a plus", "api.test:+{S}", "request_malformed"],
    ["a port with a leading zero", "api.test:0{S}", "request_malformed"],
    ["two ports", "api.test:{S}:{S}", "request_malformed"],
    ["a path", "api.test:{S}/", "request_malformed"],
    ["a scheme", "https://api.test:{S}", "request_malformed"],
    ["a NUL", "api.test\0:{S}", "request_malformed"],
    ["an unbracketed IPv6 address", "::1:443", "request_malformed"],
    ["an open bracket", "[::1:443", "request_malformed"],
    ["a name of 254 characters", `${"a.".repeat(127)}test:443`, "request_malformed"],
    ["another port", "api.test:444", "destination_not_allowed"],
    ["a sub-domain", "x.api.test:{S}", "destination_not_allowed"],
    ["a name that ends alike", "evilapi.test:{S}", "destination_not_allowed"],
    ["a punycode look-alike", "xn--pi-7ka.test:{S}", "destination_not_allowed"],
    ["an address instead of the name", "127.0.0.1:{S}", "destination_not_allowed"],
    ["localhost", "localhost:{S}", "destination_not_allowed"],
  ])("%s: %.60s", async (_name, authority, code) => {
    const text = await answerTo(
      `CONNECT ${authority.replaceAll("{S}", String(secure.port))} HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    expect(denialIn(text)).toBe(code);
    nothingWasReached();
  });

  test("upper case is the same name", async () => {
    const guest = await openGuest(edge.proxyPort);
    guest.send(`CONNECT API.Test:${secure.port} HTTP/1.1\r\n\r\n`);
    expect(await guest.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200 Connection Established\r\n\r\n$/);
    guest.destroy();
  });
});

describe("names that lead to an address that is not permitted", () => {
  test.each(Object.keys(BAD_ADDRESSES))("%s", async (host) => {
    const text = await answerTo(`GET http://${host}:${canary.port}/ HTTP/1.1\r\nHost: ${host}:${canary.port}\r\n\r\n`);
    expect(denialIn(text)).toBe("address_denied");
    nothingWasReached();
  });

  test("a name that does not resolve", async () => {
    await expect(answerTo(`GET http://nowhere.test/ HTTP/1.1\r\nHost: nowhere.test\r\n\r\n`)).resolves.toContain(
      "destination_not_allowed",
    );
  });
});

describe("the edge itself", () => {
  test.each([
    ["origin-form to the listener", "GET / HTTP/1.1\r\nHost: 127.0.0.1:{E}\r\n\r\n", "request_malformed"],
    ["origin-form for the metrics", "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{A}\r\n\r\n", "request_malformed"],
    ["asterisk-form to the listener", "OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1:{E}\r\n\r\n", "request_malformed"],
    ["CONNECT to the listener", "CONNECT 127.0.0.1:{E} HTTP/1.1\r\n\r\n", "loop_detected"],
    ["CONNECT to the admin listener", "CONNECT 127.0.0.1:{A} HTTP/1.1\r\n\r\n", "loop_detected"],
    [
      "absolute-form to the listener",
      "GET http://127.0.0.1:{E}/ HTTP/1.1\r\nHost: 127.0.0.1:{E}\r\n\r\n",
      "loop_detected",
    ],
    [
      "absolute-form to the admin listener",
      "GET http://127.0.0.1:{A}/metrics HTTP/1.1\r\nHost: 127.0.0.1:{A}\r\n\r\n",
      "loop_detected",
    ],
    ["a scheme that is not HTTP", "GET ftp://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n", "request_malformed"],
    ["a file", "GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "request_malformed"],
    [
      "userinfo in absolute-form",
      "GET http://u:p@api.test:{P}/ HTTP/1.1\r\nHost: api.test:{P}\r\n\r\n",
      "request_malformed",
    ],
    ["CONNECT with content", "CONNECT api.test:{S} HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "request_malformed"],
    ["HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "request_malformed"],
    ["the first bytes of a TLS hello on the plain listener", "\x16\x03\x01\x02\x00\x01\x00", "request_malformed"],
    ["a TLS hello on the plain listener", "\x16\x03\x01\x02\x00\x01\x00\n\r\n\r\n", "request_malformed"],
    ["SOCKS5", "\x05\x01\x00\n\r\n\r\n", "request_malformed"],
  ])("%s", async (_name, message, code) => {
    const written = message
      .replaceAll("{E}", String(edge.proxyPort))
      .replaceAll("{A}", new URL(edge.adminUrl).port)
      .replaceAll("{S}", String(secure.port))
      .replaceAll("{P}", String(plain.port));
    const text = await answerTo(written);
    expect(denialIn(text)).toBe(code);
    expect(text).not.toContain("postern_");
    nothingWasReached();
  });
});

describe("inside a tunnel, another authority", () => {
  const cases: [string, string, string][] = [
    ["Host of another name", "GET /v1/a HTTP/1.1\r\nHost: evil.test\r\n\r\n", "authority_mismatch"],
    [
      "absolute-form of another name",
      "GET https://evil.test/v1/a HTTP/1.1\r\nHost: api.test:{S}\r\n\r\n",
      "authority_mismatch",
    ],
    [
      "absolute-form on another port",
      "GET https://api.test/v1/a HTTP/1.1\r\nHost: api.test\r\n\r\n",
      "authority_mismatch",
    ],
    [
      "absolute-form with another scheme",
      "GET http://api.test:{S}/v1/a HTTP/1.1\r\nHost: api.test:{S}\r\n\r\n",
      "authority_mismatch",
    ],
    ["a nested CONNECT", "CONNECT api.test:{S} HTTP/1.1\r\nHost: api.test:{S}\r\n\r\n", "tunnel_unsupported"],
    ["TRACE", "TRACE /v1/a HTTP/1.1\r\nHost: api.test:{S}\r\n\r\n", "method_not_allowed"],
    ["a method in lower case", "get /v1/a HTTP/1.1\r\nHost: api.test:{S}\r\n\r\n", "method_not_allowed"],
    ["a method that no rule names", "DELETE /v1/a HTTP/1.1\r\nHost: api.test:{S}\r\n\r\n", "method_not_allowed"],
    ["asterisk-form", "OPTIONS * HTTP/1.1\r\nHost: api.test:{S}\r\n\r\n", "ambiguous_path"],
  ];
  test.each(cases)("%s", async (_name, message, code) => {
    const guest = await openTunnel(edge.proxyPort, `api.test:${secure.port}`, "api.test");
    guest.send(message.replaceAll("{S}", String(secure.port)));
    const text = await guest.until(/\r\n\r\n[\s\S]*\}\n$/);
    guest.destroy();
    expect(denialIn(text)).toBe(code);
    nothingWasReached();
  });

  const hello = (servername: string): Promise<RawGuest> =>
    openTunnel(edge.proxyPort, `api.test:${secure.port}`, servername);
  test.each([
    ["no SNI", "", "sni_missing"],
    ["the SNI of another name", "evil.test", "sni_mismatch"],
    ["the SNI of a sub-domain", "x.api.test", "sni_mismatch"],
  ])("%s", async (_name, servername, code) => {
    const guest = await hello(servername);
    guest.send(`GET /v1/a HTTP/1.1\r\nHost: api.test:${secure.port}\r\n\r\n`);
    expect(denialIn(await guest.until(/\}\n$/))).toBe(code);
    guest.destroy();
    nothingWasReached();
  });

  test.each([
    ["HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["SSH", "\x00\x00SSH-2.0-x\r\n"],
    ["a TLS record that is no hello", "\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00"],
    ["zeros", "\0\0\0\0"],
  ])("bytes that are neither TLS nor HTTP: %s", async (_name, bytes) => {
    const guest = await openGuest(edge.proxyPort);
    guest.send(`CONNECT api.test:${secure.port} HTTP/1.1\r\n\r\n`);
    await guest.until(/\r\n\r\n/);
    guest.send(bytes);
    await guest.ended();
    guest.destroy();
    nothingWasReached();
  });

  test("cleartext in a tunnel to a TLS destination", async () => {
    const guest = await openGuest(edge.proxyPort);
    guest.send(
      `CONNECT api.test:${secure.port} HTTP/1.1\r\n\r\nGET /v1/a HTTP/1.1\r\nHost: api.test:${secure.port}\r\n\r\n`,
    );
    expect(denialIn(await guest.until(/\}\n$/))).toBe("destination_not_allowed");
    guest.destroy();
    nothingWasReached();
  });
});

describe("paths that could be read in two ways", () => {
  test.each([
    "/v1/../admin",
    "/v1/%2e%2e/admin",
    "/v1/.%2e/admin",
    "/v1/%252e%252e/admin",
    "/v1/..;/admin",
    "/v1/..%2fadmin",
    "/v1/..%5cadmin",
    "/v1/..\\admin",
    "/v1\\..\\admin",
    "//v1/a",
    "/%2fv1/a",
    "/v1/%00/../admin",
    "/v1/a%00",
    "/v1/%c0%ae%c0%ae/admin",
    "/v1/%zz",
    "/v1/a#/../../admin",
    "/admin;/v1/a",
    "/./admin",
    "/v1/x/../../admin",
    "/V1/a",
    "/",
    "/admin",
  ])("%s", async (path) => {
    const guest = await openTunnel(edge.proxyPort, `api.test:${secure.port}`, "api.test");
    guest.send(`GET ${path} HTTP/1.1\r\nHost: api.test:${secure.port}\r\n\r\n`);
    const text = await guest.until(/\}\n$/);
    guest.destroy();
    expect(["ambiguous_path", "path_not_allowed"]).toContain(denialIn(text));
    nothingWasReached();
  });
});
