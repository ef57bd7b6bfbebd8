import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { openGuest } from "../hostile/raw-guest.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { root } from "./support/postern-process.ts";
import { type RawUpstream, startRawUpstream } from "./support/raw-upstream.ts";
import { bareEnv, run, type RunResult } from "./support/run.ts";

/** SIGTERM: what runs may end, nothing new begins, and the record is closed with its chain whole. */

const patience = { timeout: 30_000, interval: 10 };
let upstream: RawUpstream;
let edge: Edge;
let arrived: Socket[] = [];

beforeAll(async () => {
  upstream = await startRawUpstream((socket) => void arrived.push(socket));
});

afterAll(() => upstream?.close());

beforeEach(() => {
  arrived = [];
});

afterEach(() => edge?.stop());

async function start(drainMs: number): Promise<void> {
  edge = await startEdge({
    hosts: { "api.test": ["127.0.0.1"] },
    destinations: [destinationFor(upstream, "api.test")],
    config: { timeouts: { drain_ms: drainMs } },
  });
  await vi.waitFor(() => expect(edge.process.output()).toContain('"msg":"ready"'), patience);
}

/** A download that has begun: the upstream has sent half of it. */
async function halfADownload(): Promise<{ upstream: Socket; result: Promise<RunResult> }> {
  const url = `http://api.test:${upstream.port}/`;
  const result = run("curl", ["-sS", "-N", url], { env: edge.guestEnv() });
  await expect.poll(() => arrived.length, patience).toBe(1);
  const socket = arrived[0] as Socket;
  socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
  return { upstream: socket, result };
}

/** Whether the edge accepts connections. */
function accepts(): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(edge.proxyPort, "127.0.0.1", () => {
      socket.destroy();
      done(true);
    });
    socket.on("error", () => done(false));
  });
}

function verify(...more: string[]): Promise<RunResult> {
  const file = join(edge.directory, "audit.jsonl");
  return run(process.execPath, [join(root, "src/main.ts"), "audit", "verify", file, ...more], { env: bareEnv() });
}

describe("a drain", () => {
  test("lets a download end, accepts nothing new, and exits with 0", async () => {
    await start(30_000);
    const download = await halfADownload();
    const idle = await openGuest(edge.proxyPort);
    edge.process.signal("SIGTERM");
    // An idle connection is closed at once.
    await idle.ended();
    await expect.poll(accepts, patience).toBe(false);
    expect(edge.process.exit).toBeNull();
    download.upstream.write("-last");
    expect(await download.result).toMatchObject({ code: 0, stdout: "first-last", stderr: "" });
    expect(await edge.process.exited()).toBe(0);
    expect(await verify("--expect-closed")).toMatchObject({ code: 0, stderr: "" });
    const types = (await edge.audit()).map(({ type }) => type);
    expect(types).toContain("edge_stopping");
  });

  test("cuts what has not ended in time, and exits with 0", async () => {
    await start(300);
    const download = await halfADownload();
    edge.process.signal("SIGTERM");
    expect((await download.result).code).toBeGreaterThan(0);
    expect(await edge.process.exited()).toBe(0);
    expect(await verify("--expect-closed")).toMatchObject({ code: 0 });
  });

  test("answers a request that came on an open connection, and closes it", async () => {
    await start(30_000);
    const guest = await openGuest(edge.proxyPort);
    const authority = `api.test:${upstream.port}`;
    guest.send(`GET http://${authority}/ HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    await expect.poll(() => arrived.length, patience).toBe(1);
    edge.process.signal("SIGTERM");
    await expect.poll(accepts, patience).toBe(false);
    arrived[0]?.write("HTTP/1.1 204 No Content\r\n\r\n");
    expect(await guest.ended()).toBe("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    expect(await edge.process.exited()).toBe(0);
  });

  test("is ended at once by whoever insists", async () => {
    await start(30_000);
    const download = await halfADownload();
    edge.process.signal("SIGINT");
    await expect.poll(accepts, patience).toBe(false);
    // The first repetitions may be npm's echo of one Ctrl-C.
    const insist = setInterval(() => edge.process.signal("SIGINT"), 100);
    expect(await edge.process.exited()).toBe(130);
    clearInterval(insist);
    expect((await download.result).code).toBeGreaterThan(0);
  });
});

test("an edge that is killed leaves a record whose chain holds; the next one goes on with it", async () => {
  await start(1000);
  const download = await halfADownload();
  edge.process.signal("SIGKILL");
  await download.result;
  await edge.process.exited();
  expect(await verify()).toMatchObject({ code: 0 });
  const args = [join(root, "src/main.ts"), "serve", "--config", edge.configFile];
  const again = spawn(process.execPath, args, { env: bareEnv(), stdio: "pipe" });
  let output = "";
  again.stdout.on("data", (chunk) => (output += String(chunk)));
  await expect.poll(() => output, patience).toContain('"msg":"ready"');
  again.kill("SIGTERM");
  expect(await once(again, "close")).toEqual([0, null]);
  expect(await verify("--expect-closed")).toMatchObject({ code: 0 });
});
