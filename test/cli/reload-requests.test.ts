import { writeFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fingerprint } from "../../src/config/file-set.ts";
import { ReloadRequests } from "../../src/cli/reload-requests.ts";

/** What asks for a reload, and from when on until when. */

const logger = pino({ level: "silent" });
const patience = { timeout: 30_000, interval: 5 };

const signals: NodeJS.EventEmitter = process;

let directory = "";
let file = "";
let others = new Set<unknown>();
let requests: ReloadRequests;
let asked = 0;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-reload-"));
  file = join(directory, "postern.yaml");
  await writeFile(file, "one");
  others = new Set(signals.listeners("SIGHUP"));
  requests = new ReloadRequests();
  asked = 0;
});

afterEach(async () => {
  requests.close();
  for (const listener of signals.listeners("SIGHUP"))
    if (!others.has(listener)) signals.off("SIGHUP", listener as () => void);
  await rm(directory, { recursive: true, force: true });
});

function handTo(seen = fingerprint(file)): void {
  requests.handTo(() => asked++, { files: [file], seen: new Map([[file, seen]]) }, logger);
}

describe("SIGHUP", () => {
  test("that came before there was anything to reload asks once there is", () => {
    signals.emit("SIGHUP", "SIGHUP");
    signals.emit("SIGHUP", "SIGHUP");
    expect(asked).toBe(0);
    handTo();
    expect(asked).toBe(1);
  });

  test("asks each time from then on, and no more after the end", () => {
    handTo();
    expect(asked).toBe(0);
    signals.emit("SIGHUP", "SIGHUP");
    signals.emit("SIGHUP", "SIGHUP");
    requests.close();
    signals.emit("SIGHUP", "SIGHUP");
    expect(asked).toBe(2);
  });
});

describe("a changed file", () => {
  test("asks, also when it was changed after it was read and before it was watched", async () => {
    handTo("what it looked like when it was read");
    await expect.poll(() => asked, patience).toBe(1);
    // In one step, which is one change.
    writeFileSync(file, "two");
    await expect.poll(() => asked, patience).toBe(2);
  });

  test("that only a later config depends on asks as well", async () => {
    handTo();
    const later = join(directory, "later.pem");
    requests.follow({ files: [file, later], seen: new Map([[later, "what it looked like"]]) });
    await expect.poll(() => asked, patience).toBe(1);
  });
});
