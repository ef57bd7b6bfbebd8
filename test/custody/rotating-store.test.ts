import { readdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import { RotatingStore } from "../../src/custody/rotating-store.ts";
import { StoreSource } from "../../src/custody/sources/store.ts";
import { realDisk, type StoreDisk } from "../../src/custody/store/disk.ts";
import type { SecretStore } from "../../src/custody/store/secret-store.ts";
import { failingDisk, storePlace, type StorePlace, textOf } from "./store/storing.ts";

/** A rotated root whose successors are versions of an entry of the store, beside others who write there. */

const NAME = "acme/root";
let place: StorePlace;
let operator: SecretStore;
const opened: RotatingStore[] = [];

beforeEach(async () => {
  place = await storePlace();
  operator = place.open();
  await operator.create(NAME, Secret.of("seed"));
});
afterEach(async () => {
  for (const root of opened.splice(0)) await root.close();
  await place.remove();
});

function openRoot(disk: StoreDisk = realDisk): RotatingStore {
  const store = place.open({ disk });
  const root = new RotatingStore(NAME, new StoreSource(NAME, store), store);
  opened.push(root);
  return root;
}

async function lineageOf(root: RotatingStore): Promise<string> {
  return (await root.lineage.read(false)).secret.reveal();
}

describe("its lineage", () => {
  test("goes on with what was rotated in, and ends with what somebody else put there", async () => {
    const root = openRoot();
    const first = await lineageOf(root);
    await root.read();
    await Promise.all([root.rotate(Secret.of("one")), lineageOf(root)]);
    await root.worked();
    expect(await lineageOf(root)).toBe(first);
    await operator.rotate(NAME, Secret.of("other"));
    const second = await lineageOf(root);
    expect(second).not.toBe(first);
    // As after the removal of an entry, whose versions begin anew.
    await operator.remove(NAME);
    await expect(lineageOf(root)).rejects.toThrow(/holds no "acme\/root"/);
    await operator.create(NAME, Secret.of("again"));
    expect([first, second]).not.toContain(await lineageOf(root));
  });

  test("is not changed by a look that was slower than a rotation", async () => {
    const store = place.open();
    const root = new RotatingStore(NAME, new StoreSource(NAME, store), store);
    opened.push(root);
    const first = await lineageOf(root);
    await root.read();
    const gate = Promise.withResolvers<void>();
    const read = store.read.bind(store);
    store.read = async (name) => {
      const stored = await read(name);
      await gate.promise;
      return stored;
    };
    const look = lineageOf(root);
    const rotated = root.rotate(Secret.of("one"));
    // It waits for the look; were it not to, it would be over by then.
    await Promise.race([rotated, sleep(300)]);
    gate.resolve();
    await rotated;
    expect(await look).toBe(first);
    expect(await lineageOf(root)).toBe(first);
  });

  test("goes on over a write that failed behind its rename, and is written once more before it is given", async () => {
    let broken = false;
    let synced = 0;
    const root = openRoot({
      ...realDisk,
      syncDirectory: async (path) => {
        if (broken) return await fail();
        await realDisk.syncDirectory(path);
        synced++;
      },
    });
    const first = await lineageOf(root);
    await root.read();
    broken = true;
    await expect(root.rotate(Secret.of("one"))).rejects.toThrow(/do not stop this custody/);
    expect(await textOf(operator, NAME)).toBe("one");
    await expect(root.read()).rejects.toThrow(/do not stop this custody/);
    broken = false;
    expect((await root.read()).reveal()).toBe("one");
    expect(synced).toBe(1);
    expect(await lineageOf(root)).toBe(first);
  });

  test("never says what the root is", async () => {
    const root = openRoot();
    await root.read();
    await root.rotate(Secret.of("one"));
    expect(await lineageOf(root)).not.toMatch(/seed|one/);
  });
});

describe("what an operator does in the middle of an exchange counts", () => {
  test.each<[string, () => Promise<unknown>, string | null]>([
    ["another value", () => operator.rotate(NAME, Secret.of("other")), "other"],
    [
      "another value with the one before kept",
      () => operator.rotate(NAME, Secret.of("other"), { keepPrevious: true }),
      "other",
    ],
    ["a removal", () => operator.remove(NAME), null],
  ])("%s", async (_name, change, left) => {
    const root = openRoot();
    await root.read();
    await root.rotate(Secret.of("one"));
    await root.read();
    await change();
    // A lease that looks in between does not make it ours.
    await lineageOf(root).catch(() => undefined);
    await expect(root.rotate(Secret.of("two"))).rejects.toThrow(/was changed while its root was being exchanged/);
    if (left === null) await expect(root.read()).rejects.toThrow(/holds no "acme\/root"/);
    else {
      expect((await root.read()).reveal()).toBe(left);
      expect(await root.previous()).toBeNull();
    }
  });

  test("a root that has worked meanwhile does not bring it back, nor take what was kept", async () => {
    const root = openRoot();
    await root.read();
    await root.rotate(Secret.of("one"));
    await root.read();
    await operator.rotate(NAME, Secret.of("other"), { keepPrevious: true });
    await root.worked();
    expect(await textOf(operator, NAME)).toBe("other");
    await root.read();
    await root.worked();
    expect((await operator.readPrevious(NAME))?.secret.reveal()).toBe("one");
  });

  test("a successor that could not be written is let go for it", async () => {
    let full = true;
    const disk: StoreDisk = { ...realDisk, rename: (from, to) => (full ? fail() : realDisk.rename(from, to)) };
    const root = openRoot(disk);
    await root.read();
    await expect(root.rotate(Secret.of("one"))).rejects.toThrow(/do not stop this custody/);
    await expect(root.read()).rejects.toThrow(/do not stop this custody/);
    await operator.rotate(NAME, Secret.of("other"));
    full = false;
    expect((await root.read()).reveal()).toBe("other");
    expect(await textOf(operator, NAME)).toBe("other");
  });
});

function fail(): Promise<never> {
  return Promise.reject(Object.assign(new Error("input/output error"), { code: "EIO" }));
}

describe("each step of the disk in turn", () => {
  test.each([
    ["fails", { dies: false, half: false }],
    ["is the last one of the process", { dies: true, half: false }],
    ["is the last one of the process, half done", { dies: true, half: true }],
  ])("%s, and neither the root nor its successor is lost", async (_how, kind) => {
    let failures = 0;
    let done = false;
    for (let at = 1; !done; at++) {
      const [before, after] = [`before ${at}`, `after ${at}`];
      await operator.put(NAME, Secret.of(before));
      const { disk, steps } = failingDisk(realDisk, { at, ...kind });
      const root = openRoot(disk);
      expect((await root.read()).reveal()).toBe(before);
      const outcome = await root.rotate(Secret.of(after)).then(
        () => "durable",
        () => "failed",
      );
      done = steps() < at;
      if (outcome === "failed") failures++;
      if (outcome === "failed" && !kind.dies) {
        // The next exchange begins with what the issuer knows, once it is safe.
        expect((await root.read()).reveal()).toBe(after);
        expect(await textOf(place.open(), NAME)).toBe(after);
      }
      await root.close();
      // As the next process finds it.
      const found = await textOf(place.open(), NAME);
      expect(outcome === "durable" ? [after] : [before, after]).toContain(found);
      const kept = await place.open().readPrevious(NAME);
      if (found === after && kept !== null) expect(kept.secret.reveal()).toBe(before);
    }
    expect(failures).toBeGreaterThan(6);
  });
});

test("names the entry in no file", async () => {
  const root = openRoot();
  await root.read();
  await root.rotate(Secret.of("one"));
  expect((await readdir(place.directory)).join(" ")).not.toMatch(/acme|root/);
});
