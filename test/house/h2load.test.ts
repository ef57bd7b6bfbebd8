import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ConnectRelay, startConnectRelay } from "./support/connect-relay.ts";
import { type House, OVER_HTTP2, startHouse } from "./support/house.ts";
import { patternBytes, patternSha256 } from "./support/pattern.ts";
import { isPresent, run } from "./support/run.ts";

/** h2load, which knows no proxy, through a relay that does: many streams at once, small windows, uploads. Nothing is timed. */

const there = isPresent("h2load");
let house: House;
let relay: ConnectRelay;

beforeAll(async () => {
  house = await startHouse();
  relay = await startConnectRelay(house.edge.proxyPort, new URL(house.url(OVER_HTTP2, "/")).host);
});

afterAll(async () => {
  await relay?.close();
  await house?.stop();
});

beforeEach(() => house.reset());

/** @returns its summary; every request was answered with 2xx */
async function load(path: string, count: number, ...args: string[]): Promise<string> {
  const settings = [`--connect-to=127.0.0.1:${relay.port}`, "-n", String(count), ...args];
  const { code, stdout, stderr } = await run("h2load", [...settings, house.url(OVER_HTTP2, path)], {
    timeoutMs: 55_000,
  });
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toContain("Application protocol: h2\n");
  expect(stdout).toContain(
    `requests: ${count} total, ${count} started, ${count} done, ${count} succeeded, 0 failed, 0 errored, 0 timeout\n` +
      `status codes: ${count} 2xx, 0 3xx, 0 4xx, 0 5xx\n`,
  );
  const upstream = house.upstream(OVER_HTTP2);
  expect([upstream.requests.length, upstream.credentialless()]).toEqual([count, 0]);
  return stdout;
}

describe.skipIf(!there)(`h2load${there ? "" : " (skipped: h2load is absent)"}`, () => {
  test("100 streams at a time on each of four connections", async () => {
    const summary = await load("/download?bytes=1000", 2000, "-c", "4", "-m", "100");
    expect(summary).toMatch(/\(2000000\) data$/m);
    // Connections are used again: there are never more than streams at a time.
    expect(house.upstream(OVER_HTTP2).connections).toBeLessThanOrEqual(400);
  });

  test("windows of a kilobyte", async () => {
    const summary = await load("/download?bytes=50000", 100, "-c", "2", "-m", "20", "-w", "10", "-W", "12");
    expect(summary).toMatch(/\(5000000\) data$/m);
  });

  test("uploads", async () => {
    const file = join(house.directory, "upload.bin");
    await writeFile(file, patternBytes(0, 200_000));
    await load("/upload", 100, "-c", "2", "-m", "20", "-d", file);
    for (const { body, bodySha256 } of house.upstream(OVER_HTTP2).requests) {
      expect([body, bodySha256]).toEqual(["complete", patternSha256(200_000)]);
    }
  });
});
