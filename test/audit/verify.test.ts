import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sealLine } from "../../src/audit/line.ts";
import { verifyFiles, type VerifyReport } from "../../src/audit/verify.ts";
import { auditFiles, openTrail, records, scratch } from "./fixture.ts";

/** A chain over several files, and what every manipulation of it is measured against. */
async function chain(dir: string, count = 60): Promise<string[]> {
  const { trail } = await openTrail(dir, { rotateBytes: 6000 });
  for (let n = 0; n < count; n++) trail.outcome(`"time":"2027-01-15T08:00:00.000Z","id":"e${n}","path":"/v1/${n}"`);
  await trail.close();
  return auditFiles(dir);
}

const linesOf = (file: string): string[] => readFileSync(file, "latin1").split("\n").slice(0, -1);
const write = (file: string, lines: readonly string[]): void => {
  writeFileSync(file, lines.map((line) => `${line}\n`).join(""), "latin1");
};

async function expectBroken(files: readonly string[], file: string, line: number, what: RegExp): Promise<VerifyReport> {
  const report = await verifyFiles(files);
  expect(report.ok).toBe(false);
  expect(report.problems.map((problem) => [basename(problem.file), problem.line])).toContainEqual([
    basename(file),
    line,
  ]);
  expect(report.problems.map((problem) => problem.what).join("\n")).toMatch(what);
  return report;
}

describe("what a chain shows", () => {
  test("nothing, when nothing was done to it", async () => {
    const files = await chain(scratch());
    expect(files.length).toBeGreaterThanOrEqual(3);
    expect(await verifyFiles(files, { expectClosed: true })).toMatchObject({ ok: true, problems: [], notes: [] });
  });

  test("an edited value", async () => {
    const files = await chain(scratch());
    const file = files[1] as string;
    const lines = linesOf(file);
    write(file, lines.with(3, (lines[3] as string).replace("/v1/", "/v2/")));
    const report = await expectBroken(files, file, 4, /record \d+ was changed/);
    expect(report.problems).toHaveLength(1);
  });

  test("an edited record with a hash made to fit", async () => {
    const files = await chain(scratch());
    const file = files[1] as string;
    const lines = linesOf(file);
    const { seq, prev } = records(file)[3] as { seq: number; prev: string };
    write(file, lines.with(3, sealLine(seq, prev, "exchange", '"id":"forged"').line.toString("latin1").trimEnd()));
    await expectBroken(files, file, 5, /does not name the record before it/);
  });

  test("a record cut from the middle", async () => {
    const files = await chain(scratch());
    const file = files[1] as string;
    write(file, linesOf(file).toSpliced(4, 2));
    await expectBroken(files, file, 5, /records \d+ to \d+ are missing/);
  });

  test("the start of a file cut off", async () => {
    const files = await chain(scratch());
    write(files[0] as string, linesOf(files[0] as string).slice(3));
    await expectBroken(files, files[0] as string, 1, /instead of its header: its start was cut/);
  });

  test("the end of a file cut off that another follows", async () => {
    const files = await chain(scratch());
    write(files[0] as string, linesOf(files[0] as string).slice(0, -2));
    await expectBroken(files, files[1] as string, 1, /are missing/);
  });

  test("two records swapped", async () => {
    const files = await chain(scratch());
    const file = files[0] as string;
    const lines = linesOf(file);
    write(file, lines.with(2, lines[3] as string).with(3, lines[2] as string));
    await expectBroken(files, file, 4, /moved, repeated or spliced/);
  });

  test("a record said twice", async () => {
    const files = await chain(scratch());
    const file = files[0] as string;
    write(file, linesOf(file).toSpliced(5, 0, linesOf(file)[4] as string));
    await expectBroken(files, file, 6, /comes after record/);
  });

  test("records of another file spliced in", async () => {
    const files = await chain(scratch());
    const [a, b] = files as [string, string];
    write(a, linesOf(a).toSpliced(4, 1, linesOf(b)[4] as string));
    await expectBroken(files, a, 5, /are missing before it/);
  });

  test("records of another chain with the same numbers spliced in", async () => {
    const files = await chain(scratch());
    const other = await chain(scratch());
    const file = files[0] as string;
    write(file, linesOf(file).with(4, linesOf(other[0] as string)[4] as string));
    await expectBroken(files, file, 5, /does not name the record before it/);
  });

  test("a whole file of another chain put in", async () => {
    const files = await chain(scratch());
    const other = await chain(scratch());
    copyFileSync(other[1] as string, files[1] as string);
    await expectBroken(files, files[1] as string, 1, /does not name the record before it/);
  });

  test("a file left out", async () => {
    const files = await chain(scratch());
    await expectBroken(files.toSpliced(1, 1), files[2] as string, 1, /are missing/);
  });

  test("a file given twice", async () => {
    const files = await chain(scratch());
    await expectBroken([...files, files[1] as string], files[1] as string, 1, /moved, repeated or spliced/);
  });

  test("two files joined into one", async () => {
    const dir = scratch();
    const [a, b] = (await chain(dir)) as [string, string];
    const joined = join(dir, "joined");
    write(joined, [...linesOf(a), ...linesOf(b)]);
    await expectBroken([joined], joined, linesOf(a).length + 1, /a header stands in the middle/);
  });

  test("a line without end, a foreign line, an empty file", async () => {
    const files = await chain(scratch());
    const last = files.at(-1) as string;
    const text = readFileSync(last, "latin1");
    writeFileSync(last, text.slice(0, -5));
    await expectBroken(files, last, 0, /unfinished line/);
    writeFileSync(last, `${text}{"seq":1}\n`);
    await expectBroken(files, last, linesOf(last).length, /not a record of this format/);
    writeFileSync(last, "");
    await expectBroken(files, last, 0, /is empty/);
    writeFileSync(last, "x".repeat(3_000_000));
    await expectBroken(files, last, 1, /not a record of this format/);
  });

  test("the newest records cut off: only a head that was kept elsewhere shows it", async () => {
    const files = await chain(scratch());
    const last = files.at(-1) as string;
    const all = records(last);
    const anchor = all.at(-2) as { seq: number; hash: string };
    write(last, linesOf(last).slice(0, -3));
    const plain = await verifyFiles(files);
    expect(plain.ok).toBe(true);
    expect(plain.notes.join()).toMatch(/open end at record \d+: still written, crashed, or cut after it/);
    for (const options of [
      { expectSeq: anchor.seq },
      { expectHash: anchor.hash },
      { expectSeq: anchor.seq, expectHash: anchor.hash },
      { expectClosed: true },
    ])
      expect(await verifyFiles(files, options)).toMatchObject({ ok: false });
    const kept = records(last).at(-1) as { seq: number; hash: string };
    expect(await verifyFiles(files, { expectSeq: kept.seq, expectHash: kept.hash })).toMatchObject({ ok: true });
    expect(await verifyFiles(files, { expectSeq: kept.seq, expectHash: anchor.hash })).toMatchObject({ ok: false });
  });

  test("older files left out is a note, not a break", async () => {
    const files = await chain(scratch());
    const report = await verifyFiles(files.slice(1));
    expect(report.ok).toBe(true);
    expect(report.notes.join()).toMatch(/goes on from record \d+ of an earlier file/);
  });
});

describe("properties", () => {
  test("any single byte change, in any file, is found", async () => {
    const files = await chain(scratch(), 14);
    const original = files.map((file) => readFileSync(file));
    const place = fc.integer({ min: 0, max: files.length - 1 }).chain((index) =>
      fc.record({
        index: fc.constant(index),
        offset: fc.nat({ max: (original[index] as Buffer).length - 1 }),
        flip: fc.integer({ min: 1, max: 255 }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(place, async ({ index, offset, flip }) => {
        const bytes = Buffer.from(original[index] as Buffer);
        bytes[offset] = (bytes[offset] as number) ^ flip;
        writeFileSync(files[index] as string, bytes);
        const { ok } = await verifyFiles(files);
        writeFileSync(files[index] as string, original[index] as Buffer);
        return !ok;
      }),
      { numRuns: 250 },
    );
    expect(await verifyFiles(files)).toMatchObject({ ok: true });
  });

  test("any run of bytes cut out or put in, but for whole records at the very end, is found", async () => {
    const files = await chain(scratch(), 12);
    const last = files.at(-1) as string;
    const bytes = readFileSync(last);
    const edit = fc.record({
      offset: fc.nat({ max: bytes.length - 1 }),
      cut: fc.nat({ max: 800 }),
      put: fc.string({ maxLength: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(edit, async ({ offset, cut, put }) => {
        const changed = Buffer.concat([
          bytes.subarray(0, offset),
          Buffer.from(put),
          bytes.subarray(Math.min(bytes.length, offset + cut)),
        ]);
        const isWholeEnd = bytes.subarray(0, changed.length).equals(changed) && changed.at(-1) === 0x0a;
        fc.pre(!changed.equals(bytes) && !isWholeEnd);
        writeFileSync(last, changed);
        return !(await verifyFiles(files)).ok;
      }),
      { numRuns: 150 },
    );
  });
});
