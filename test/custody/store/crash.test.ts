import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Secret } from "../../../src/core/secret.ts";
import { realDisk, type StoreDisk } from "../../../src/custody/store/disk.ts";
import type { SecretStore } from "../../../src/custody/store/secret-store.ts";
import { errorOf, failingDisk, KEY, put, storePlace, type StorePlace, textOf } from "./storing.ts";

/** Whatever happens in the middle of a write, the store opens, with all of the old or all of the new. */

let place: StorePlace;
beforeEach(async () => {
  place = await storePlace();
});
afterEach(() => place.remove());

/** What a store holds, values included. */
async function contentOf(store: SecretStore): Promise<Record<string, string>> {
  const content: Record<string, string> = {};
  for (const { name, version } of await store.list()) {
    const before = await store.readPrevious(name);
    content[name] = `${version} ${await textOf(store, name)} ${before?.secret.reveal() ?? "-"}`;
  }
  return content;
}

const WRITES: [string, (store: SecretStore) => Promise<unknown>][] = [
  ["create", (store) => store.create("new", Secret.of("n"))],
  ["rotate", (store) => store.rotate("a", Secret.of("three"), { keepPrevious: true })],
  ["put", (store) => store.put("b", Secret.of("other"))],
  ["revert", (store) => store.revert("a")],
  ["remove", (store) => store.remove("a")],
];

async function begun(): Promise<void> {
  const store = place.open();
  await put(store, "a", "one");
  await store.rotate("a", Secret.of("two"), { keepPrevious: true });
  await put(store, "b", "b");
  // Left behind by somebody who was killed.
  await writeFile(join(place.directory, ".secrets.store.0123456789abcdef.tmp"), "half");
}

describe.each(WRITES)("%s", (_name, write) => {
  test.each([
    ["fails", { dies: false, half: false }],
    ["fails half way", { dies: false, half: true }],
    ["is the last one of the process", { dies: true, half: false }],
    ["is the last one of the process, half done", { dies: true, half: true }],
  ])("each step of the disk in turn %s", async (_how, kind) => {
    await begun();
    const bytes = await readFile(place.file);
    const before = await contentOf(place.open());
    await write(place.open());
    const after = await contentOf(place.open());
    expect(after).not.toEqual(before);
    let done = false;
    let failures = 0;
    for (let at = 1; !done; at++) {
      await writeFile(place.file, bytes);
      const { disk, steps } = failingDisk(realDisk, { at, ...kind });
      const error = await errorOf(() => write(place.open({ disk })));
      done = steps() < at;
      if (error !== null) failures++;
      const found = await contentOf(place.open());
      expect([before, after]).toContainEqual(found);
      // What was said to be done is done.
      if (error === null) expect(found).toEqual(after);
      // It goes on from there, and leaves nothing about.
      await put(place.open(), "later", "l");
      expect((await contentOf(place.open()))["later"]).toBe("1 l -");
      expect((await readdir(place.directory)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    }
    expect(failures).toBeGreaterThan(6);
  });
});

test("a write goes to the disk before its name does, and the name before it is told", async () => {
  const order: string[] = [];
  const noted = new Proxy(realDisk, {
    get: (disk, step: keyof StoreDisk) => (first: never, second: never, third: never) => {
      order.push(step);
      return (disk[step] as (...words: never[]) => Promise<unknown>)(first, second, third);
    },
  });
  await put(place.open({ disk: noted }), "a", "one");
  order.push("told");
  expect(order).toEqual(["list", "create", "write", "sync", "close", "rename", "syncDirectory", "told"]);
});

describe("processes", () => {
  const writer = join(import.meta.dirname, "store-writer.ts");
  const start = (name: string, times?: number) =>
    spawn(process.execPath, [writer, place.file, KEY, name, ...(times === undefined ? [] : [String(times)])], {
      stdio: ["ignore", "pipe", "inherit"],
    });

  test(
    "one that is killed while it writes, again and again, loses nothing that it told",
    { timeout: 120_000 },
    async () => {
      let told = 0;
      for (let round = 0; round < 16; round++) {
        const child = start("a");
        const closed = once(child, "close");
        const lines = createInterface({ input: child.stdout });
        let seen = 0;
        lines.on("line", (line) => {
          told = Number(line);
          // Somewhere in a write that comes after: how far it gets is up to the machine.
          if (++seen === 1 + (round % 4)) setTimeout(() => child.kill("SIGKILL"), round % 7);
        });
        await closed;
        const store = place.open();
        const { version, secret } = await store.read("a");
        expect(version).toBeGreaterThanOrEqual(told);
        expect(secret.reveal()).toMatch(new RegExp(`^value ${version} x+$`));
        if (version > 1)
          expect((await store.readPrevious("a"))?.secret.reveal()).toMatch(new RegExp(`^value ${version - 1} x+$`));
      }
      expect(told).toBeGreaterThan(16);
      await put(place.open(), "b", "goes on");
    },
  );

  test("several at a time lose nothing of each other, nor of this one", { timeout: 120_000 }, async () => {
    const children = ["a", "b", "c"].map((name) => start(name, 15));
    const ends = children.map((child) => {
      child.stdout.resume();
      return once(child, "close");
    });
    const own = place.open();
    for (let i = 0; i < 15; i++) await Promise.all([put(own, "d", `d${i}`), put(place.open(), "e", `e${i}`)]);
    expect((await Promise.all(ends)).map(([code]) => code as unknown)).toEqual([0, 0, 0]);
    const versions = (await own.list()).map(({ name, version }) => [name, version]);
    expect(versions).toEqual(["a", "b", "c", "d", "e"].map((name) => [name, 15]));
    expect(await textOf(own, "d")).toBe("d14");
  });
});
