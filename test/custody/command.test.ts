import { access, chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, type NetConnectOpts } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type IssueEvent, LeaseRefusal } from "../../src/core/custody.ts";
import { RemoteCustody } from "../../src/custody/remote.ts";
import { secretOf } from "./support/secret-of.ts";
import { type PosternProcess, root, startPostern } from "../house/support/postern-process.ts";
import { run } from "../house/support/run.ts";
import { makeCustodyTls } from "./support/custody-tls.ts";
import { denialOf } from "./support/denials.ts";
import { requestOf } from "./support/permits.ts";

/** `postern custody` as a real process. */

const ROOT = "root-of-the-command-41cc";
const calm = () => new AbortController().signal;

let directory = "";
let process: PosternProcess | null = null;
const closers: (() => Promise<void>)[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-custody-command-"));
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  await process?.stop();
  process = null;
  await rm(directory, { recursive: true, force: true });
});

async function config(listen: Record<string, unknown>, more: Record<string, unknown> = {}): Promise<string> {
  const path = join(directory, "custody.yaml");
  const credentials = [{ name: "key", kind: "token", source: { env: "ROOT" }, hosts: ["api.example.com:443"] }];
  const audit = { file: join(directory, "audit.jsonl"), mode: "strict", fsync: "always" };
  await writeFile(path, JSON.stringify({ listen, credentials, audit, log: { level: "debug" }, ...more }));
  return path;
}

async function start(path: string, target: NetConnectOpts): Promise<PosternProcess> {
  process = await startPostern(["custody", "--config", path], { env: { ROOT }, ready: () => accepts(target) });
  return process;
}

/** The same where the system chooses the port. */
async function startOnPort(path: string): Promise<{ readonly port: number }> {
  const running = await startPostern(["custody", "--config", path], { env: { ROOT }, ready: async () => true });
  process = running;
  await expect.poll(() => running.output()).toContain('"msg":"ready"');
  return { port: Number(/"address":"127\.0\.0\.1:(\d+)"/.exec(running.output())?.[1]) };
}

async function accepts(target: NetConnectOpts): Promise<boolean> {
  const socket = connect(target);
  return new Promise((done) => {
    socket.on("connect", () => {
      socket.destroy();
      done(true);
    });
    socket.on("error", () => done(false));
  });
}

function edge(options: ConstructorParameters<typeof RemoteCustody>[0]): RemoteCustody {
  const custody = new RemoteCustody(options);
  closers.push(() => custody.close());
  return custody;
}

async function records(): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(directory, "audit.jsonl"), "utf8");
  // Read in the middle of a write, its end is a part of a line.
  return text
    .slice(0, text.lastIndexOf("\n"))
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("on a unix socket", () => {
  test("is another catalogue to its edges after each start: nobody saw what changed meanwhile", async () => {
    const path = join(directory, "c.sock");
    const file = await config({ address: `unix:${path}` });
    const versions = new Set<string | null>();
    for (let starts = 0; starts < 2; starts++) {
      const running = await start(file, { path });
      const custody = edge({ address: { kind: "unix", path }, tls: null, timeoutMs: 20_000 });
      for (let asked = 0; asked < 2; asked++) versions.add((await custody.health(calm())).catalogue);
      await running.stop();
    }
    expect(versions.size).toBe(2);
  });

  test("is ready, leases, refuses, records, drains, and tells no secret", async () => {
    const path = join(directory, "c.sock");
    const running = await start(await config({ address: `unix:${path}` }), { path });
    const custody = edge({ address: { kind: "unix", path }, tls: null, timeoutMs: 20_000 });
    await custody.health(calm());
    const grant = await custody.lease(requestOf(), calm());
    expect(secretOf(grant.material).reveal()).toBe(ROOT);
    expect(await denialOf(() => custody.lease(requestOf({ port: 1 }), calm()))).toMatchObject({
      reason: "scope_not_allowed",
    });
    // The record is on disk by the time of the answer.
    const written = await records();
    const issued = written.find(({ type }) => type === ("lease_issued" satisfies IssueEvent["type"]));
    expect(issued).toMatchObject({ caller: "unix", tenant: "acme", credential: "key", lease: grant.leaseId });
    expect(written.at(-1)).toMatchObject({ type: "lease_refused", reason: "scope_not_allowed" });
    await custody.close();
    running.signal("SIGTERM");
    expect(await running.exited(20_000)).toBe(0);
    await expect(access(path)).rejects.toThrow();
    expect((await records()).slice(-2).map(({ type }) => type)).toEqual(["custody_stopping", "shutdown"]);
    const output = running.output();
    expect(output).toContain('"msg":"ready"');
    expect(output).toContain('"msg":"stopped"');
    for (const text of [output, JSON.stringify(await records())]) {
      expect(text).not.toContain(ROOT);
      expect(text).not.toContain('"s1"');
    }
  });

  test("SIGINT ends it as well, and a killed one leaves a socket that the next start takes over", async () => {
    const path = join(directory, "c.sock");
    const file = await config({ address: `unix:${path}` });
    const first = await start(file, { path });
    first.signal("SIGKILL");
    await first.exited(20_000);
    await access(path);
    const second = await start(file, { path });
    second.signal("SIGINT");
    expect(await second.exited(20_000)).toBe(0);
  });
});

describe("over mutual TLS", () => {
  test("leases to a known edge and refuses another", async () => {
    const tls = await makeCustodyTls();
    closers.push(() => tls.remove());
    const listen = {
      address: "127.0.0.1:0",
      tls: { certificate: tls.server.certificateFile, key: tls.server.keyFile, client_ca: tls.ca.certificateFile },
    };
    await chmod(tls.server.keyFile, 0o600);
    const clients = [{ name: "edge-1.internal", tenants: ["acme"] }];
    const { port } = await startOnPort(await config(listen, { clients }));
    const address = { kind: "tcp", host: "127.0.0.1", port } as const;
    const known = edge({ address, tls: tls.client, timeoutMs: 20_000 });
    expect((await known.lease(requestOf(), calm())).credential).toBe("key");
    const { certificate, key } = tls.unknownEdge;
    const stranger = edge({ address, tls: { ...tls.client, certificate, key }, timeoutMs: 20_000 });
    expect(await denialOf(() => stranger.lease(requestOf(), calm()))).toMatchObject({ reason: "caller_not_allowed" });
  });

  test("a key that everybody can read stops the start", async () => {
    const tls = await makeCustodyTls();
    closers.push(() => tls.remove());
    await chmod(tls.server.keyFile, 0o644);
    const listen = {
      address: "127.0.0.1:0",
      tls: { certificate: tls.server.certificateFile, key: tls.server.keyFile, client_ca: tls.ca.certificateFile },
    };
    const path = await config(listen, { clients: [{ name: "edge-1.internal" }] });
    const result = await postern("custody", "--config", path);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain("chmod 0600");
  });
});

describe("reads its config anew", () => {
  const key = { name: "key", kind: "token", source: { env: "ROOT" }, hosts: ["api.example.com:443"] };
  const other = { ...key, name: "other" };
  const health = async (custody: RemoteCustody) => (await custody.health(calm())).problem;

  test("when its file changes, and on SIGHUP: whole, or not at all", async () => {
    const path = join(directory, "c.sock");
    const listen = { address: `unix:${path}` };
    const file = await config(listen);
    const running = await start(file, { path });
    const custody = edge({ address: { kind: "unix", path }, tls: null, timeoutMs: 20_000 });
    const ask = async (credential: string): Promise<string> => {
      const answer = await custody.lease(requestOf({ credential }), calm()).catch((thrown: unknown) => thrown);
      return answer instanceof LeaseRefusal ? answer.reason : "granted";
    };
    // From here on it watches its file.
    await expect.poll(() => running.output()).toContain('"msg":"ready"');
    const version = (await custody.health(calm())).catalogue;
    expect([await ask("key"), await ask("other")]).toEqual(["granted", "credential_unknown"]);

    await config(listen, { credentials: [other] });
    await expect.poll(() => ask("other")).toBe("granted");
    expect(await ask("key")).toBe("credential_unknown");
    expect((await custody.health(calm())).catalogue).not.toBe(version);

    await config(listen, { credentials: [key, { ...other, hosts: [] }] });
    await expect.poll(() => health(custody)).toMatch(/rejected: .*credentials\[1\]\.hosts/);
    expect([await ask("key"), await ask("other")]).toEqual(["credential_unknown", "granted"]);
    await expect.poll(() => running.output()).toContain("the old catalogue stays in force");

    // Put back to what is in force: nothing is wrong any more.
    await config(listen, { credentials: [other] });
    await expect.poll(() => health(custody)).toBeNull();

    await config(listen, { credentials: [key], log: { level: "info" } });
    running.signal("SIGHUP");
    await expect.poll(() => ask("key")).toBe("granted");
    await expect.poll(() => running.output()).toContain('"why":"SIGHUP"');
    running.signal("SIGHUP");
    await expect.poll(() => running.output()).toContain("the catalogue is in force already");
    await expect.poll(() => running.output()).toContain('"sections":["log"]');
    const types = (await records()).map(({ type }) => type);
    expect(types.filter((type) => type === "catalogue_loaded").length).toBeGreaterThanOrEqual(3);
    expect(types).toContain("catalogue_rejected");
  });

  test("takes over certificates that were renewed in place", async () => {
    const tls = await makeCustodyTls();
    closers.push(() => tls.remove());
    const files = { certificate: "s.crt", key: "s.key", client_ca: "clients.crt" };
    const put = async (certificate: string, keyPem: string, clientCa: string): Promise<void> => {
      await writeFile(join(directory, files.certificate), certificate);
      await writeFile(join(directory, files.key), keyPem, { mode: 0o600 });
      await writeFile(join(directory, files.client_ca), clientCa);
    };
    await put(tls.server.certificate, tls.server.key, tls.ca.certificate);
    const path = await config({ address: "127.0.0.1:0", tls: files }, { clients: [{ name: "edge-1.internal" }] });
    const { port } = await startOnPort(path);
    const address = { kind: "tcp", host: "127.0.0.1", port } as const;
    const before = edge({ address, tls: tls.client, timeoutMs: 20_000 });
    expect(await health(before)).toBeNull();

    await put(tls.forgedServer.certificate, tls.server.key, tls.otherCa.certificate);
    await expect.poll(() => health(before)).toContain("rejected");

    await put(tls.forgedServer.certificate, tls.forgedServer.key, tls.otherCa.certificate);
    const { certificate, key: keyPem } = tls.forgedEdge;
    const renewed = { ...tls.client, ca: tls.otherCa.certificate, certificate, key: keyPem };
    await expect
      .poll(() => health(edge({ address, tls: renewed, timeoutMs: 20_000 })).catch(() => "refused"))
      .toBeNull();
    expect(await denialOf(() => before.health(calm()))).toMatchObject({ code: "custody_unavailable" });
  });
});

describe("bad starts end with code 2 or 1 and a next step", () => {
  test("no config named", async () => {
    expect((await postern("custody")).code).toBe(2);
  });

  test("a config with faults, all told at once", async () => {
    const path = await config({ address: "127.0.0.1:0" }, { surprise: 1 });
    const result = await postern("custody", "--config", path);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain("surprise");
  });

  test("an address in use", async () => {
    const path = join(directory, "c.sock");
    await start(await config({ address: `unix:${path}` }), { path });
    const second = await config({ address: `unix:${path}` }, { audit: { file: join(directory, "second.jsonl") } });
    const result = await postern("custody", "--config", second);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("in use");
  });

  test("an audit that cannot be written: nothing listens", async () => {
    const path = join(directory, "c.sock");
    await writeFile(join(directory, "plain"), "");
    const file = join(directory, "plain", "audit.jsonl");
    const result = await postern("custody", "--config", await config({ address: `unix:${path}` }, { audit: { file } }));
    expect(result.code).toBe(1);
    await expect(access(path)).rejects.toThrow();
  });
});

function postern(...words: string[]): ReturnType<typeof run> {
  return run(globalThis.process.execPath, [join(root, "src/main.ts"), ...words], { timeoutMs: 30_000 });
}
