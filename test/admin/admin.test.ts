import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Admin, type AdminOptions, startAdmin } from "../../src/admin/admin.ts";
import type { CheckResult } from "../../src/admin/checks.ts";

const TEXT = "text/plain; version=0.0.4; charset=utf-8";

async function start(options: Partial<AdminOptions> = {}): Promise<Admin> {
  return startAdmin({
    address: { kind: "tcp", host: "127.0.0.1", port: 0 },
    checks: [],
    metrics: { text: () => Promise.resolve("# HELP a b\n"), contentType: TEXT },
    onError: () => undefined,
    ...options,
  });
}

const scratch = mkdtempSync(join(tmpdir(), "postern-admin-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Raw bytes in, all bytes out: what no HTTP client would send. */
function raw(admin: Admin, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let out = "";
    const socket = net.connect(admin.port, "127.0.0.1", () => socket.write(bytes));
    socket.setEncoding("latin1").on("data", (text) => (out += String(text)));
    socket.on("close", () => resolve(out)).on("error", reject);
  });
}

describe("admin listener", () => {
  let admin: Admin;
  const checks = new Map<string, CheckResult>();
  beforeAll(async () => {
    admin = await start({
      checks: ["one", "two"].map((name) => ({
        name,
        check: () => checks.get(name) ?? { ok: true, detail: "fine" },
      })),
      hostNames: ["edge.internal"],
    });
  });
  afterAll(() => admin.close());

  test("metrics with their content type", async () => {
    const response = await fetch(`http://${admin.address}/metrics`);
    expect([response.status, response.headers.get("content-type"), await response.text()]).toEqual([
      200,
      TEXT,
      "# HELP a b\n",
    ]);
  });

  test.each(["/livez", "/healthz"])("%s", async (page) => {
    const response = await fetch(`http://${admin.address}${page}`);
    expect([response.status, await response.text()]).toEqual([200, "ok\n"]);
  });

  test("readiness: ready, degraded (still 200), unready (503)", async () => {
    const ask = async (): Promise<[number, unknown]> => {
      const response = await fetch(`http://${admin.address}/readyz`);
      return [response.status, await response.json()];
    };
    expect(await ask()).toEqual([
      200,
      {
        status: "ready",
        checks: [
          { name: "one", status: "ok", detail: "fine" },
          { name: "two", status: "ok", detail: "fine" },
        ],
      },
    ]);
    checks.set("one", { ok: true, degraded: true, detail: "slow" });
    expect(await ask()).toMatchObject([200, { status: "degraded", checks: [{ status: "degraded" }, {}] }]);
    checks.set("two", { ok: false, detail: "gone" });
    expect(await ask()).toMatchObject([503, { status: "unready", checks: [{}, { status: "failed", detail: "gone" }] }]);
    checks.clear();
  });

  test.each([
    ["GET", "/"],
    ["GET", "/metrics/"],
    ["GET", "/%"],
    ["GET", "/admin<script>"],
    ["DELETE", "/metrics"],
    ["OPTIONS", "/metrics"],
  ])("no other route: %s %s, and nothing of it comes back", async (method, path) => {
    const text = await raw(admin, `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 40[04] /);
    expect(text).toContain("\r\n\r\nNo such page.\n");
    expect(text).not.toContain("script");
  });

  test("no body", async () => {
    for (const method of ["POST", "PUT"]) {
      const response = await fetch(`http://${admin.address}/metrics`, { method, body: "x" });
      expect(response.status).toBe(413);
    }
    const chunked = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    expect(await raw(admin, chunked)).toMatch(/^HTTP\/1\.1 413 /);
  });

  test("no CONNECT, no proxying, no grammar of its own", async () => {
    const connect = "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n";
    expect(await raw(admin, connect)).toBe("");
    const absolute =
      "GET http://api.example.com/metrics HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n";
    expect(await raw(admin, absolute)).toMatch(/^HTTP\/1\.1 421 /);
    expect(await raw(admin, "\u0000\u0001\r\n\r\n")).toBe("");
  });

  test.each([
    ["evil.example", undefined, 421],
    ["evil.example:9464", undefined, 421],
    ["127.0.0.1.evil.example", undefined, 421],
    ["localhost.", undefined, 421],
    ["0x7f.1", undefined, 421],
    ["127.0.0.1:1", undefined, 200],
    ["[::1]", undefined, 200],
    ["localhost:1", undefined, 200],
    ["10.1.2.3", undefined, 200],
    ["Edge.internal:9464", undefined, 200],
    ["localhost", "http://evil.example", 421],
    ["localhost", "null", 421],
    ["localhost", "http://localhost:3000", 200],
  ])("Host %s, Origin %s: %i", async (host, origin, status) => {
    const fields = `Host: ${host}\r\n${origin === undefined ? "" : `Origin: ${origin}\r\n`}Connection: close\r\n`;
    const text = await raw(admin, `GET /livez HTTP/1.1\r\n${fields}\r\n`);
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(text).not.toContain("evil");
  });
});

describe("admin listener's own trouble", () => {
  test("a check that throws is a failed check", async () => {
    const errors: unknown[] = [];
    const admin = await start({
      checks: [
        {
          name: "broken",
          check: () => {
            throw new Error("internal detail");
          },
        },
      ],
      onError: (error) => errors.push(error),
    });
    onTestFinished(() => admin.close());
    const response = await fetch(`http://${admin.address}/readyz`);
    const text = await response.text();
    expect([response.status, errors.length]).toEqual([503, 1]);
    expect(text).not.toContain("internal detail");
  });

  test("metrics that fail are 500 with fixed text", async () => {
    const admin = await start({
      metrics: { text: () => Promise.reject(new Error("internal detail")), contentType: TEXT },
    });
    onTestFinished(() => admin.close());
    const response = await fetch(`http://${admin.address}/metrics`);
    expect([response.status, await response.text()]).toEqual([500, "The edge failed to answer.\n"]);
  });

  test("an address that is taken is told with a next step", async () => {
    const admin = await start();
    onTestFinished(() => admin.close());
    await expect(start({ address: { kind: "tcp", host: "127.0.0.1", port: admin.port } })).rejects.toThrow(
      `admin.address: 127.0.0.1:${admin.port} cannot be bound (EADDRINUSE): something else listens there`,
    );
  });

  test("a unix socket, also where a dead process left its own", async () => {
    const path = join(scratch, "admin.sock");
    const script = `require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script, path]);
    const admin = await start({ address: { kind: "unix", path } });
    onTestFinished(() => admin.close());
    expect([admin.address, admin.host, admin.port]).toEqual([`unix:${path}`, "", 0]);
    const { stdout } = await promisify(execFile)("curl", ["-sm5", "--unix-socket", path, "http://localhost/livez"]);
    expect(stdout).toBe("ok\n");
    await expect(start({ address: { kind: "unix", path } })).rejects.toThrow(/EADDRINUSE/);
  });
});
