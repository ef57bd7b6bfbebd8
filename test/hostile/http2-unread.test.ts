import { join } from "node:path";
import { expect, test } from "vitest";
import { bareEnv, run } from "../house/support/run.ts";

/** What Node cannot bear of a guest ends the process, and with it every other guest: its assertions are not met. */

const CHILD = join(import.meta.dirname, "support/unread-child.ts");

test("guests that read nothing and leave a head unfinished cost nobody else anything", async () => {
  const ended = await run(process.execPath, ["--expose-gc", CHILD], { env: bareEnv(), timeoutMs: 50_000 });
  expect(ended).toMatchObject({ code: 0, stdout: "served" });
});
