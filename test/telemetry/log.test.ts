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
  test("one canonical line an exchange, on one stream and in one shape with diagnostics", () => {
    const { log, lines } = open("info");
    log.logger.info({ port: 3128 }, "listening");
    log.exchange(recordMembers(exchangeRecord(), "mark"), false);
    log.exchange(recordMembers(exchangeRecord({ denial: "path_not_allowed" }), "mark"), true);
    log.close();
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
  ] as const)("level %s", (level, expected) => {
    const { log, lines } = open(level);
    log.exchange(recordMembers(exchangeRecord(), ""), false);
    log.exchange(recordMembers(exchangeRecord({ denial: "path_not_allowed" }), ""), true);
    log.close();
    expect(lines().map((line) => line["level"])).toEqual(expected);
  });

  test("lines of exchanges reach the reader without anybody closing the log", async () => {
    const { log, lines } = open("info");
    log.exchange(recordMembers(exchangeRecord(), ""), false);
    for (let tries = 0; tries < 500 && lines().length === 0; tries++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(lines()).toHaveLength(1);
    log.close();
  });

  test("a secret in a diagnostic does not print", () => {
    const { log, lines } = open("info");
    log.logger.warn({ token: Secret.of("hunter2") }, "careless");
    log.close();
    expect(lines()[0]).toMatchObject({ token: "[secret]" });
  });
});
