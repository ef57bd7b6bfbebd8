import {
  appendFileSync,
  existsSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { lockForWriting } from "../../src/audit/lock.ts";
import { sessionMark } from "../../src/audit/session-marks.ts";
import { verifyFiles } from "../../src/audit/verify.ts";
import { auditFiles, enospc, eventually, FaultyDisk, openTrail, records, scratch, types } from "./fixture.ts";

const members = (n: number): string => `"time":"2027-01-15T08:00:00.000Z","id":"e${n}"`;

/** As `kill -9` leaves it. */
function leaveLock(dir: string): void {
  const script = `require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))`;
  spawnSync(process.execPath, ["-e", script, join(dir, ".audit.jsonl.lock")]);
  expect(existsSync(join(dir, ".audit.jsonl.lock"))).toBe(true);
}

describe("audit trail", () => {
  test("writes a header, records in order and a shutdown, mode 0600, and verifies", async () => {
    const dir = scratch();
    const { trail, file } = await openTrail(dir);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    for (let n = 0; n < 500; n++) trail.outcome(members(n));
    await trail.privileged({ type: "policy_loaded", facts: { destinations: 3, note: 'a "quoted" name' } });
    await trail.close();
    const found = records(file);
    expect(found.map(({ seq }) => seq)).toEqual(Array.from({ length: 503 }, (_, i) => i + 1));
    expect([found[0]?.["type"], found[1]?.["id"], found[500]?.["id"]]).toEqual(["header", "e0", "e499"]);
    expect(found[501]).toMatchObject({ type: "policy_loaded", destinations: 3, note: 'a "quoted" name' });
    expect(found[502]?.["type"]).toBe("shutdown");
    expect(await verifyFiles([file], { expectClosed: true })).toMatchObject({ ok: true, notes: [] });
  });

  test("a privileged event is in the file when its promise resolves", async () => {
    const { trail, file } = await openTrail(scratch(), { fsync: "never" });
    await trail.privileged({ type: "lease_issued", facts: { lease: "l-1" } });
    expect(types(file)).toEqual(["header", "lease_issued"]);
  });

  test("goes on with the chain after a clean end", async () => {
    const dir = scratch();
    const first = await openTrail(dir);
    first.trail.outcome(members(1));
    await first.trail.close();
    const second = await openTrail(dir);
    second.trail.outcome(members(2));
    await second.trail.close();
    expect(types(second.file)).toEqual(["header", "exchange", "shutdown", "resume", "exchange", "shutdown"]);
    expect(records(second.file)[3]).toMatchObject({ clean: true });
    expect(await verifyFiles([second.file])).toMatchObject({ ok: true, notes: [] });
  });

  test("says that the run before did not end", async () => {
    const dir = scratch();
    const { trail, file } = await openTrail(dir);
    await trail.privileged({ type: "edge_started", facts: {} });
    const crashed = readFileSync(file);
    await trail.close();
    writeFileSync(file, crashed);
    const second = await openTrail(dir);
    await second.trail.close();
    expect(records(file)[2]).toMatchObject({ type: "resume", clean: false });
    const report = await verifyFiles([file]);
    expect(report.ok).toBe(true);
    expect(report.notes.join()).toContain("did not end with a shutdown");
  });

  test("sets a torn file aside and owns up to it in the next header", async () => {
    const dir = scratch();
    const first = await openTrail(dir);
    for (let n = 0; n < 3; n++) await first.trail.privileged({ type: "edge_started", facts: { n } });
    await first.trail.close();
    truncateSync(first.file, statSync(first.file).size - 20);
    const second = await openTrail(dir);
    await second.trail.close();
    const [archive, current] = auditFiles(dir);
    const torn = readFileSync(archive as string, "latin1")
      .split("\n")
      .at(-1)?.length;
    expect(basename(archive as string)).toBe("audit-000000000004.jsonl");
    expect(records(current as string)[0]).toMatchObject({
      type: "header",
      seq: 5,
      previous_file: "audit-000000000004.jsonl",
      torn_file: "audit-000000000004.jsonl",
      torn_bytes: torn,
      clean: false,
    });
    expect(await verifyFiles(auditFiles(dir))).toMatchObject({ ok: true });
    appendFileSync(archive as string, "x");
    expect(await verifyFiles(auditFiles(dir))).toMatchObject({ ok: false });
  });

  test("a file whose very header is torn goes on from the newest archive", async () => {
    const dir = scratch();
    const first = await openTrail(dir, { rotateBytes: 2000 });
    for (let n = 0; n < 20; n++) await first.trail.privileged({ type: "edge_started", facts: { n } });
    await first.trail.close();
    const archives = auditFiles(dir).length - 1;
    expect(archives).toBeGreaterThan(1);
    truncateSync(first.file, 30);
    const second = await openTrail(dir);
    await second.trail.close();
    expect(await verifyFiles(auditFiles(dir))).toMatchObject({ ok: true, problems: [] });
    expect(auditFiles(dir)).toHaveLength(archives + 2);
  });

  test("turns over by size; the next file names the one before and the chain runs through", async () => {
    const dir = scratch();
    const { trail, anchors } = await openTrail(dir, { rotateBytes: 20_000 });
    for (let n = 0; n < 1000; n++) trail.outcome(members(n));
    await trail.close();
    const files = auditFiles(dir);
    expect(files.length).toBeGreaterThan(5);
    for (const file of files) expect(statSync(file).size).toBeLessThanOrEqual(20_500);
    for (const [i, file] of files.entries()) {
      expect(statSync(file).mode & 0o777).toBe(0o600);
      expect(types(file).at(-1)).toBe(i === files.length - 1 ? "shutdown" : "rotated");
      if (i > 0) expect(records(file)[0]).toMatchObject({ previous_file: basename(files[i - 1] as string) });
    }
    const report = await verifyFiles([...files].reverse(), { expectClosed: true });
    expect(report).toMatchObject({ ok: true, notes: [] });
    expect(report.files.map(({ file }) => file)).toEqual(files);
    for (const { seq, hash } of anchors)
      expect(await verifyFiles(files, { expectSeq: seq, expectHash: hash })).toMatchObject({ ok: true });
  });

  test("goes on when the crash came between the renaming and the new file", async () => {
    const dir = scratch();
    const first = await openTrail(dir, { rotateBytes: 3000 });
    for (let n = 0; n < 30; n++) await first.trail.privileged({ type: "edge_started", facts: { n } });
    await first.trail.close();
    const gone = records(first.file).length;
    renameSync(first.file, join(dir, "taken-away"));
    const second = await openTrail(dir);
    await second.trail.close();
    expect(gone).toBeGreaterThan(0);
    const report = await verifyFiles(auditFiles(dir));
    expect(report.ok).toBe(true);
    expect(report.notes.join()).toContain("at this start the current file was missing");
  });

  test("one writer: a second one is refused with a next step, and the lock dies with its holder", async () => {
    const dir = scratch();
    const first = await openTrail(dir);
    await expect(openTrail(dir)).rejects.toThrow(/being written by another process: stop it, or give each process/);
    await first.trail.close();
    await openTrail(dir);
  });

  test("a lock that a dead process left is taken over", async () => {
    const dir = scratch();
    leaveLock(dir);
    const { trail } = await openTrail(dir);
    await trail.privileged({ type: "edge_started", facts: {} });
  });

  // Elsewhere there are no names that go with their process, and the last of several may win.
  test.runIf(process.platform === "linux")("by one, however many find it at once", async () => {
    for (let round = 0; round < 30; round++) {
      const dir = scratch();
      leaveLock(dir);
      const file = join(dir, "audit.jsonl");
      const locks = await Promise.allSettled(Array.from({ length: 3 }, () => lockForWriting(file)));
      const held = locks.flatMap((lock) => (lock.status === "fulfilled" ? [lock.value] : []));
      expect(held).toHaveLength(1);
      await held[0]?.release();
    }
  });

  test("refuses to start on a broken end, with a next step", async () => {
    const dir = scratch();
    const first = await openTrail(dir);
    for (let n = 0; n < 5; n++) await first.trail.privileged({ type: "edge_started", facts: { n } });
    await first.trail.close();
    const text = readFileSync(first.file, "latin1");
    writeFileSync(first.file, text.replace('"n":3', '"n":4'));
    await expect(openTrail(dir)).rejects.toThrow(
      /audit\.jsonl: record 5 was changed\. Run "postern audit verify .*move it away/,
    );
    const lines = text.split("\n");
    writeFileSync(first.file, [...lines.slice(0, 2), ...lines.slice(3)].join("\n"));
    await expect(openTrail(dir)).rejects.toThrow(/record 4 does not follow record 2/);
    writeFileSync(first.file, `${text}hello\n`);
    await expect(openTrail(dir)).rejects.toThrow(/is no record/);
    writeFileSync(first.file, text);
    await openTrail(dir);
  });

  test("a path that cannot be written is told with a next step", async () => {
    const dir = scratch();
    writeFileSync(join(dir, "file"), "");
    symlinkSync(join(dir, "file"), join(dir, "audit.jsonl"));
    const advice = "name a plain file in a directory that the edge may write to";
    await expect(openTrail(dir)).rejects.toThrow(`audit.jsonl cannot be opened (ELOOP): ${advice}`);
    await expect(openTrail(join(dir, "file"))).rejects.toThrow(
      /cannot be opened \((EEXIST|ENOTDIR)\): name a plain file/,
    );
    await expect(openTrail(dir, { file: dir })).rejects.toThrow(`${dir} is no regular file`);
    const disk = new FaultyDisk();
    disk.fault = enospc();
    const next = "cannot be written (audit: ENOSPC: no space left on device, write): make room, or name another file";
    await expect(openTrail(scratch(), { disk })).rejects.toThrow(next);
  });

  test("begins a new file when somebody moves the current one away", async () => {
    const dir = scratch();
    const { trail, file, alarms } = await openTrail(dir);
    await trail.privileged({ type: "edge_started", facts: {} });
    renameSync(file, join(dir, "moved.jsonl"));
    await eventually("alarm", () => alarms.some(({ kind }) => kind === "disturbed"));
    await trail.privileged({ type: "policy_loaded", facts: {} });
    await eventually("new file", () => existsSync(file));
    await trail.close();
    expect(types(join(dir, "moved.jsonl")).at(-1)).toBe("rotated");
    expect(await verifyFiles([file, join(dir, "moved.jsonl")])).toMatchObject({ ok: true });
  });

  test("tells when somebody else appends to the file", async () => {
    const { trail, file, alarms } = await openTrail(scratch());
    appendFileSync(file, "intruder\n");
    await eventually("alarm", () => alarms.some(({ kind }) => kind === "disturbed"));
    await trail.close();
    expect(await verifyFiles([file])).toMatchObject({ ok: false, problems: [{ line: 2 }] });
  });

  test("a session id is in no line; its mark follows from the header's salt", async () => {
    const { trail, file } = await openTrail(scratch());
    const mark = trail.sessionMark("acme", "very-private-session");
    expect(mark).toMatch(/^[0-9a-f]{16}$/);
    expect(trail.sessionMark("acme", "very-private-session")).toBe(mark);
    expect(trail.sessionMark("other", "very-private-session")).not.toBe(mark);
    expect(trail.sessionMark("acme", "")).toBe("");
    trail.outcome(`"session":"${mark}"`);
    await trail.close();
    expect(readFileSync(file, "latin1")).not.toContain("very-private");
    expect(sessionMark(String(records(file)[0]?.["salt"]), "acme", "very-private-session")).toBe(mark);
  });

  test("what comes after the end is counted, not thrown", async () => {
    const { trail, alarms } = await openTrail(scratch());
    await trail.close();
    trail.outcome(members(1));
    expect(trail.stats.lost).toBe(1);
    expect(alarms).toMatchObject([{ kind: "losing" }]);
    await expect(trail.privileged({ type: "edge_started", facts: {} })).rejects.toMatchObject({
      code: "audit_unavailable",
    });
  });
});
