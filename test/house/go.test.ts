import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeCa } from "./support/certificates.ts";
import { startEventSource } from "./support/event-source.ts";
import { type House, startHouse, type Way, WAYS } from "./support/house.ts";
import { patternSha256 } from "./support/pattern.ts";
import { freePorts } from "./support/postern-process.ts";
import { startProgram } from "./support/program.ts";
import { isPresent, run } from "./support/run.ts";

/** Go's net/http: proxy and trust from the environment (SSL_CERT_FILE replaces the roots). */

const clients = join(dirname(fileURLToPath(import.meta.url)), "clients");
const there = isPresent("go", ["version"]);
let house: House;
let directory = "";
let program = "";
/** How the proxy is spelled, by what its listener speaks. */
const proxies = new Map<string, string>();

beforeAll(async () => {
  if (!there) return;
  directory = await mkdtemp(join(tmpdir(), "postern-go-"));
  program = join(directory, "client");
  const ca = await makeCa(join(directory, "listener-ca"));
  const { certificateFile: certificate, keyFile: key } = await ca.issue(["localhost"]);
  const [tls = 0, socks = 0] = await freePorts(2);
  const session = (id: string) => ({ mode: "open", id });
  house = await startHouse({
    listeners: [
      { name: "tls", address: `127.0.0.1:${tls}`, tls: { certificate, key }, session: session("tls") },
      { name: "socks", address: `127.0.0.1:${socks}`, protocol: "socks5", session: session("socks") },
    ],
  });
  await writeFile(join(directory, "roots.pem"), ca.certificate + house.edge.ca.certificate);
  proxies.set("HTTP", house.edge.proxyUrl);
  proxies.set("HTTP over TLS", `https://localhost:${tls}`);
  proxies.set("SOCKS5", `socks5://127.0.0.1:${socks}`);
  const settings = {
    GO111MODULE: "off",
    GOFLAGS: "",
    GOTOOLCHAIN: "local",
    GOPATH: join(directory, "path"),
    GOCACHE: process.env["GOCACHE"] ?? join(directory, "cache"),
  };
  // Without a cache a newer Go compiles its whole standard library first.
  const env = { ...house.edge.guestEnv(), ...settings };
  for (const program of ["client", "stream"]) {
    const args = ["build", "-o", join(directory, program), join(clients, `${program}.go`)];
    const built = await run("go", args, { env, timeoutMs: 170_000 });
    if (built.code !== 0) throw new Error(built.stderr);
  }
}, 180_000);

afterAll(async () => {
  await house?.stop();
  if (directory !== "") await rm(directory, { recursive: true, force: true });
});

describe.skipIf(!there)(`Go net/http${there ? "" : " (skipped: go is absent)"}`, () => {
  const cases = ["HTTP", "HTTP over TLS", "SOCKS5"].flatMap((spoken) => WAYS.map((way) => [spoken, way] as const));
  test.each(cases)("%s, %s", async (spoken, way) => {
    const args = [house.url(way, ""), house.upstream(way).urlFor("other.test", "/")];
    const proxy = proxies.get(spoken) ?? "";
    const env = house.edge.guestEnv({
      HTTP_PROXY: proxy,
      HTTPS_PROXY: proxy,
      http_proxy: proxy,
      https_proxy: proxy,
      SSL_CERT_FILE: join(directory, "roots.pem"),
    });
    const result = await run(program, args, { env, timeoutMs: 50_000 });
    if (result.code !== 0) throw new Error(result.stderr);
    const told = JSON.parse(result.stdout) as Record<string, unknown>;
    expect(told).toEqual({
      body_sha256: expect.any(String) as string,
      get: "/hello?a=%2f",
      upload_length: told["body_sha256"],
      upload_chunked: told["body_sha256"],
      download_sha256: patternSha256(3_200_000),
      redirect: 307,
      head: 12_345,
      trailers: "abc123",
      // Go agrees on HTTP/2 in a tunnel, where names are in lower case.
      sent_trailers: [way === WAYS[0] ? "x-sum" : "X-Sum", "abc"],
      interim: [102, 103, 200],
      expect: told["body_sha256"],
      early: 413,
      broken_length: true,
      broken_chunked: true,
      refused: refusedAs(spoken, way),
    });
    expect(house.upstream(way).credentialless()).toBe(0);
  });

  test("server-sent events one by one; the request ends upstream when the program closes its answer", async () => {
    const service = await startEventSource();
    const stream = join(directory, "stream");
    const program = startProgram(stream, [service.url("/events")], { env: await service.guestEnv() });
    const { brokenOff } = await service.tell(program);
    await program.until(/^closed$/m);
    await brokenOff;
    expect(service.upstream.credentialless()).toBe(0);
    await program.stop();
    await service.stop();
  });
});

/** A SOCKS guest is refused when it asks for the tunnel, whatever it wanted in it. */
function refusedAs(spoken: string, way: Way): unknown {
  if (spoken === "SOCKS5") return expect.stringContaining("connection not allowed by ruleset");
  return way === WAYS[0] ? expect.stringContaining("Forbidden") : "destination_not_allowed";
}
