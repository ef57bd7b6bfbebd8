import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCustody } from "../house/support/custody.ts";

/** `kill -9` at any moment: what was answered is there after the restart, and the file can be read. */

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-crash-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const operators = () => join(directory, "operators.sock");
const start = () =>
  startCustody({
    credentials: [{ name: "key", kind: "token", source: { env: "ROOT" }, hosts: ["api.example.com:443"] }],
    env: { ROOT: "root-of-the-crash" },
    directory,
    config: { operators: { address: `unix:${operators()}` } },
  });

/** @returns the JSON of a 200, or `null` for whatever else becomes of it */
function ask(method: string, path: string, body?: unknown): Promise<Record<string, unknown> | null> {
  const { promise, resolve } = Promise.withResolvers<Record<string, unknown> | null>();
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const call = request({ socketPath: operators(), method, path, headers, agent: false }, (response) => {
    let text = "";
    response.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")));
    response.on("error", () => resolve(null));
    response.on("close", () => {
      // Cut off by the kill: then nothing was answered.
      resolve(response.complete && response.statusCode === 200 ? (JSON.parse(text) as Record<string, unknown>) : null);
    });
  });
  call.on("error", () => resolve(null));
  call.end(body === undefined ? undefined : JSON.stringify(body));
  return promise;
}

test("nothing that was answered is lost", async () => {
  const inForce = new Set<string>();
  /** Asked to be lifted without an answer: may be either. */
  const inDoubt = new Set<string>();
  let made = 0;
  for (let round = 0; round < 6; round++) {
    const custody = await start();
    const listed = ((await ask("GET", "/v1/revocations?limit=1000"))?.["revocations"] ?? []) as {
      readonly id: string;
    }[];
    const ids = new Set(listed.map(({ id }) => id));
    for (const id of inForce) if (!inDoubt.has(id)) expect(ids).toContain(id);
    const running = new AbortController();
    const busy = Promise.all(
      Array.from({ length: 4 }, async (_, i) => {
        while (!running.signal.aborted) {
          const revoked = await ask("POST", "/v1/revocations", {
            scope: "session",
            value: `s${made++}`,
            reason: "crash",
          });
          const id = revoked?.["id"];
          if (typeof id !== "string") return;
          inForce.add(id);
          if (i > 0) continue;
          inDoubt.add(id);
          if ((await ask("DELETE", `/v1/revocations/${id}`)) === null) return;
          inForce.delete(id);
          inDoubt.delete(id);
        }
      }),
    );
    const after = inForce.size + 3 * round + 2;
    await expect.poll(() => inForce.size, { interval: 1 }).toBeGreaterThanOrEqual(after);
    custody.process.signal("SIGKILL");
    await custody.process.exited();
    running.abort();
    await busy;
  }
  const custody = await start();
  const total = (await ask("GET", "/v1/revocations"))?.["total"];
  expect(total).toBeGreaterThanOrEqual(inForce.size - inDoubt.size);
  await custody.stop();
}, 120_000);
