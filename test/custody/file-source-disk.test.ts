import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { FileSource } from "../../src/custody/sources/file.ts";
import { gate } from "./support/fake-custody.ts";

/** A disk that hangs: only the opening of a file is held up, all else is the real file system. */

const disk = vi.hoisted(() => ({ hold: async (): Promise<void> => undefined, opens: 0 }));
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof fs>();
  const open: typeof real.open = async (...args) => {
    disk.opens++;
    await disk.hold();
    return real.open(...args);
  };
  return { ...real, open };
});

let directory = "";
beforeAll(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), "postern-disk-"));
});
afterAll(() => fs.rm(directory, { recursive: true, force: true }));

test("one read at a time, however many wait; who came later reads what was there when they came", async () => {
  const path = join(directory, "root");
  await fs.writeFile(path, "first", { mode: 0o600 });
  const source = new FileSource(path, { uid: process.getuid?.() ?? null, warn: () => undefined });
  const door = gate();
  disk.hold = () => door.opened;
  const before = disk.opens;
  const one = source.read(false);
  const others = Array.from({ length: 50 }, () => source.read(false));
  await new Promise((done) => setImmediate(done));
  expect(disk.opens - before).toBe(1);
  disk.hold = async () => {
    await fs.rm(path);
    await fs.writeFile(path, "second", { mode: 0o600 });
    disk.hold = async () => undefined;
  };
  door.open();
  await one;
  const readings = await Promise.all(others);
  expect(disk.opens - before).toBe(2);
  for (const { secret } of readings) {
    expect(secret.reveal()).toBe("second");
    secret.zero();
  }
});

test("a read that failed is nobody else's failure", async () => {
  const path = join(directory, "late");
  const source = new FileSource(path, { uid: process.getuid?.() ?? null, warn: () => undefined });
  const door = gate();
  disk.hold = () => door.opened;
  const failing = source.read(false);
  const waiting = source.read(false);
  const failed = expect(failing).rejects.toThrow("ENOENT");
  disk.hold = () => fs.writeFile(path, "there now", { mode: 0o600 });
  door.open();
  await failed;
  expect((await waiting).secret.reveal()).toBe("there now");
});
