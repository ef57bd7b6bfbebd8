import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { makeCa, type TestCa } from "./support/certificates.ts";
import { freePorts, root, startPostern } from "./support/postern-process.ts";
import { isPresent, run, type RunResult } from "./support/run.ts";

/** A start that cannot succeed says why and ends: a half-started edge would serve, and nobody would start it again. */

let directory = "";
let ca: TestCa;
let taken: Server;
let takenPort = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-failed-start-"));
  ca = await makeCa(join(directory, "ca"), "Failed start CA");
  taken = createServer();
  await new Promise<void>((done) => taken.listen(0, "127.0.0.1", done));
  takenPort = (taken.address() as AddressInfo).port;
});

afterAll(async () => {
  await new Promise((done) => taken.close(done));
  await rm(directory, { recursive: true, force: true });
});

interface Addresses {
  readonly guests: string;
  readonly admin: string;
}

async function config(
  { guests, admin }: Addresses,
  name: string,
  key = ca.keyFile,
  listener: object = {},
): Promise<string> {
  const file = join(directory, `${name}.yaml`);
  const text = JSON.stringify({
    listeners: [{ name: "guests", address: guests, session: { mode: "open" }, ...listener }],
    admin: { address: admin },
    ca: { certificate: ca.certificateFile, key },
    audit: { file: join(directory, `${name}.jsonl`) },
    destinations: [],
  });
  await writeFile(file, text);
  return file;
}

const serve = (file: string): Promise<RunResult> =>
  run(process.execPath, [join(root, "src/main.ts"), "serve", "--config", file], { timeoutMs: 30_000 });

describe("an address that is taken", () => {
  test.each(["guests", "admin"] as const)("of %s: it ends with 1, a next step and a closed audit", async (which) => {
    const [guests, admin] = await freePorts(2);
    const addresses = { guests: `127.0.0.1:${guests}`, admin: `127.0.0.1:${admin}`, [which]: `127.0.0.1:${takenPort}` };
    const result = await serve(await config(addresses, which));
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(
      `127.0.0.1:${takenPort} cannot be bound (EADDRINUSE): something else listens there`,
    );
    const records = (await readFile(join(directory, `${which}.jsonl`), "utf8")).trimEnd().split("\n");
    expect(JSON.parse(records.at(-1) ?? "")).toMatchObject({ type: "shutdown" });
  });
});

test("a CA that is not there is a fault of the config: it ends with 2", async () => {
  const addresses = { guests: "127.0.0.1:0", admin: "127.0.0.1:0" };
  const result = await serve(await config(addresses, "ca", join(directory, "nowhere.key")));
  expect(result.code).toBe(2);
  expect(result.stderr).toContain("postern ca init");
  expect(result.stderr).not.toContain("--debug");
});

describe("a listener that cannot be as it is meant", () => {
  const start = async (name: string, listener: object, guests = "127.0.0.1:0"): Promise<RunResult> =>
    serve(await config({ guests, admin: "127.0.0.1:0" }, name, ca.keyFile, listener));

  test("a key that is not its certificate's", async () => {
    const [one, other] = [await ca.issue(["a.test"]), await ca.issue(["b.test"])];
    const result = await start("mismatch", { tls: { certificate: one.certificateFile, key: other.keyFile } });
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(`check that ${other.keyFile} is the key of ${one.certificateFile}, both PEM`);
  });

  test("a key that others may read", async () => {
    const { certificateFile: certificate, keyFile: key } = await ca.issue(["a.test"]);
    await chmod(key, 0o644);
    const result = await start("exposed", { tls: { certificate, key } });
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(`${key}: the key is open to everybody (mode 0644): chmod 0600 it`);
  });

  test("a client CA that is not there", async () => {
    const { certificateFile: certificate, keyFile: key } = await ca.issue(["a.test"]);
    const client_ca = join(directory, "nowhere.crt");
    const result = await start("no-ca", { tls: { certificate, key, client_ca, client_certificates: "required" } });
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(`${client_ca}: cannot be read (ENOENT)`);
  });

  test("a client CA without a certificate", async () => {
    const { certificateFile: certificate, keyFile: key } = await ca.issue(["a.test"]);
    const result = await start("no-root", {
      tls: { certificate, key, client_ca: key, client_certificates: "optional" },
    });
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/leaf-\d+\.key: holds no certificate \(.*\): name a PEM file of roots/);
  });

  // Root may give a file to anybody, and is what tests in a container mostly are: this one sheds the right to.
  const canDrop = isPresent("setpriv", ["--version"]) && process.getuid?.() === 0;
  test.skipIf(!canDrop)(
    `an owner that cannot be given${canDrop ? "" : " (skipped: takes root and setpriv)"}`,
    async () => {
      const file = join(directory, "owner.sock");
      const listener = { socket: { mode: "0600", owner: "4001:4002" } };
      const path = await config({ guests: `unix:${file}`, admin: "127.0.0.1:0" }, "owner", ca.keyFile, listener);
      const postern = [process.execPath, join(root, "src/main.ts"), "serve", "--config", path];
      const result = await run("setpriv", ["--bounding-set", "-chown", "--", ...postern]);
      expect(result.code).toBe(1);
      expect(result.stderr).toContain(
        "listener guests: the socket's owner 4001:4002 cannot be set (EPERM): start as root, or write a group that",
      );
      await expect(access(file)).rejects.toThrow("ENOENT");
    },
  );
});

test("a socket that a killed edge left behind is no hindrance", async () => {
  const socket = join(directory, "guests.sock");
  const file = await config({ guests: `unix:${socket}`, admin: `unix:${join(directory, "admin.sock")}` }, "killed");
  const start = async (runs: number) => {
    const isReady = async (): Promise<boolean> => {
      const text = await readFile(join(directory, "killed.jsonl"), "utf8").catch(() => "");
      return text.split('"type":"edge_started"').length > runs;
    };
    return startPostern(["serve", "--config", file], { ready: isReady });
  };
  const first = await start(1);
  first.signal("SIGKILL");
  await first.exited();
  const second = await start(2);
  const third = await serve(await config({ guests: `unix:${socket}`, admin: "127.0.0.1:0" }, "alive"));
  expect(third.code).toBe(1);
  expect(third.stderr).toContain("in use");
  await second.stop();
  expect(second.exit?.code).toBe(0);
});

/** Starts an edge and gives it a signal in the midst of it. */
async function signalled(name: string, signal: NodeJS.Signals) {
  const [guests, admin] = await freePorts(2);
  const file = await config({ guests: `127.0.0.1:${guests}`, admin: `127.0.0.1:${admin}` }, name);
  const child = spawn(process.execPath, [join(root, "src/main.ts"), "serve", "--config", file], { stdio: "pipe" });
  const seen = { output: "" };
  child.stdout.on("data", (chunk) => (seen.output += String(chunk)));
  const ended = once(child, "close");
  // The audit is opened at the beginning of the start, and the ports at its end.
  await vi.waitFor(() => access(join(directory, `${name}.jsonl`)), { timeout: 30_000, interval: 1 });
  child.kill(signal);
  return { child, seen, ended };
}

test("a SIGHUP that comes while it is starting does not end it, and is a reload once it has started", async () => {
  const { child, seen, ended } = await signalled("hup", "SIGHUP");
  await vi.waitFor(() => expect(seen.output).toContain('"why":"SIGHUP"'), { timeout: 30_000, interval: 20 });
  expect(seen.output.indexOf('"msg":"ready"')).toBeLessThan(seen.output.indexOf('"why":"SIGHUP"'));
  child.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
});

test("a SIGTERM that comes while it is starting ends it in order", async () => {
  const { ended } = await signalled("term", "SIGTERM");
  expect(await ended).toEqual([0, null]);
  const records = (await readFile(join(directory, "term.jsonl"), "utf8")).trimEnd().split("\n");
  expect(JSON.parse(records.at(-1) ?? "")).toMatchObject({ type: "shutdown" });
});
