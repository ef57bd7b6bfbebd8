import { randomBytes } from "node:crypto";
import {
  chmod,
  chown,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Secret } from "../../../src/core/secret.ts";
import { SourceError } from "../../../src/custody/sources/source.ts";
import { storeKey } from "../../../src/custody/store/store-key.ts";
import { realClock } from "../support/clocks.ts";
import { errorOf, faultOf, KEY, put, reader, storePlace, type StorePlace, textOf } from "./storing.ts";

let place: StorePlace;
beforeEach(async () => {
  place = await storePlace();
});
afterEach(() => place.remove());

const VALUE = "the-value-of-the-test-77";
const PASSPHRASE = "correct horse battery staple";

describe("entries", () => {
  test("are written, told without their values, rotated, and removed", async () => {
    const store = place.open();
    expect(await store.create("acme/openai", Secret.of(VALUE))).toBe(1);
    expect(await put(store, "other", "o")).toBe(1);
    expect(await textOf(store, "acme/openai")).toBe(VALUE);
    expect(await store.rotate("acme/openai", Secret.of("second"))).toBe(2);
    expect(await textOf(store, "acme/openai")).toBe("second");
    const [entry, other, ...rest] = await store.list();
    expect(rest).toEqual([]);
    expect(entry).toEqual({
      name: "acme/openai",
      version: 2,
      createdMs: expect.any(Number),
      rotatedMs: expect.any(Number),
      previousVersion: null,
    });
    expect(entry?.rotatedMs).toBeGreaterThanOrEqual(entry?.createdMs ?? Infinity);
    expect(other?.name).toBe("other");
    await store.remove("acme/openai");
    expect(await faultOf(() => store.read("acme/openai"))).toBe("entry_unknown");
    expect(await textOf(store, "other")).toBe("o");
  });

  test("survive another process, byte for byte, whatever is in them", async () => {
    const values = ["x", "ä€😀", "a\nb\r\n", " ", "\0", "v".repeat(65_536), "-----BEGIN-----\nline\n"];
    const store = place.open();
    for (const [i, value] of values.entries()) await put(store, `v${i}`, value);
    const again = place.open();
    for (const [i, value] of values.entries()) expect(await textOf(again, `v${i}`)).toBe(value);
  });

  test("each reader owns what it got", async () => {
    const store = place.open();
    await put(store, "a", VALUE);
    const [one, two] = await Promise.all([store.read("a"), store.read("a")]);
    one.secret.zero();
    expect(two.secret.reveal()).toBe(VALUE);
  });

  test("keep the version before only when asked, until the next rotation, and go back to it", async () => {
    const store = place.open();
    await put(store, "a", "one");
    await store.rotate("a", Secret.of("two"), { keepPrevious: true });
    expect((await store.readPrevious("a"))?.secret.reveal()).toBe("one");
    expect((await store.list())[0]).toMatchObject({ version: 2, previousVersion: 1 });
    expect(await store.revert("a")).toBe(3);
    expect([await textOf(store, "a"), (await store.readPrevious("a"))?.version]).toEqual(["one", 2]);
    await store.rotate("a", Secret.of("four"));
    expect(await store.readPrevious("a")).toBeNull();
    expect(await faultOf(() => store.revert("a"))).toBe("entry_unknown");
  });

  test("are not replaced by who has read another version", async () => {
    const store = place.open();
    await put(store, "a", "one");
    const { version } = await store.read("a");
    await place.open().rotate("a", Secret.of("an operator's"));
    expect(await faultOf(() => store.rotate("a", Secret.of("a late one"), { ifVersion: version }))).toBe(
      "entry_changed",
    );
    expect(await faultOf(() => store.put("new", Secret.of("x"), { ifVersion: 1 }))).toBe("entry_changed");
    expect(await textOf(store, "a")).toBe("an operator's");
    expect(await store.rotate("a", Secret.of("b"), { ifVersion: 2 })).toBe(3);
  });

  test.each([
    "",
    "/",
    "a/",
    "/a",
    "a//b",
    "..",
    "a/../b",
    "-a",
    "a b",
    "a\n",
    "ä",
    `${"a/".repeat(8)}a`,
    "a".repeat(65),
  ])("the name %j is none", async (name) => {
    expect(await faultOf(() => put(place.open(), name, VALUE))).toBe("unfit");
  });

  test("an empty or an oversized value, one that is there, and one that is not: nothing is written", async () => {
    const store = place.open();
    expect(await faultOf(() => put(store, "a", ""))).toBe("unfit");
    expect(await faultOf(() => store.rotate("a", Secret.of("x")))).toBe("entry_unknown");
    await put(store, "a", "one");
    const before = await readFile(place.file);
    expect(await faultOf(() => put(store, "a", "v".repeat(65_537)))).toBe("unfit");
    expect(await faultOf(() => store.create("a", Secret.of("x")))).toBe("entry_exists");
    expect(await faultOf(() => store.rotate("b", Secret.of("x")))).toBe("entry_unknown");
    expect(await faultOf(() => store.remove("b"))).toBe("entry_unknown");
    expect(await readFile(place.file)).toEqual(before);
  });
});

describe("the file", () => {
  test("holds no name, no value and no key, does not tell how long a value is, and is for its owner alone", async () => {
    const store = place.open();
    await put(store, "name-that-nobody-reads", VALUE);
    const bytes = await readFile(place.file, "latin1");
    for (const text of [VALUE, "name-that-nobody-reads", KEY]) {
      expect(bytes).not.toContain(text);
      expect(bytes).not.toContain(Buffer.from(text).toString("base64").slice(0, -4));
    }
    expect((await stat(place.file)).mode & 0o777).toBe(0o600);
    const { size } = await stat(place.file);
    await store.rotate("name-that-nobody-reads", Secret.of("x"));
    expect((await stat(place.file)).size).toBe(size);
    expect((await readdir(place.directory)).sort()).toEqual([".secrets.store.lock", "secrets.store", "store.key"]);
  });

  test("is another one after each write of the same", async () => {
    const store = place.open();
    const seen = new Set<string>();
    for (let i = 0; i < 5; i++) {
      await put(store, "a", VALUE);
      const { values, index } = JSON.parse(await readFile(place.file, "utf8")) as { values: string[]; index: string };
      seen.add(values.join()).add(index);
    }
    expect(seen.size).toBe(10);
  });

  test("keeps mode and owner when it is written anew", async () => {
    await put(place.open(), "a", VALUE);
    await chmod(place.file, 0o400);
    if (reader.uid === 0) {
      await chown(place.directory, 4321, 4321);
      await chown(place.file, 4321, 4321);
    }
    await put(place.open(), "b", VALUE);
    const { mode, uid } = await stat(place.file);
    expect([mode & 0o777, uid]).toEqual([0o400, reader.uid === 0 ? 4321 : reader.uid]);
  });

  test("is found out when any byte of it is another one", async () => {
    const store = place.open();
    await put(store, "a", VALUE);
    await store.rotate("a", Secret.of("second"), { keepPrevious: true });
    const bytes = await readFile(place.file);
    const faults = new Set<string>();
    for (let at = 0; at < bytes.length; at += 7) {
      const bent = Buffer.from(bytes);
      bent.writeUInt8(bent.readUInt8(at) ^ 1, at);
      await writeFile(place.file, bent);
      const fault = await faultOf(() => place.open().list());
      // The line end is no part of it, nor is the blank that JSON allows around its marks.
      if (at < bytes.length - 1) expect([at, fault]).not.toEqual([at, "none"]);
      faults.add(fault);
    }
    expect([...faults].sort()).toEqual(["damaged", "wrong_key"]);
  });

  test.each(["", "{}", "[]", "null", "not json", `{"format":"postern-secret-store-1"}`, "\0".repeat(20)])(
    "%j is no store",
    async (text) => {
      await writeFile(place.file, text, { mode: 0o600 });
      const error = await errorOf(() => place.open().read("a"));
      expect(error?.fault).toBe("damaged");
      expect(await faultOf(() => put(place.open(), "a", VALUE))).toBe("damaged");
      expect(await readFile(place.file, "utf8")).toBe(text);
    },
  );

  test("a value that was swapped, taken from an older file, left out or added is found out", async () => {
    interface File {
      values: string[];
    }
    const read = async () => JSON.parse(await readFile(place.file, "utf8")) as File;
    const store = place.open();
    await put(store, "a", "one");
    await put(store, "b", "two");
    const old = await read();
    await put(store, "a", "three");
    const now = await read();
    const [first = "", second = ""] = now.values;
    for (const values of [
      [second, first],
      [old.values[0], second],
      [first],
      [first, second, old.values[0]],
      [second, second],
      [],
    ]) {
      await writeFile(place.file, JSON.stringify({ ...now, values }));
      expect(await faultOf(() => place.open().list())).toBe("damaged");
    }
    await writeFile(place.file, JSON.stringify(now));
    expect(await textOf(place.open(), "a")).toBe("three");
  });

  test("an older or another one is found out by who has read a newer one, and by nobody else", async () => {
    const store = place.open();
    await put(store, "a", "one");
    const copy = `${place.file}.copy`;
    await copyFile(place.file, copy);
    await put(store, "a", "two");
    await chmod(copy, 0o600);
    await rename(copy, place.file);
    expect(await faultOf(() => store.read("a"))).toBe("rolled_back");
    expect(await faultOf(() => put(store, "b", "x"))).toBe("rolled_back");
    expect(await textOf(place.open(), "a")).toBe("one");
    // Written on from there, it has the generation that is known, and says something else.
    await put(place.open(), "a", "fork");
    expect(await faultOf(() => store.read("a"))).toBe("rolled_back");
    await rm(place.file);
    await put(place.open(), "a", "a store of its own");
    expect(await faultOf(() => store.read("a"))).toBe("rolled_back");
  });

  test("one that has gone is not begun anew by who knew it", async () => {
    const store = place.open();
    await put(store, "a", "one");
    await rm(place.file);
    expect(await faultOf(() => store.read("a"))).toBe("missing");
    store.close();
    expect(await faultOf(() => put(store, "b", "x"))).toBe("missing");
  });
});

describe("what is wrong is told with its next step", () => {
  const told = async (store = place.open()) => {
    const error = await errorOf(() => store.read("a"));
    expect(error).toBeInstanceOf(SourceError);
    for (const secret of [VALUE, KEY, PASSPHRASE]) expect(error?.message).not.toContain(secret);
    return `${error?.fault}: ${error?.message}`;
  };

  test("a file that is not there, one that is a directory, one of everybody, of the group, of another user", async () => {
    expect(await told()).toMatch(/^missing: store ".*" is not there: `postern custody secret set/);
    await mkdir(place.file);
    expect(await told()).toMatch(/^inaccessible: .*not a regular file/);
    await rm(place.file, { recursive: true });
    await symlink(join(place.directory, "elsewhere"), place.file);
    expect(await told()).toMatch(/^inaccessible: .*is a link/);
    expect(await faultOf(() => put(place.open(), "a", VALUE))).toBe("inaccessible");
    await rm(place.file);
    await put(place.open(), "a", VALUE);
    for (const mode of [0o604, 0o602, 0o666]) {
      await chmod(place.file, mode);
      expect(await told()).toMatch(/^exposed: .*everybody.*chmod 0600/);
    }
    await chmod(place.file, 0o640);
    expect(await told()).toMatch(/^exposed: .*its group.*chmod 0600/);
    expect(await faultOf(() => put(place.open(), "b", VALUE))).toBe("exposed");
    await chmod(place.file, 0o600);
    if (reader.uid !== 0) return;
    await chown(place.file, 4321, 4321);
    expect(await told()).toMatch(/^exposed: .*belongs to user 4321: chown/);
  });

  test("a mode that goes wrong while the store is open", async () => {
    const store = place.open();
    await put(store, "a", VALUE);
    expect(await textOf(store, "a")).toBe(VALUE);
    await chmod(place.file, 0o644);
    expect(await told(store)).toMatch(/^exposed/);
    await chmod(place.file, 0o600);
    expect(await textOf(store, "a")).toBe(VALUE);
  });

  test("a key that is not there, that others may read, that is none, and the wrong one", async () => {
    await put(place.open(), "a", VALUE);
    await chmod(place.keyFile, 0o640);
    expect(await told()).toMatch(/^exposed: key of the store .*its group/);
    await rm(place.keyFile);
    expect(await told()).toMatch(/^key_unavailable: key of the store .*is not there/);
    await writeFile(place.keyFile, "\n", { mode: 0o600 });
    expect(await told()).toMatch(/^key_unavailable: .*is empty/);
    expect(await told(place.open({ keyText: "7".repeat(64) }))).toMatch(/^wrong_key: .*is not the one/);
    expect(await told(place.open({ keyText: PASSPHRASE }))).toMatch(/^wrong_key: .*is a passphrase/);
    const short = place.open({ keyText: "short", file: `${place.file}2` });
    expect(await faultOf(() => put(short, "a", VALUE))).toBe("key_unavailable");
  });

  test("a directory that is not there", async () => {
    const store = place.open({ file: join(place.directory, "none", "s") });
    expect((await errorOf(() => put(store, "a", VALUE)))?.message).toMatch(
      /cannot be locked .*directory that is there/,
    );
  });
});

describe("the key", () => {
  test("is 32 bytes in hex or base64, or a passphrase", async () => {
    const bytes = Buffer.alloc(32, 0xfb);
    for (const [i, keyText] of [bytes.toString("hex"), bytes.toString("base64"), PASSPHRASE].entries()) {
      const file = join(place.directory, `k${i}`);
      await put(place.open({ keyText, file }), "a", VALUE);
      expect(await textOf(place.open({ keyText, file }), "a")).toBe(VALUE);
      const { key } = JSON.parse(await readFile(file, "utf8")) as { key: object };
      expect(key).toMatchObject(i < 2 ? { form: "raw" } : { form: "scrypt", logN: 17 });
      const other = keyText === PASSPHRASE ? `${PASSPHRASE}!` : "0".repeat(64);
      expect(await faultOf(() => place.open({ keyText: other, file }).read("a"))).toBe("wrong_key");
    }
    // The same bytes, spelled in another way.
    expect(
      await textOf(
        place.open({ keyText: bytes.toString("base64url").padEnd(44, "="), file: join(place.directory, "k0") }),
        "a",
      ),
    ).toBe(VALUE);
  });

  test("is never stretched less, or more, than is of use, whatever the file asks for", async () => {
    await put(place.open({ keyText: PASSPHRASE }), "a", VALUE);
    const file = JSON.parse(await readFile(place.file, "utf8")) as { key: object };
    for (const logN of [14, 19, 30, 16.5, -1, "17"]) {
      await writeFile(place.file, JSON.stringify({ ...file, key: { ...file.key, logN } }));
      expect(await faultOf(() => place.open({ keyText: PASSPHRASE }).read("a"))).toBe("damaged");
    }
  });

  test("is replaced for all that is in the store; a running process takes the new one from where it had the old", async () => {
    const running = place.open();
    await put(running, "a", "one");
    await running.rotate("a", Secret.of("two"), { keepPrevious: true });
    const [before] = await running.list();
    const newKey = "e".repeat(64);
    const key = storeKey({ from: "env", variable: "NEW" }, { clock: realClock, environment: { NEW: newKey } }, null);
    await place.open().rekey(key);
    expect(await faultOf(() => running.read("a"))).toBe("wrong_key");
    await writeFile(place.keyFile, newKey, { mode: 0o600 });
    expect(await textOf(running, "a")).toBe("two");
    expect((await running.readPrevious("a"))?.secret.reveal()).toBe("one");
    expect(await running.list()).toEqual([before]);
    expect(await faultOf(() => place.open({ keyText: KEY }).read("a"))).toBe("wrong_key");
    await put(running, "b", "x");
    expect(await textOf(place.open(), "b")).toBe("x");
  });

  test("is gone once the store is closed, but never under a write that runs", async () => {
    const store = place.open();
    await put(store, "a", VALUE);
    store.close();
    await rename(place.keyFile, `${place.keyFile}.away`);
    expect(await faultOf(() => store.read("a"))).toBe("key_unavailable");
    await rename(`${place.keyFile}.away`, place.keyFile);

    const hasty = place.open({
      randomBytes: (size) => {
        hasty.close();
        return randomBytes(size);
      },
    });
    expect(await put(hasty, "a", "late")).toBe(2);
    expect(await textOf(place.open(), "a")).toBe("late");
    // A token that comes when all is over is not lost either.
    expect(await put(hasty, "a", "later")).toBe(3);
    expect(await textOf(place.open(), "a")).toBe("later");
  });

  test("that is not there does not make a new store of one that is", async () => {
    await put(place.open(), "a", VALUE);
    const before = await readFile(place.file);
    let reads = 0;
    const real = storeKey({ from: "file", path: place.keyFile }, { clock: realClock, environment: {} }, reader);
    const late = {
      timeoutMs: 1,
      read: async () => {
        if (++reads === 1) await rename(place.keyFile, `${place.keyFile}.away`);
        try {
          return await real.read();
        } finally {
          if (reads === 1) await rename(`${place.keyFile}.away`, place.keyFile);
        }
      },
    };
    expect(await faultOf(() => put(place.open({ key: late }), "b", VALUE))).toBe("key_unavailable");
    expect(await readFile(place.file)).toEqual(before);
  });
});

test("its own writes are told with what the file was and is", async () => {
  const told: (string | null)[][] = [];
  const store = place.open({ onWrite: (before, after) => void told.push([before, after]) });
  await put(store, "a", "one");
  await put(store, "a", "two");
  expect(told[0]?.[0]).toBeNull();
  expect(told[1]?.[0]).toBe(told[0]?.[1]);
  expect(told[1]?.[1]).not.toBe(told[0]?.[1]);
});
