import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openState, type State } from "../../src/cli/custody/state.ts";
import { Undo } from "../../src/cli/undo.ts";
import { realClock } from "./support/clocks.ts";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-state-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const moduleAt = (path: string): string => pathToFileURL(join(import.meta.dirname, "../..", path)).href;

/** Opens the state in a process of its own and dies with it open. */
async function ownerThatDies(path: string): Promise<void> {
  const script = `
    const { openState } = await import(${JSON.stringify(moduleAt("src/cli/custody/state.ts"))});
    const { Undo } = await import(${JSON.stringify(moduleAt("src/cli/undo.ts"))});
    const clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };
    const { randomBytes } = await import("node:crypto");
    await openState(${JSON.stringify(path)}, { clock, randomBytes }, new Undo());
    console.log("open");
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "exit");
}

test("of several custodies that start at once after one was killed, one has the state", async () => {
  const path = join(directory, "custody.state");
  await ownerThatDies(path);
  const options = { clock: realClock, randomBytes };
  const starts = await Promise.allSettled(Array.from({ length: 4 }, () => openState(path, options, new Undo())));
  const open = starts.flatMap((start): State[] => (start.status === "fulfilled" ? [start.value] : []));
  expect(open).toHaveLength(1);
  const refused = starts.flatMap((start): unknown[] => (start.status === "rejected" ? [start.reason] : []));
  expect(refused.map(String)).toEqual(
    Array.from({ length: 3 }, () => expect.stringMatching(/^Error: state: ".*" is owned by another custody: stop it/)),
  );
  for (const one of open) await one.close();
  await (await openState(path, options, new Undo())).close();
});
