import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type House, startHouse, type Way, WAYS } from "./support/house.ts";
import { patternSha256 } from "./support/pattern.ts";
import { valuesOf } from "./support/recording.ts";
import { isPresent, run } from "./support/run.ts";

/** Java's HttpClient and HttpURLConnection: system properties for the proxy, a PKCS#12 store for trust; h2c offers on http://. */

const source = join(dirname(fileURLToPath(import.meta.url)), "clients", "Client.java");
const there = isPresent("java", ["-version"]) && isPresent("javac", ["-version"]);
let house: House;
let directory = "";
const PASSWORD = "changeit";

beforeAll(async () => {
  if (!there) return;
  house = await startHouse();
  directory = await mkdtemp(join(tmpdir(), "postern-java-"));
  const ca = ["-alias", "edge", "-file", house.edge.ca.certificateFile];
  const store = ["-keystore", join(directory, "trust.p12"), "-storetype", "PKCS12", "-storepass", PASSWORD];
  const imported = await run("keytool", ["-importcert", "-noprompt", ...ca, ...store]);
  const compiled = await run("javac", ["-d", directory, source]);
  if (imported.code !== 0 || compiled.code !== 0) throw new Error(imported.stderr + imported.stdout + compiled.stderr);
});

afterAll(async () => {
  await house?.stop();
  if (directory !== "") await rm(directory, { recursive: true, force: true });
});

beforeEach(() => house?.reset());

async function ask(kind: string, way: Way): Promise<Record<string, string>> {
  const proxy = ["http", "https"].flatMap((scheme) => [
    `-D${scheme}.proxyHost=127.0.0.1`,
    `-D${scheme}.proxyPort=${house.edge.proxyPort}`,
  ]);
  const trust = [
    `-Djavax.net.ssl.trustStore=${join(directory, "trust.p12")}`,
    `-Djavax.net.ssl.trustStorePassword=${PASSWORD}`,
  ];
  const args = [kind, house.url(way, ""), house.upstream(way).urlFor("other.test", "/")];
  const command = [...proxy, ...trust, "-cp", directory, "Client", ...args];
  const result = await run("java", command, { env: house.edge.guestEnv(), timeoutMs: 55_000 });
  if (result.code !== 0) throw new Error(result.stderr + result.stdout);
  const lines = result.stdout.trimEnd().split("\n");
  return Object.fromEntries(lines.map((line) => line.split(/ (.*)/s).slice(0, 2) as [string, string]));
}

describe.skipIf(!there)(`Java${there ? "" : " (skipped: a JDK is absent)"}`, () => {
  test.each(WAYS)("HttpClient %s", async (way) => {
    const told = await ask("httpclient", way);
    const body = told["body_sha256"];
    expect(told).toMatchObject({
      get: '{"method":"GET","url":"/hello?a=%2f","credential":"seen"}',
      upload_length: expect.stringContaining(`"sha256":"${body}"`) as string,
      upload_chunked: expect.stringContaining(`"sha256":"${body}"`) as string,
      expect: expect.stringContaining(`"sha256":"${body}"`) as string,
      head: "12345",
      download_sha256: patternSha256(2_400_000),
      redirect: "307",
      broken_length: "true",
      broken_chunked: "true",
      refused: (way === WAYS[0] ? expect.stringMatching(/403|Forbidden/) : "403") as string,
    });
    // On http:// every request came with an offer to upgrade to h2c.
    for (const seen of house.upstream(way).requests) expect(valuesOf(seen, "upgrade")).toEqual([]);
    expect(house.upstream(way).credentialless()).toBe(0);
  });

  test.each(WAYS)("HttpURLConnection %s", async (way) => {
    const told = await ask("urlconnection", way);
    const body = told["body_sha256"];
    expect(told).toMatchObject({
      get: '{"method":"GET","url":"/hello?a=%2f","credential":"seen"}',
      upload_length: expect.stringContaining(`"sha256":"${body}"`) as string,
      upload_chunked: expect.stringContaining(`"sha256":"${body}"`) as string,
      head: "12345",
      download_sha256: patternSha256(2_400_000),
      broken_length: "true",
      broken_chunked: "true",
      refused: (way === WAYS[0] ? expect.stringContaining("403") : "403") as string,
    });
    expect(house.upstream(way).credentialless()).toBe(0);
  });
});
