import { chmod, mkdtemp, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fileIdentity } from "../../src/core/file-identity.ts";
import { FileWatch } from "../../src/custody/file-watch.ts";

/** What counts as a change of a file that holds a credential, and what does not. */

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-file-watch-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** Looks only when the test says so. */
async function watching(...names: string[]) {
  const changes: string[] = [];
  const watch = new FileWatch({
    pollMs: 3_600_000,
    onChange: (path) => {
      changes.push(path.slice(directory.length + 1));
    },
  });
  // One behind the other: a look that begins while one runs is none.
  const look = watch.look.bind(watch);
  let looking = Promise.resolve();
  watch.look = () => (looking = looking.then(look));
  watch.follow(names.map((name) => join(directory, name)));
  await watch.look();
  return { watch, changes };
}

const put = (name: string, text: string) => writeFile(join(directory, name), text, { mode: 0o600 });

test("rotated, written in place, opened to others, removed and back are changes; a look alone is none", async () => {
  await put("a", "one");
  await put("b", "one");
  const { watch, changes } = await watching("a", "b");
  const after = async (change: Promise<unknown>): Promise<string[]> => {
    await change;
    await watch.look();
    await watch.look();
    return changes.splice(0);
  };
  expect(await after(Promise.resolve())).toEqual([]);
  await put("a.new", "one");
  expect(await after(rename(join(directory, "a.new"), join(directory, "a")))).toEqual(["a"]);
  expect(await after(put("a", "two"))).toEqual(["a"]);
  expect(await after(chmod(join(directory, "b"), 0o644))).toEqual(["b"]);
  expect(await after(rm(join(directory, "a")))).toEqual(["a"]);
  expect(await after(put("a", "two"))).toEqual(["a"]);
  expect(watch.revision).toBe(5);
  watch.close();
});

test("a link that leads elsewhere now, as Kubernetes swaps a mounted secret", async () => {
  await put("v1", "one");
  await put("v2", "two");
  await symlink("v1", join(directory, "data"));
  await symlink("data", join(directory, "token"));
  const { watch, changes } = await watching("token");
  await symlink("v2", join(directory, "data.new"));
  await rename(join(directory, "data.new"), join(directory, "data"));
  await watch.look();
  expect(changes).toEqual(["token"]);
  watch.close();
});

test("other files from now on: what was seen of those that stay is kept", async () => {
  await put("x", "one");
  await put("y", "one");
  const { watch, changes } = await watching("x");
  await put("x", "other");
  watch.follow([join(directory, "x"), join(directory, "y")]);
  await watch.look();
  expect(changes).toEqual(["x"]);
  watch.follow([]);
  await put("y", "other");
  await watch.look();
  expect(changes).toEqual(["x"]);
  watch.close();
});

test("what this process wrote itself is no change, unless somebody else changed it before", async () => {
  const path = join(directory, "own");
  await put("own", "one");
  const { watch, changes } = await watching("own");
  const identity = async () => fileIdentity(await stat(path, { bigint: true }));
  const before = await identity();
  await put("own", "two");
  watch.accept(path, before, await identity());
  await watch.look();
  expect([changes, watch.revision]).toEqual([[], 0]);
  await put("own", "somebody else");
  const unseen = await identity();
  await put("own", "three");
  watch.accept(path, unseen, await identity());
  await watch.look();
  expect([changes, watch.revision]).toEqual([["own"], 1]);
  await rm(path);
  await watch.look();
  await put("own", "made");
  watch.accept(path, null, await identity());
  await watch.look();
  expect(changes).toEqual(["own", "own"]);
  watch.accept("not followed", null, "1");
  watch.close();
});
