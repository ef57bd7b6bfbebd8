import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startEventSource } from "./support/event-source.ts";
import { type House, startHouse, WAYS } from "./support/house.ts";
import { patternSha256 } from "./support/pattern.ts";
import { startProgram } from "./support/program.ts";
import { isPresent, run } from "./support/run.ts";

/** Go's net/http: proxy and trust from the environment (SSL_CERT_FILE replaces the roots). */

const clients = join(dirname(fileURLToPath(import.meta.url)), "clients");
const there = isPresent("go", ["version"]);
let house: House;
let directory = "";

beforeAll(async () => {
  if (!there) return;
  directory = await mkdtemp(join(tmpdir(), "postern-go-"));
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
  test.each(WAYS)("%s", async (way) => {
    const args = [house.url(way, ""), house.upstream(way).urlFor("other.test", "/")];
    const result = await run(join(directory, "client"), args, { env: house.edge.guestEnv(), timeoutMs: 50_000 });
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
