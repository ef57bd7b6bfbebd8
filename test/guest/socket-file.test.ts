import { once } from "node:events";
import { lstatSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openSocketFile } from "../../src/guest/socket-file.ts";
import { eventually, startJoined, type Joined } from "../line/support/joined.ts";

/** The file of a unix socket: never open to others than it is meant for. */

const isRoot = process.getuid?.() === 0;
const AS_ROOT = isRoot ? "" : " (skipped: takes root)";
let directory = "";
let path = "";
let server: Server;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "postern-socket-"));
  path = join(directory, "guests.sock");
  server = createServer((socket) => socket.end("in"));
});

afterEach(() => {
  server.close();
  rmSync(directory, { recursive: true });
});

const modeOf = (): number => lstatSync(path).mode & 0o7777;
const plain = (mode: number) => ({ path, mode, owner: null });

describe("mode and owner", () => {
  test.each([0o600, 0o660, 0o666, 0o620])("mode %o", async (mode) => {
    const before = process.umask();
    openSocketFile(plain(mode), () => server.listen({ path }));
    await once(server, "listening");
    expect(modeOf()).toBe(mode);
    expect(process.umask()).toBe(before);
  });

  test("until they are set nobody else can connect", () => {
    let bound = -1;
    openSocketFile(plain(0o666), () => {
      server.listen({ path });
      bound = modeOf();
      return server;
    });
    expect(bound & 0o077).toBe(0);
    expect(modeOf()).toBe(0o666);
  });

  test("what cannot be set is an error with the next step", () => {
    const gone = (): Server => {
      server.listen({ path });
      unlinkSync(path);
      return server;
    };
    expect(() => openSocketFile(plain(0o600), gone)).toThrow(/mode 0600 cannot be set \(ENOENT\): start as root, or/);
    server.close();
    server = createServer();
    const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    expect(() => openSocketFile({ path, mode: 0o600, owner }, gone)).toThrow(
      /owner \d+:\d+ cannot be set \(ENOENT\): /,
    );
  });

  test("a file that was there before is left as it is", async () => {
    writeFileSync(path, "", { mode: 0o640 });
    const failed = once(server, "error");
    openSocketFile(plain(0o666), () => server.listen({ path }));
    await expect(failed).resolves.toMatchObject([{ code: "EADDRINUSE" }]);
    expect(modeOf()).toBe(0o640);
  });

  /** Whether a user can connect. */
  async function gets(uid: number): Promise<boolean> {
    const child = spawn("curl", ["-s", "--http0.9", "--unix-socket", path, "http://x/"], { uid, gid: uid, cwd: "/" });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await once(child, "close");
    return text === "in";
  }

  test.skipIf(!isRoot)(`the kernel lets in who is meant and nobody else${AS_ROOT}`, async () => {
    // Others may go into the folder: what keeps them out is the file.
    rmSync(directory, { recursive: true });
    directory = mkdtempSync(join("/tmp", "postern-socket-"));
    path = join(directory, "guests.sock");
    const { chmodSync } = await import("node:fs");
    chmodSync(directory, 0o755);
    openSocketFile({ path, mode: 0o600, owner: { uid: 4001, gid: 4002 } }, () => server.listen({ path }));
    await once(server, "listening");
    expect(lstatSync(path)).toMatchObject({ uid: 4001, gid: 4002 });
    expect(await gets(4001)).toBe(true);
    expect(await gets(4002)).toBe(false);
    expect(await gets(4003)).toBe(false);
  });
});

describe("a listener", () => {
  let joined: Joined | null = null;
  afterEach(async () => {
    await joined?.stop();
    joined = null;
  });

  test("takes its file with it", async () => {
    joined = await startJoined({ listener: { address: { path, mode: 0o640, owner: null } } });
    expect(modeOf()).toBe(0o640);
    await joined.drain();
    await eventually(() => !isThere(), "the end of the file");
  });

  test("that cannot have its file as it is meant does not listen, and leaves nothing behind", async () => {
    const owner = { uid: -2, gid: -2 };
    await expect(startJoined({ listener: { address: { path, mode: 0o600, owner } } })).rejects.toThrow(
      /owner .* cannot/,
    );
    expect(isThere()).toBe(false);
  });

  function isThere(): boolean {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  }
});
