import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import { RotatingFile } from "../../src/custody/rotating-file.ts";
import type { RotatingRoot } from "../../src/custody/rotating-root.ts";
import { RotatingStore } from "../../src/custody/rotating-store.ts";
import { type CredentialSource, SourceError } from "../../src/custody/sources/source.ts";
import { StoreSource } from "../../src/custody/sources/store.ts";
import { storePlace } from "./store/storing.ts";

/** What every place of a rotated root is held to. */

interface Bench {
  /** Another owner, or the same one after a restart. */
  readonly open: () => RotatingRoot;
  /** What an operator puts where the first root is read; `null` takes it away. */
  readonly put: (root: string | null) => Promise<void>;
  readonly remove: () => Promise<void>;
}

const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  file: async () => {
    const folder = await mkdtemp(join(tmpdir(), "postern-state-"));
    let seed: string | null = null;
    const source: CredentialSource = {
      reference: "test://seed",
      timeoutMs: 1_000,
      read: async () => {
        if (seed === null) throw new SourceError("there is no seed: put one there");
        return { username: null, secret: Secret.of(seed), expiresAtMs: null };
      },
      close: () => undefined,
    };
    return {
      open: () => new RotatingFile({ path: join(folder, "state"), seed: source, uid: process.getuid?.() ?? null }),
      put: async (root) => {
        seed = root;
      },
      remove: () => rm(folder, { recursive: true, force: true }),
    };
  },

  store: async () => {
    const place = await storePlace();
    const other = place.open();
    await other.create("there-before", Secret.of("x"));
    return {
      open: () => {
        const store = place.open();
        return new RotatingStore("acme/root", new StoreSource("acme/root", store), store);
      },
      put: async (root) => {
        if (root === null) await other.remove("acme/root");
        else await other.put("acme/root", Secret.of(root));
      },
      remove: place.remove,
    };
  },
};

describe.each(Object.keys(BENCHES))("a rotating root in the %s", (name) => {
  let bench: Bench;
  let root: RotatingRoot;
  beforeEach(async () => {
    bench = await (BENCHES[name] as () => Promise<Bench>)();
    await bench.put("seed");
    root = bench.open();
  });
  afterEach(async () => {
    await root.close();
    await bench.remove();
  });

  async function textsOf(one: RotatingRoot): Promise<(string | null)[]> {
    return [(await one.read()).reveal(), (await one.previous())?.reveal() ?? null];
  }

  test("is the first one until it was rotated, and keeps the one before until the next has worked", async () => {
    expect(await textsOf(root)).toEqual(["seed", null]);
    await root.worked();
    await root.rotate(Secret.of("one"));
    expect(await textsOf(root)).toEqual(["one", "seed"]);
    await root.worked();
    await root.worked();
    expect(await textsOf(root)).toEqual(["one", null]);
    await root.rotate(Secret.of("two"));
    await root.rotate(Secret.of("three"));
    expect(await textsOf(root)).toEqual(["three", "two"]);
  });

  test("is what it was after a restart, the one before included", async () => {
    await root.read();
    await root.rotate(Secret.of("one"));
    await root.close();
    const again = bench.open();
    expect(await textsOf(again)).toEqual(["one", "seed"]);
    await again.worked();
    await again.close();
    const last = bench.open();
    expect(await textsOf(last)).toEqual(["one", null]);
    await last.close();
  });

  test("gives copies, and takes them", async () => {
    (await root.read()).zero();
    const next = Secret.of("one");
    await root.rotate(next);
    next.zero();
    (await root.read()).zero();
    (await root.previous())?.zero();
    expect(await textsOf(root)).toEqual(["one", "seed"]);
  });

  test("has one owner, until that one has given it up", async () => {
    const other = bench.open();
    await root.read();
    await expect(other.read()).rejects.toThrow(
      /is owned by another custody: stop it, or give each an? (file|entry) of its own/,
    );
    await root.rotate(Secret.of("one"));
    await root.close();
    expect(await textsOf(other)).toEqual(["one", "seed"]);
    await other.close();
  });

  test("begins anew with what an operator puts there, of which there is none before, and ends with it", async () => {
    await root.read();
    await root.rotate(Secret.of("one"));
    await bench.put("other seed");
    expect(await textsOf(root)).toEqual(["other seed", null]);
    await root.rotate(Secret.of("two"));
    expect(await textsOf(root)).toEqual(["two", "other seed"]);
    await bench.put(null);
    await expect(root.read()).rejects.toThrow(SourceError);
  });

  test("cannot be rotated by who has not read it", async () => {
    await expect(root.rotate(Secret.of("one"))).rejects.toThrow(/is not open: ask again/);
    await root.read();
    await root.close();
    await expect(root.rotate(Secret.of("one"))).rejects.toThrow(/is not open: ask again/);
  });
});
