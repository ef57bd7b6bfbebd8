import { join } from "node:path";
import { expect, test } from "vitest";
import { bareEnv, run } from "../house/support/run.ts";

/** What Node cannot bear of an upstream ends the process, and with it the edge of every guest: its assertions are not met. */

const CHILD = join(import.meta.dirname, "support/ends-child.ts");

test.each([
  ["a refused answer that ends its stream, whose trailers are still to be sent", "answered", /^upstream_protocol$/],
  ["a goodbye that cancels a stream, whose trailers are still to be sent", "dismissed", /^upstream_unreachable$/],
  ["a head that never ends, and memory that is collected", "collected", /^upstream_protocol$/],
  ["a head that never ends, and a body that nobody reads", "unread", /^upstream_timeout$/],
  // A machine that has no time for the end lets the deadline come first.
  ["the same, and the end of the connection", "dropped", /^upstream_unreachable( upstream_timeout)?$/],
])("lives on after %s", async (_name, story, denials) => {
  const ended = await run(process.execPath, ["--expose-gc", CHILD, story], { env: bareEnv(), timeoutMs: 50_000 });
  expect(ended).toMatchObject({ code: 0, stdout: expect.stringMatching(denials) });
});
