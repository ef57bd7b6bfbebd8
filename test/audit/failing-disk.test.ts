import { describe, expect, test } from "vitest";
import { verifyFiles } from "../../src/audit/verify.ts";
import {
  auditFiles,
  enospc,
  eventually,
  FaultyDisk,
  openTrail,
  records,
  scratch,
  testClock,
  types,
} from "./fixture.ts";

const members = (n: number): string => `"time":"2027-01-15T08:00:00.000Z","id":"e${n}"`;

describe("audit on a disk that fails", () => {
  test("short writes: every byte once, in order", async () => {
    const disk = new FaultyDisk();
    disk.chunk = 7;
    const { trail, file } = await openTrail(scratch(), { disk });
    for (let n = 0; n < 20; n++) trail.outcome(members(n));
    await trail.close();
    expect(records(file)).toHaveLength(22);
    expect(await verifyFiles([file])).toMatchObject({ ok: true });
  });

  test("full, a part of the write landed: goes on from the very byte; durable-first keeps what fits and counts the rest", async () => {
    const disk = new FaultyDisk();
    const { trail, file, alarms } = await openTrail(scratch(), { disk, queueRecords: 100 });
    disk.roomBytes = 333;
    disk.fault = enospc();
    for (let n = 0; n < 250; n++) trail.outcome(members(n));
    await eventually("alarm", () => alarms.some(({ kind }) => kind === "failed"));
    expect(trail.stats).toMatchObject({ lost: 150, failing: true });
    expect(trail.health()).toMatchObject({ ok: true, degraded: true });
    await expect(trail.privileged({ type: "lease_issued", facts: {} })).rejects.toMatchObject({
      code: "audit_unavailable",
    });
    disk.fault = null;
    await eventually("recovery", () => alarms.some(({ kind }) => kind === "recovered"));
    trail.outcome(members(1000));
    await trail.close();
    expect(alarms.map(({ kind }) => kind)).toEqual(["losing", "failed", "recovered", "lost"]);
    expect(trail.health()).toMatchObject({ ok: true, degraded: false });
    const lost = records(file).filter(({ type }) => type === "lost");
    expect(lost).toMatchObject([{ count: 150 }]);
    expect(types(file).filter((type) => type === "exchange")).toHaveLength(101);
    const report = await verifyFiles([file]);
    expect(report.ok).toBe(true);
    expect(report.files[0]?.lost).toBe(150);
  });

  test("strict: an intent resolves after the sync, is rejected at once while the disk fails, and works again after", async () => {
    const disk = new FaultyDisk();
    const { trail, file, alarms } = await openTrail(scratch(), { disk, mode: "strict", fsync: "never" });
    const before = disk.syncs;
    await trail.intent(() => members(1));
    expect(disk.syncs).toBeGreaterThan(before);
    expect(types(file)).toEqual(["header", "intent"]);
    disk.fault = enospc();
    await expect(trail.intent(() => members(2))).rejects.toMatchObject({ code: "audit_unavailable" });
    expect(trail.health()).toMatchObject({ ok: false });
    const appends = disk.appends;
    await expect(trail.intent(() => members(3))).rejects.toMatchObject({ code: "audit_unavailable" });
    expect(disk.appends - appends).toBeLessThanOrEqual(1);
    disk.fault = null;
    await eventually("recovery", () => alarms.some(({ kind }) => kind === "recovered"));
    await trail.intent(() => members(4));
    await trail.close();
    expect(trail.health()).toMatchObject({ ok: true });
    // The second intent was refused but had been sealed: it is in the chain; the third never was.
    expect(records(file).map(({ id }) => id)).toEqual([undefined, "e1", "e2", "e4", undefined]);
    expect(await verifyFiles([file])).toMatchObject({ ok: true });
  });

  test("durable-first asks for no intent", async () => {
    const { trail } = await openTrail(scratch());
    let rendered = false;
    expect(
      trail.intent(() => {
        rendered = true;
        return members(1);
      }),
    ).toBeUndefined();
    expect(rendered).toBe(false);
  });

  test("the lost record stands before the first one that is kept again", async () => {
    const disk = new FaultyDisk();
    const { trail, file, alarms } = await openTrail(scratch(), { disk, fsync: "always", queueRecords: 10 });
    disk.fault = enospc();
    for (let n = 0; n < 15; n++) trail.outcome(members(n));
    await eventually("alarm", () => alarms.some(({ kind }) => kind === "failed"));
    disk.fault = null;
    await eventually("recovery", () => trail.stats.queuedRecords === 0);
    trail.outcome(members(100));
    expect(alarms.at(-1)).toEqual({ kind: "lost", count: 5 });
    await trail.close();
    expect(types(file).slice(-3)).toEqual(["lost", "exchange", "shutdown"]);
  });

  test("who waits behind a file that is being turned over is told as well", async () => {
    const disk = new FaultyDisk();
    const { trail } = await openTrail(scratch(), { disk, mode: "strict", rotateBytes: 1500 });
    disk.fault = enospc();
    const intents = Array.from({ length: 50 }, async (_, n) => trail.intent(() => members(n)));
    const results = await Promise.allSettled(intents);
    expect(results.map(({ status }) => status)).toEqual(Array.from({ length: 50 }, () => "rejected"));
    disk.fault = null;
  });

  test("a sync that fails rejects who waits for it", async () => {
    const disk = new FaultyDisk();
    const { trail, alarms } = await openTrail(scratch(), { disk });
    disk.syncFault = new Error("EIO: i/o error, fdatasync");
    await expect(trail.privileged({ type: "lease_issued", facts: {} })).rejects.toMatchObject({
      code: "audit_unavailable",
      cause: "audit: EIO: i/o error, fdatasync",
    });
    expect(alarms).toMatchObject([{ kind: "failed" }]);
    disk.syncFault = null;
  });

  test("a disk that hangs: who waits is refused once it has been silent for too long, the rest gathers and is written", async () => {
    const disk = new FaultyDisk();
    let nowMs = 0;
    const clock = { ...testClock, monotonicMs: () => nowMs };
    const { trail, file, alarms } = await openTrail(scratch(), { disk, clock, mode: "strict", stallMs: 30 });
    let release = (): void => undefined;
    disk.hang = new Promise((resolve) => {
      release = resolve;
    });
    const appends = disk.appends;
    const refused = expect(trail.intent(() => members(1))).rejects.toMatchObject({ code: "audit_unavailable" });
    await eventually("write", () => disk.appends > appends);
    nowMs += 30;
    await refused;
    expect(alarms).toMatchObject([{ kind: "failed", detail: "the disk has not answered for 30 ms" }]);
    trail.outcome(members(2));
    disk.hang = null;
    release();
    await eventually("recovery", () => alarms.some(({ kind }) => kind === "recovered"));
    await trail.close();
    expect(types(file)).toEqual(["header", "intent", "exchange", "shutdown"]);
    expect(await verifyFiles([file])).toMatchObject({ ok: true });
  });

  test("closing on a disk that never answers ends in time and tells how much is missing", async () => {
    const disk = new FaultyDisk();
    const { trail } = await openTrail(scratch(), { disk, closeMs: 50 });
    disk.fault = enospc();
    for (let n = 0; n < 3; n++) trail.outcome(members(n));
    await eventually("failure", () => trail.stats.failing);
    await expect(trail.close()).rejects.toThrow("4 audit records could not be written: ENOSPC");
  });

  test("a failure in the middle of turning over loses nothing", async () => {
    const dir = scratch();
    const disk = new FaultyDisk();
    let failures = 3;
    const { rename } = disk;
    disk.rename = async (from, to) => {
      if (failures-- > 0) throw new Error("EIO: i/o error, rename");
      await rename(from, to);
    };
    const { trail, alarms } = await openTrail(dir, { disk, rotateBytes: 5000 });
    for (let n = 0; n < 100; n++) trail.outcome(members(n));
    await eventually("recovery", () => alarms.some(({ kind }) => kind === "recovered"));
    await trail.close();
    expect(auditFiles(dir).length).toBeGreaterThan(2);
    expect(await verifyFiles(auditFiles(dir), { expectClosed: true })).toMatchObject({ ok: true });
  });

  test("group commit: many waiters, few syncs", async () => {
    const disk = new FaultyDisk();
    const { trail } = await openTrail(scratch(), { disk, mode: "strict" });
    const before = disk.syncs;
    await Promise.all(Array.from({ length: 500 }, async (_, n) => trail.intent(() => members(n))));
    expect(disk.syncs - before).toBeLessThan(20);
  });
});
