import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AuditRecordType,
  DOMAIN_TAG,
  GENESIS,
  MAX_LINE_BYTES,
  parseLine,
  readLine,
  sealLine as sealBytes,
} from "../../src/audit/line.ts";

/** The line as text. */
function sealLine(seq: number, prev: string, type: AuditRecordType, members: string): { line: string; hash: string } {
  const { line, hash } = sealBytes(seq, prev, type, members);
  return { line: line.toString("latin1"), hash };
}

describe("audit line", () => {
  const members = '"time":"2027-01-15T08:00:00.000Z","id":"e1"';

  test("is the record, its hash over tag and stored bytes, and LF", () => {
    const { line, hash } = sealLine(7, GENESIS, "exchange", members);
    const before = `{"seq":7,"prev":"${GENESIS}","type":"exchange",${members}`;
    expect(line).toBe(`${before},"hash":"${hash}"}\n`);
    expect(hash).toBe(
      createHash("sha256")
        .update(DOMAIN_TAG + before)
        .digest("hex"),
    );
    expect(readLine(Buffer.from(line))).toEqual({ seq: 7, prev: GENESIS, type: "exchange", hash, intact: true });
    expect(parseLine(Buffer.from(line))).toEqual({
      seq: 7,
      prev: GENESIS,
      type: "exchange",
      time: "2027-01-15T08:00:00.000Z",
      id: "e1",
      hash,
    });
  });

  test("the first hash is pinned: the format does not drift", () => {
    expect(sealLine(1, GENESIS, "header", '"format":"postern-audit-v1"').hash).toBe(
      createHash("sha256")
        .update(`postern-audit-v1\n{"seq":1,"prev":"${"0".repeat(64)}","type":"header","format":"postern-audit-v1"`)
        .digest("hex"),
    );
  });

  test("lines of any length are sealed right, one after the other", () => {
    for (const length of [0, 1, 4000, 4096, 9000, 200_000, 10]) {
      const { line, hash } = sealLine(3, GENESIS, "exchange", `"id":"${"y".repeat(length)}"`);
      expect(line).toBe(
        `{"seq":3,"prev":"${GENESIS}","type":"exchange","id":"${"y".repeat(length)}","hash":"${hash}"}\n`,
      );
      expect(readLine(Buffer.from(line))?.intact).toBe(true);
    }
  });

  test("any single byte change is seen", () => {
    const { line } = sealLine(12, "ab".repeat(32), "exchange", `${members},"path":"/a?b\\u00e4"`);
    const bytes = Buffer.from(line, "latin1");
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (offset, flip) => {
        const changed = Buffer.from(bytes);
        changed[offset] = (changed[offset] as number) ^ flip;
        return readLine(changed)?.intact !== true;
      }),
      { numRuns: 20_000 },
    );
  });

  test.each([
    ["empty", "\n"],
    ["no record", "hello\n"],
    ["no hash", '{"seq":1}\n'],
    ["sequence from 0", sealLine(0, GENESIS, "header", members).line],
    ["hash in capitals", sealLine(1, GENESIS, "header", members).line.replace(/[a-f](?=[0-9a-f]*"}\n$)/, "A")],
    ["CRLF", sealLine(1, GENESIS, "header", members).line.replace("\n", "\r\n")],
    ["too long", sealLine(1, GENESIS, "header", `"id":"${"x".repeat(MAX_LINE_BYTES)}"`).line],
  ])("%s is no record", (_name, line) => {
    expect(readLine(Buffer.from(line, "latin1"))).toBeNull();
  });
});
