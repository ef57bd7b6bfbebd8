import { readFile, rm, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { denialIn, openGuest } from "../hostile/raw-guest.ts";
import { type ConfigPart, destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** A running edge is given another policy: whole or not at all, for open connections as well as for new ones. */

const patience = { timeout: 20_000, interval: 20 };
let upstream: Upstream;
let edge: Edge;
const named = (...names: string[]): ConfigPart[] => names.map((name) => destinationFor(upstream, name));

beforeAll(async () => {
  upstream = await startUpstream();
  edge = await startEdge({
    hosts: Object.fromEntries(["a.test", "b.test", "c.test", "d.test"].map((name) => [name, ["127.0.0.1"]])),
    destinations: named("a.test"),
  });
  // From here on it listens to signals and watches its file.
  await vi.waitFor(() => expect(edge.process.output()).toContain('"msg":"ready"'), patience);
});

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
});

beforeEach(() => upstream.reset());

/** The denial of a request to `name`, or `null` when it was answered. */
async function ask(name: string): Promise<string | null> {
  const guest = await openGuest(edge.proxyPort);
  guest.send(
    `GET http://${name}:${upstream.port}/ HTTP/1.1\r\nHost: ${name}:${upstream.port}\r\nConnection: close\r\n\r\n`,
  );
  const text = await guest.ended();
  guest.destroy();
  return denialIn(text);
}

interface Readiness {
  readonly status: number;
  readonly body: string;
}

function readyz(): Promise<Readiness> {
  return new Promise((done, fail) => {
    get(`${edge.adminUrl}/readyz`, { agent: false }, (response) => {
      let body = "";
      response.on("data", (chunk) => (body += String(chunk)));
      response.on("end", () => done({ status: response.statusCode ?? 0, body }));
    }).on("error", fail);
  });
}

describe("a new config", () => {
  test("is in force once its file was written", async () => {
    expect([await ask("a.test"), await ask("b.test")]).toEqual([null, "destination_not_allowed"]);
    await edge.rewrite({ destinations: named("b.test") });
    await expect.poll(() => ask("b.test"), patience).toBeNull();
    expect(await ask("a.test")).toBe("destination_not_allowed");
  });

  test("is in force on connections that were open before", async () => {
    const guest = await openGuest(edge.proxyPort);
    const request = (): void =>
      guest.send(`GET http://b.test:${upstream.port}/ HTTP/1.1\r\nHost: b.test:${upstream.port}\r\n\r\n`);
    request();
    await guest.until(/seen"\}\n$/);
    await edge.rewrite({ destinations: named("c.test") });
    await expect.poll(() => ask("c.test"), patience).toBeNull();
    request();
    expect(denialIn(await guest.until(/x-deny-reason[^]*\}\n$/))).toBe("destination_not_allowed");
    guest.destroy();
  });

  test("is read on SIGHUP", async () => {
    edge.process.signal("SIGHUP");
    await expect.poll(() => edge.process.output(), patience).toContain('"why":"SIGHUP"');
    // Nothing changed: it says so, and what a reload would not have taken over.
    await expect.poll(() => edge.process.output(), patience).toContain("in force already; renewed files of ca");
    expect(await ask("c.test")).toBeNull();
  });
});

describe("a bad config", () => {
  test("changes nothing, and is told in log, readiness and metrics", async () => {
    const before = await readyz();
    expect(before.body).not.toContain("rejected");
    await edge.rewrite({ destinations: [...named("d.test"), { name: "bad", host: "*" }] });
    await expect.poll(async () => (await readyz()).body, patience).toContain("was rejected");
    // The old policy serves: this is no reason to take the edge out of service.
    expect((await readyz()).status).toBe(200);
    expect([await ask("c.test"), await ask("d.test")]).toEqual([null, "destination_not_allowed"]);
    await expect.poll(() => edge.process.output().match(/old policy stays in force/g), patience).toHaveLength(1);
    expect(await edge.metrics()).toMatch(/^postern_policy_reloads_total\{result="rejected"\} 1$/m);
    expect(await edge.metrics()).toMatch(/^postern_policy_reload_failed 1$/m);
  });

  test("is forgotten once the file says again what is in force", async () => {
    await edge.rewrite({ destinations: named("c.test") });
    await expect.poll(async () => (await readyz()).body, patience).not.toContain("was rejected");
    expect(await edge.metrics()).toMatch(/^postern_policy_reload_failed 0$/m);
    expect(await ask("c.test")).toBeNull();
  });

  test.each([
    ["no YAML", () => writeFile(edge.configFile, "destinations: [")],
    ["nothing", () => rm(edge.configFile)],
  ])("so does a file that is %s", async (_name, spoil) => {
    const rejections = async (): Promise<number> =>
      Number(/^postern_policy_reloads_total\{result="rejected"\} (\d+)$/m.exec(await edge.metrics())?.[1]);
    const before = await rejections();
    await spoil();
    await expect.poll(rejections, patience).toBeGreaterThan(before);
    expect(await ask("c.test")).toBeNull();
  });

  test("is forgotten once a good one follows", async () => {
    await edge.rewrite({ destinations: named("d.test") });
    await expect.poll(() => ask("d.test"), patience).toBeNull();
    expect((await readyz()).body).not.toContain("was rejected");
    expect(await edge.metrics()).toMatch(/^postern_policy_reload_failed 0$/m);
    expect(await ask("c.test")).toBe("destination_not_allowed");
  });
});

test("a bad config is forgotten, too, once what stood there before is written again", async () => {
  const good = await readFile(edge.configFile, "utf8");
  await writeFile(edge.configFile, "destinations: [");
  await expect.poll(async () => (await readyz()).body, patience).toContain("was rejected");
  await writeFile(edge.configFile, good);
  await expect.poll(async () => (await readyz()).body, patience).not.toContain("was rejected");
  expect(await ask("d.test")).toBeNull();
});

test("every policy that was taken over or turned away is in the record", async () => {
  const count = async (type: string): Promise<number> =>
    (await edge.audit()).filter((record) => record["type"] === type).length;
  await expect.poll(() => count("policy_loaded")).toBeGreaterThanOrEqual(4);
  await expect.poll(() => count("policy_rejected")).toBeGreaterThan(0);
});
