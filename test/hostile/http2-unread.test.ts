import { join } from "node:path";
import { expect, test } from "vitest";
import { bareEnv, run } from "../house/support/run.ts";

/** What Node cannot bear of a guest ends the process, and with it every other guest: its assertions are not met, and nothing is kept. */

const CHILD = join(import.meta.dirname, "support/unread-child.ts");

test.each([
  ["read nothing and leave a head unfinished", "unfinished"],
  ["leave in the middle of a download", "download"],
  ["read nothing and are cut for a flood", "flood"],
  ["never acknowledge SETTINGS", "unsettled"],
])("guests that %s cost nobody else anything, and leave nothing behind", async (_, story) => {
  const ended = await run(process.execPath, ["--expose-gc", CHILD, story], { env: bareEnv(), timeoutMs: 50_000 });
  expect(ended).toMatchObject({ code: 0, stdout: "served; of all sessions none left" });
});
