import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { recordMembers } from "../../src/core/record-json.ts";
import { Secret } from "../../src/core/secret.ts";
import { Log, type LogOptions } from "../../src/telemetry/log.ts";
import { exchangeRecord } from "./record.ts";

const clock = { monotonicMs: () => 0, wallMs: () => 1_800_000_000_000 };

function open(level: LogOptions["level"]): { log: Log; lines: () => Record<string, unknown>[] } {
  const dir = mkdtempSync(join(tmpdir(), "postern-log-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, "log");
  const log = new Log({ level, clock, destination: file, base: { instance: "edge-1" } });
  return {
    log,
    lines: () =>
      readFileSync(file, "utf8")
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

describe("log", () => {
  test("one canonical line an exchange, on one stream and in one shape with diagnostics", async () => {
    const { log, lines } = open("info");
    log.logger.info({ port: 3128 }, "listening");
    log.exchange(recordMembers(exchangeRecord(), "mark"), false);
    log.exchange(recordMembers(exchangeRecord({ denial: "path_not_allowed" }), "mark"), true);
    await log.close();
    const time = "2027-01-15T08:00:00.000Z";
    const found = lines().sort((a, b) => String(a["msg"]).localeCompare(String(b["msg"])));
    expect(found[2]).toEqual({ level: "info", time, instance: "edge-1", port: 3128, msg: "listening" });
    expect(found[0]).toMatchObject({
      level: "info",
      id: "b00t-1",
      session: "mark",
      decision: "allow",
      msg: "exchange",
    });
    expect(found[1]).toMatchObject({ level: "warn", denial: "path_not_allowed", msg: "exchange" });
  });

  test.each([
    ["warn", ["warn"]],
    ["error", []],
    ["silent", []],
  ] as const)("level %s", async (level, expected) => {
    const { log, lines } = open(level);
    log.exchange(recordMembers(exchangeRecord(), ""), false);
    log.exchange(recordMembers(exchangeRecord({ denial: "path_not_allowed" }), ""), true);
    await log.close();
    expect(lines().map((line) => line["level"])).toEqual(expected);
  });

  test("lines of exchanges reach the reader without anybody closing the log", async () => {
    const { log, lines } = open("info");
    log.exchange(recordMembers(exchangeRecord(), ""), false);
    await expect.poll(lines).toHaveLength(1);
    await log.close();
  });

  test("a secret in a diagnostic does not print", async () => {
    const { log, lines } = open("info");
    log.logger.warn({ token: Secret.of("hunter2") }, "careless");
    await log.close();
    expect(lines()[0]).toMatchObject({ token: "[secret]" });
  });

  test("a disk that is full drops lines and keeps nobody from ending", async () => {
    const log = new Log({ level: "info", clock, destination: "/dev/full" });
    const line = recordMembers(exchangeRecord({ path: `/${"x".repeat(2000)}` }), "");
    for (let i = 0; i < 10_000; i++) {
      log.exchange(line, false);
      // The stream meets the failure between two of these turns, more than once.
      if (i % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(log.dropped).toBeGreaterThan(0);
    await log.close();
    log.logger.info("after the end");
  });
});
