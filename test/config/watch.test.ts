import {
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fingerprint } from "../../src/config/file-set.ts";
import { type ConfigWatch, watchConfig } from "../../src/config/watch.ts";

/** Real files, real events. Every wait ends with the event that is waited for; no test measures time. */

/** Longer than any test: only events make the watch look. */
const NEVER_MS = 3_600_000;

let dir = "";
let changes = 0;
let watches: ConfigWatch[] = [];

beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), "postern-watch-")));
  changes = 0;
  watches = [];
});

afterEach(() => {
  for (const watch of watches) watch.close();
  rmSync(dir, { recursive: true });
});

function watching(files: readonly string[], pollMs = NEVER_MS): ConfigWatch {
  const watch = watchConfig(files, () => changes++, { settleMs: 20, pollMs });
  watches.push(watch);
  return watch;
}

async function changed(): Promise<void> {
  await vi.waitFor(() => expect(changes).toBeGreaterThan(0), { timeout: 30_000, interval: 10 });
  // Further events of the same step, if any, belong to it.
  await sleep(100);
  changes = 0;
}

test("a file that is written in place", async () => {
  const file = join(dir, "edge.yaml");
  writeFileSync(file, "a");
  watching([file]);
  writeFileSync(file, "b");
  await changed();
  writeFileSync(file, "c");
  await changed();
});

test("a file that is renamed over, twice, as editors do", async () => {
  const file = join(dir, "edge.yaml");
  writeFileSync(file, "a");
  watching([file]);
  for (const text of ["b", "c"]) {
    writeFileSync(join(dir, ".edge.yaml.swp"), text);
    renameSync(join(dir, ".edge.yaml.swp"), file);
    await changed();
  }
});

test("a file that is made, removed and made again", async () => {
  const file = join(dir, "edge.yaml");
  watching([file]);
  writeFileSync(file, "a");
  await changed();
  unlinkSync(file);
  await changed();
  writeFileSync(file, "a");
  await changed();
});

test("a Kubernetes volume: the link to the data directory is swapped", async () => {
  const generation = (name: string, text: string): void => {
    mkdirSync(join(dir, name));
    writeFileSync(join(dir, name, "edge.yaml"), text);
    symlinkSync(name, join(dir, "..data_tmp"));
    renameSync(join(dir, "..data_tmp"), join(dir, "..data"));
  };
  generation("..1", "a");
  symlinkSync("..data/edge.yaml", join(dir, "edge.yaml"));
  watching([join(dir, "edge.yaml")]);
  generation("..2", "b");
  await changed();
  rmSync(join(dir, "..1"), { recursive: true });
  generation("..3", "c");
  await changed();
});

test("a file behind a link is written in place where it really is", async () => {
  mkdirSync(join(dir, "real"));
  writeFileSync(join(dir, "real/edge.yaml"), "a");
  mkdirSync(join(dir, "etc"));
  symlinkSync("../real/edge.yaml", join(dir, "etc/edge.yaml"));
  watching([join(dir, "etc/edge.yaml")]);
  writeFileSync(join(dir, "real/edge.yaml"), "b");
  await changed();
});

test("any of several files; those of `follow` from then on", async () => {
  const [first = "", second = "", third = ""] = ["a", "b", "c"].map((name) => join(dir, name));
  const watch = watching([first, second]);
  writeFileSync(second, "1");
  await changed();
  watch.follow([first, third]);
  writeFileSync(third, "1");
  await changed();
  // The second is no longer followed: only the first is told.
  writeFileSync(second, "2");
  await sleep(200);
  expect(changes).toBe(0);
  writeFileSync(first, "1");
  await changed();
});

test("a change between reading and `follow` is not missed", async () => {
  const file = join(dir, "edge.yaml");
  writeFileSync(file, "a");
  const watch = watching([file]);
  writeFileSync(file, "b");
  watch.follow([file]);
  await changed();
});

test("a file that has changed since it was read, before it was ever followed", async () => {
  const [old = "", fresh = ""] = ["a", "b"].map((name) => join(dir, name));
  writeFileSync(fresh, "a");
  const seen = new Map([[fresh, fingerprint(fresh)]]);
  const watch = watching([old]);
  writeFileSync(fresh, "b, longer");
  watch.follow([old, fresh], seen);
  await changed();
});

test("a neighbour's change is nobody's", async () => {
  const file = join(dir, "edge.yaml");
  writeFileSync(file, "a");
  watching([file]);
  writeFileSync(join(dir, "other"), "x");
  await sleep(200);
  expect(changes).toBe(0);
});

test("a directory that does not exist yet is looked for", async () => {
  const file = join(dir, "later/edge.yaml");
  watching([file], 20);
  mkdirSync(join(dir, "later"));
  writeFileSync(file, "a");
  await changed();
});

test("a chain of links sends no event to either end, and is looked at all the same", async () => {
  for (const name of ["a", "b", "c1", "c2"]) mkdirSync(join(dir, name));
  writeFileSync(join(dir, "c1/edge.yaml"), "1");
  writeFileSync(join(dir, "c2/edge.yaml"), "2");
  symlinkSync("../c1/edge.yaml", join(dir, "b/edge.yaml"));
  symlinkSync("../b/edge.yaml", join(dir, "a/edge.yaml"));
  watching([join(dir, "a/edge.yaml")], 20);
  symlinkSync("../c2/edge.yaml", join(dir, "b/next"));
  renameSync(join(dir, "b/next"), join(dir, "b/edge.yaml"));
  await changed();
});

test("nothing is told after `close`", async () => {
  const file = join(dir, "edge.yaml");
  writeFileSync(file, "a");
  const watch = watching([file], 20);
  writeFileSync(file, "b");
  watch.close();
  await sleep(200);
  expect(changes).toBe(0);
});
