import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { verifyFiles } from "../../src/audit/verify.ts";
import { auditFiles, openTrail, records, scratch } from "./fixture.ts";

const WRITER = fileURLToPath(new URL("./crash-writer.ts", import.meta.url));

/** Lets a process write for a while and kills it. @returns numbers of the events that it was told are durable */
async function writeAndDie(file: string, afterAcks: number): Promise<number[]> {
  const child = spawn(process.execPath, [WRITER, file], { stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    out += String(text);
    if (out.split("\n").length > afterAcks) child.kill("SIGKILL");
  });
  await new Promise((resolve) => child.once("close", resolve));
  return out.split("\n").slice(0, -1).map(Number);
}

describe("a writer that is killed", () => {
  test("the chain goes on after each crash, and no event that was acknowledged is missing", async () => {
    const dir = scratch();
    const file = join(dir, "audit.jsonl");
    const acknowledged: number[] = [];
    for (let run = 1; run <= 3; run++) {
      const acks = await writeAndDie(file, run * 7);
      expect(acks.length).toBeGreaterThanOrEqual(run * 7);
      acknowledged.push(...acks);
    }
    const { trail } = await openTrail(dir);
    await trail.close();
    const report = await verifyFiles(auditFiles(dir), { expectClosed: true });
    expect(report.problems).toEqual([]);
    const kept = new Set(
      auditFiles(dir)
        .flatMap((one) => records(one))
        .map(({ event }) => event),
    );
    expect(acknowledged.filter((event) => !kept.has(event))).toEqual([]);
  });
});
