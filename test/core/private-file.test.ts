import { describe, expect, test } from "vitest";
import { exposureOf } from "../../src/core/private-file.ts";

/** Which modes make a secret everybody's, and the one way in which a group may read it. */

const POD = { uid: 10_001, groups: new Set([10_001, 2_000]) };
const ROOT = { uid: 0, groups: new Set([0]) };

describe("a file of root that its group may read", () => {
  test.each([
    [0o440, "as Kubernetes mounts secrets for an fsGroup"],
    [0o640, "as Debian keeps keys for ssl-cert"],
    [0o040, "of which root took its own bit"],
  ])("mode %o, %s, is private to a process in that group", (mode) => {
    expect(exposureOf({ mode, uid: 0, gid: 2_000 }, POD)).toBe("nobody");
  });

  test.each([
    ["another group", { mode: 0o440, uid: 0, gid: 2_001 }, POD],
    ["another owner", { mode: 0o440, uid: 10_002, gid: 2_000 }, POD],
    ["its own file", { mode: 0o440, uid: 10_001, gid: 2_000 }, POD],
    ["a process that is root", { mode: 0o440, uid: 0, gid: 0 }, ROOT],
    ["a group that may write", { mode: 0o460, uid: 0, gid: 2_000 }, POD],
    ["a group that may execute", { mode: 0o450, uid: 0, gid: 2_000 }, POD],
  ])("not so: %s", (_, file, reader) => {
    expect(exposureOf(file, reader)).toBe("group");
  });

  test.each([0o444, 0o441, 0o442, 0o644, 0o777])("mode %o is everybody's, whatever the group", (mode) => {
    expect(exposureOf({ mode, uid: 0, gid: 2_000 }, POD)).toBe("everybody");
  });
});

test.each([0o400, 0o600, 0o700, 0o100600])("mode %o is private", (mode) => {
  for (const uid of [0, 10_001, 10_002]) expect(exposureOf({ mode, uid, gid: 2_000 }, POD)).toBe("nobody");
});

test("a system without users has nobody to tell apart", () => {
  expect(exposureOf({ mode: 0o666, uid: 0, gid: 0 }, null)).toBe("nobody");
});
