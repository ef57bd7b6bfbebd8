import { randomBytes } from "node:crypto";
import { appendFile, chmod, mkdtemp, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RevocationTarget } from "../../src/core/revocation.ts";
import { Journal } from "../../src/custody/journal.ts";
import { Revocations } from "../../src/custody/revocations.ts";
import { ManualClock } from "./support/clocks.ts";
import { denialOf } from "./support/denials.ts";

let directory = "";
let path = "";
let clock = new ManualClock();
const opened: Revocations[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-revocations-"));
  path = join(directory, "custody.state");
  clock = new ManualClock();
});
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
  await rm(directory, { recursive: true, force: true });
});

async function open(): Promise<Revocations> {
  const revocations = await Revocations.open(path, { clock, randomBytes });
  opened.push(revocations);
  return revocations;
}

const session = (value: string, tenant: string | null = null): RevocationTarget => ({
  scope: "session",
  value,
  tenant,
});
const credential = (value: string): RevocationTarget => ({ scope: "credential", value, tenant: null });
const it = { lease: null, credential: "key", session: "s1", tenant: "acme" };
const calm = new AbortController().signal;

const HOUR_MS = 3_600_000;

describe("what is revoked", () => {
  test.each<[RevocationTarget, string]>([
    [{ scope: "all", value: "", tenant: null }, "custody_revoked"],
    [{ scope: "tenant", value: "acme", tenant: null }, "tenant_revoked"],
    [credential("key"), "credential_revoked"],
    [session("s1"), "session_revoked"],
    [session("s1", "acme"), "session_revoked"],
  ])("%o is refused by name until it is lifted", async (target, reason) => {
    const revocations = await open();
    expect(revocations.against(it)).toBeNull();
    const { id } = await revocations.make(target, "test", "operator");
    expect(revocations.against(it)).toBe(reason);
    await revocations.lift(id);
    expect(revocations.against(it)).toBeNull();
  });

  test.each<[RevocationTarget]>([
    [{ scope: "tenant", value: "globex", tenant: null }],
    [credential("other")],
    [session("s2")],
    [session("s1", "globex")],
    [{ scope: "lease", value: "l1", tenant: null }],
  ])("%o reaches nobody else", async (target) => {
    const revocations = await open();
    await revocations.make(target, "test", "operator");
    expect(revocations.against(it)).toBeNull();
  });

  test("twice is in force until both are lifted", async () => {
    const revocations = await open();
    const first = await revocations.make(credential("key"), "one", "operator");
    const second = await revocations.make(credential("key"), "two", "operator");
    await revocations.lift(first.id);
    expect(revocations.against(it)).toBe("credential_revoked");
    await revocations.lift(second.id);
    expect(revocations.against(it)).toBeNull();
    expect(await denialOf(() => revocations.lift(second.id))).toMatchObject({ reason: "nothing_of_this_id" });
  });

  test("leaves room: when too many sessions are, a tenant and everything still can be", async () => {
    const revocations = Revocations.inMemory({ clock, randomBytes });
    for (let i = 0; i < 20_000; i++) await revocations.make(session(`s-${i}`), "test", "operator");
    expect(await denialOf(() => revocations.make(session("one more"), "test", "operator"))).toMatchObject({
      reason: "overloaded",
    });
    for (let i = 0; i < 1_000; i++) await revocations.make(credential(`c-${i}`), "test", "operator");
    const tenant: RevocationTarget = { scope: "tenant", value: "acme", tenant: null };
    expect(await denialOf(() => revocations.make(tenant, "test", "operator"))).toMatchObject({ reason: "overloaded" });
    await revocations.make({ scope: "all", value: "", tenant: null }, "test", "operator");
    expect(revocations.against(it)).toBe("custody_revoked");
  });

  test("a session is revoked for 12 hours, a lease for 15 minutes, on the monotonic clock", async () => {
    const revocations = await open();
    await revocations.make(session("s1"), "test", "operator");
    await revocations.make({ scope: "lease", value: "l1", tenant: null }, "test", "operator");
    clock.setWall(24 * HOUR_MS);
    clock.advance(15 * 60_000 - 1);
    expect(revocations.against({ ...it, session: "s2", lease: "l1" })).toBe("lease_revoked");
    clock.setWall(-48 * HOUR_MS);
    clock.advance(1);
    expect(revocations.against({ ...it, session: "s2", lease: "l1" })).toBeNull();
    clock.advance(12 * HOUR_MS - 15 * 60_000 - 1);
    expect(revocations.against(it)).toBe("session_revoked");
    clock.advance(1);
    expect(revocations.against(it)).toBeNull();
    expect(revocations.size).toBe(0);
  });

  test("nothing changes when its record cannot be written", async () => {
    const revocations = await open();
    const fail = async () => {
      throw new Error("no audit");
    };
    await expect(revocations.make(credential("key"), "test", "operator", fail)).rejects.toThrow("no audit");
    expect(revocations.against(it)).toBeNull();
    const { id } = await revocations.make(credential("key"), "test", "operator");
    await expect(revocations.lift(id, fail)).rejects.toThrow("no audit");
    expect(revocations.against(it)).toBe("credential_revoked");
    expect((await open()).size).toBe(1);
  });
});

describe("a restart", () => {
  test("keeps what is revoked and lifted, and the place in the feed", async () => {
    const before = await open();
    const cursor = (await before.page(null, 0, null, calm)).cursor;
    await before.make(credential("key"), "gone", "operator");
    const { id } = await before.make(session("s2", "acme"), "gone", "operator");
    await before.lift(id);
    const after = await open();
    expect([...after.list()].map(({ revocation }) => revocation)).toEqual(
      [...before.list()].map(({ revocation }) => revocation),
    );
    const page = await after.page(cursor, 0, null, calm);
    expect(page).toMatchObject({ reset: false });
    expect(page.changes.map(({ type, scope, value }) => [type, scope, value])).toEqual([
      ["revoked", "credential", "key"],
      ["revoked", "session", "s2"],
      ["lifted", "session", "s2"],
    ]);
    expect(after.feed.sequence).toBe(before.feed.sequence);
  });

  test.each([
    ["an hour forward, the clock right", 0, 1 * HOUR_MS, 11 * HOUR_MS],
    ["and the wall clock set back an hour", -1 * HOUR_MS, 0, 12 * HOUR_MS],
    ["and the wall clock set back ten years", -87_600 * HOUR_MS, 0, 12 * HOUR_MS],
    ["and the wall clock set forward an hour", 1 * HOUR_MS, 0, 11 * HOUR_MS],
  ])(
    "%s: a session is revoked for what is left, never for more than 12 hours",
    async (_what, setMs, passMs, leftMs) => {
      await (await open()).make(session("s1"), "test", "operator");
      clock.setWall(setMs);
      clock.advance(passMs);
      const after = await open();
      clock.advance(leftMs - 1);
      expect(after.against(it)).toBe("session_revoked");
      clock.advance(1);
      expect(after.against(it)).toBeNull();
    },
  );

  test("a wall clock that jumps does nothing to what lasts until it is lifted", async () => {
    await (await open()).make(credential("key"), "test", "operator");
    clock.setWall(87_600 * HOUR_MS);
    expect((await open()).against(it)).toBe("credential_revoked");
  });

  test("after many changes the file is small again and says the same", async () => {
    const before = await open();
    await before.make(credential("key"), "stays", "operator");
    for (let i = 0; i < 800; i++) await before.lift((await before.make(session(`s${i}`), "test", "operator")).id);
    expect((await readFile(path, "utf8")).split("\n").length).toBeLessThan(1_100);
    const after = await open();
    expect([...after.list()].map(({ revocation }) => revocation.reason)).toEqual(["stays"]);
    expect(after.feed.sequence).toBe(1_601);
    expect(await after.page(`${before.feed.epoch}.0`, 0, null, calm)).toMatchObject({ reset: true });
    expect(await after.page(`${before.feed.epoch}.1600`, 0, null, calm)).toMatchObject({
      reset: false,
      cursor: `${before.feed.epoch}.1601`,
    });
  });

  test.each(["half a line", '0123456789abcdef {"made"', "\0\0\0\0"])(
    "cuts off a last line that was never answered: %j",
    async (torn) => {
      await (await open()).make(credential("key"), "test", "operator");
      const whole = await readFile(path);
      await appendFile(path, torn);
      const after = await open();
      expect(after.against(it)).toBe("credential_revoked");
      expect(await readFile(path)).toEqual(whole);
      await after.make(session("s1"), "test", "operator");
      expect((await open()).size).toBe(2);
    },
  );

  test.each([0, 1, 2])("cut at any byte it is what was answered before, or unreadable: line %i", async (line) => {
    const before = await open();
    await before.make(credential("a"), "test", "operator");
    await before.make(credential("b"), "test", "operator");
    const text = await readFile(path, "utf8");
    const ends = [...text.matchAll(/\n/g)].map(({ index }) => index + 1);
    const start = line === 0 ? 0 : (ends[line - 1] as number);
    for (let at = start + 1; at < (ends[line] as number); at += 7) {
      await writeFile(path, text.slice(0, at));
      const reopened = Revocations.open(path, { clock, randomBytes });
      if (line === 0) await expect(reopened).rejects.toThrow("holds no whole line");
      else {
        const after = await reopened;
        expect(after.size).toBe(line - 1);
        await after.close();
      }
    }
  });
});

describe("a state file", () => {
  test("that is not there, or is empty, says that nothing is revoked", async () => {
    expect((await open()).size).toBe(0);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await writeFile(path, "");
    expect((await open()).size).toBe(0);
  });

  test.each<[string, () => Promise<void>]>([
    ["was damaged", async () => writeFile(path, (await readFile(path, "utf8")).replace('"key"', '"kex"'))],
    ["lost a line at its beginning", async () => writeFile(path, (await readFile(path, "utf8")).replace(/^.*\n/, ""))],
    ["is something else", () => writeFile(path, "# notes\n")],
    ["holds no whole line", () => truncate(path, 10)],
    ["can be written by others", () => chmod(path, 0o666)],
    [
      "is a link",
      async () => {
        await rm(path);
        await writeFile(`${path}.real`, "", { mode: 0o600 });
        await symlink(`${path}.real`, path);
      },
    ],
  ])("that %s is not read as empty: custody does not start", async (_what, harm) => {
    await (await open()).make(credential("key"), "test", "operator");
    await harm();
    await expect(open()).rejects.toThrow(/^state: /);
  });

  test("that cannot be appended to changes nothing, and is whole again afterwards", async () => {
    const revocations = await open();
    await revocations.make(credential("a"), "test", "operator");
    const journal = await Journal.open(join(directory, "j"), [{ first: true }]);
    await journal.journal.append({ second: true });
    await journal.journal.close();
    // A closed file refuses the append, and the cut after it as well.
    await expect(journal.journal.append({ third: true })).rejects.toThrow();
    const again = await Journal.open(join(directory, "j"), []);
    expect(again.records).toEqual([{ first: true }, { second: true }]);
    await again.journal.close();
  });
});

describe("the feed", () => {
  test("tells where it is, then each change once, in order, a page at a time", async () => {
    const revocations = await open();
    let { cursor } = await revocations.page(null, 0, null, calm);
    for (let i = 0; i < 70; i++) await revocations.make(credential(`c${i}`), "test", "operator");
    const told: string[] = [];
    for (let pages = 0; pages < 3; pages++) {
      const page = await revocations.page(cursor, 0, null, calm);
      expect(page.changes.length).toBeLessThanOrEqual(32);
      told.push(...page.changes.map(({ value }) => value));
      cursor = page.cursor;
    }
    expect(told).toEqual(Array.from({ length: 70 }, (_, i) => `c${i}`));
    expect(await revocations.page(cursor, 0, null, calm)).toEqual({ cursor, reset: false, changes: [] });
  });

  test("waits for news, and no longer", async () => {
    const revocations = await open();
    const { cursor } = await revocations.page(null, 0, null, calm);
    const waiting = revocations.page(cursor, 600_000, null, calm);
    expect(revocations.feed.waiting).toBe(1);
    await revocations.make(credential("key"), "test", "operator");
    expect((await waiting).changes).toHaveLength(1);
    expect(revocations.feed.waiting).toBe(0);
    const gone = new AbortController();
    const abandoned = revocations.page(`${revocations.feed.epoch}.1`, 600_000, null, gone.signal);
    gone.abort();
    expect((await abandoned).changes).toEqual([]);
    const shut = revocations.page(`${revocations.feed.epoch}.1`, 600_000, null, calm);
    await revocations.close();
    expect((await shut).changes).toEqual([]);
  });

  test.each([
    "",
    ".",
    "x.1",
    "0123456789abcdef.0",
    "EPOCH.2",
    "EPOCH.-1",
    "EPOCH.01",
    "EPOCH.1e0",
    "EPOCH",
    "EPOCH.99999999999999999999",
  ])("knows nothing of the cursor %j: everything has to go", async (cursor) => {
    const revocations = await open();
    await revocations.make(credential("key"), "test", "operator");
    const asked = cursor.replace("EPOCH", revocations.feed.epoch);
    expect(await revocations.page(asked, 600_000, null, calm)).toEqual({
      cursor: `${revocations.feed.epoch}.1`,
      reset: true,
      changes: [],
    });
  });

  test("forgets what is long ago, and says so", async () => {
    const revocations = Revocations.inMemory({ clock, randomBytes });
    for (let i = 0; i < 5_000; i++) revocations.feed.add(null);
    const { epoch, sequence } = revocations.feed;
    expect(sequence).toBe(5_000);
    expect((await revocations.page(`${epoch}.10`, 0, null, calm)).reset).toBe(true);
    expect((await revocations.page(`${epoch}.4000`, 0, null, calm)).reset).toBe(false);
  });

  test("tells an edge nothing of the sessions of tenants that it is not for", async () => {
    const revocations = await open();
    const { cursor } = await revocations.page(null, 0, null, calm);
    await revocations.make(session("s1", "globex"), "test", "operator");
    await revocations.make({ scope: "tenant", value: "globex", tenant: null }, "test", "operator");
    await revocations.make(session("s2", "acme"), "test", "operator");
    await revocations.make(session("s3"), "test", "operator");
    const page = await revocations.page(cursor, 0, ["acme"], calm);
    expect(page.changes.map(({ value }) => value)).toEqual(["s2", "s3"]);
    expect(page.cursor).toBe(`${revocations.feed.epoch}.4`);
  });
});
