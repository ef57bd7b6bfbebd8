import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type House, startHouse, WAYS } from "./support/house.ts";
import { patternSha256 } from "./support/pattern.ts";
import { isPresent, run } from "./support/run.ts";

/** Go's net/http: proxy and trust from the environment (SSL_CERT_FILE replaces the roots). */

const source = join(dirname(fileURLToPath(import.meta.url)), "clients", "client.go");
const there = isPresent("go", ["version"]);
let house: House;
let directory = "";
let program = "";

beforeAll(async () => {
  if (!there) return;
  directory = await mkdtemp(join(tmpdir(), "postern-go-"));
  program = join(directory, "client");
  house = await startHouse();
  const settings = {
    GO111MODULE: "off",
    GOFLAGS: "",
    GOTOOLCHAIN: "local",
    GOPATH: join(directory, "path"),
    GOCACHE: process.env["GOCACHE"] ?? join(directory, "cache"),
  };
  // Without a cache a newer Go compiles its whole standard library first.
  const env = { ...house.edge.guestEnv(), ...settings };
  const built = await run("go", ["build", "-o", program, source], { env, timeoutMs: 170_000 });
  if (built.code !== 0) throw new Error(built.stderr);
}, 180_000);

afterAll(async () => {
  await house?.stop();
  if (directory !== "") await rm(directory, { recursive: true, force: true });
});

describe.skipIf(!there)(`Go net/http${there ? "" : " (skipped: go is absent)"}`, () => {
  test.each(WAYS)("%s", async (way) => {
    const args = [house.url(way, ""), house.upstream(way).urlFor("other.test", "/")];
    const result = await run(program, args, { env: house.edge.guestEnv(), timeoutMs: 50_000 });
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
      refused: (way === WAYS[0] ? expect.stringContaining("Forbidden") : "destination_not_allowed") as string,
    });
    expect(house.upstream(way).credentialless()).toBe(0);
  });
});
