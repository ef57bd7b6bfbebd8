import * as fc from "fast-check";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import { OwnerLock } from "../../src/custody/owner-lock.ts";
import { RotatingFile } from "../../src/custody/rotating-file.ts";
import type { CredentialSource } from "../../src/custody/sources/source.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-state-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const seed: CredentialSource = {
  reference: "test://seed",
  timeoutMs: 1_000,
  read: async () => ({ username: null, secret: Secret.of("seed"), expiresAtMs: null }),
  close: () => undefined,
};

function openFile(path: string): RotatingFile {
  return new RotatingFile({ path, seed, uid: process.getuid?.() ?? null });
}

/** What is read after the roots were rotated in. */
async function currentOf(file: RotatingFile): Promise<string> {
  return (await file.read()).reveal();
}

describe("a rotating file", () => {
  test("is the first root until it was rotated, keeps the one before until the next has worked, and survives a restart", async () => {
    const path = join(folder, "state");
    const file = openFile(path);
    expect(await currentOf(file)).toBe("seed");
    expect(await file.previous()).toBeNull();
    await file.rotate(Secret.of("one"));
    expect([await currentOf(file), (await file.previous())?.reveal()]).toEqual(["one", "seed"]);
    await file.worked();
    expect(await file.previous()).toBeNull();
    await file.rotate(Secret.of("two"));
    await file.close();
    const again = openFile(path);
    expect([await currentOf(again), (await again.previous())?.reveal()]).toEqual(["two", "one"]);
    await again.close();
    // No half-written file stays behind; what is locked does.
    expect((await readdir(folder)).toSorted()).toEqual([".state.lock", "state"]);
  });

  test("takes a newer file whole or not at all, whatever a crash made of it", async () => {
    const path = join(folder, "state");
    const file = openFile(path);
    await file.read();
    await file.rotate(Secret.of("one"));
    const before = await readFile(path);
    await file.rotate(Secret.of("two"));
    const after = await readFile(path);
    await file.close();
    const damage = fc.record({
      cut: fc.integer({ min: 0, max: after.length }),
      flip: fc.option(fc.integer({ min: 0, max: after.length - 1 })),
      bits: fc.integer({ min: 1, max: 255 }),
      more: fc.uint8Array({ maxLength: 20 }),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ cut, flip, bits, more }) => {
        const bytes = Buffer.concat([after.subarray(0, cut), more]);
        if (flip !== null && flip < bytes.length) bytes[flip] = (bytes[flip] ?? 0) ^ bits;
        await writeFile(path, before, { mode: 0o600 });
        await writeFile(`${path}.new`, bytes, { mode: 0o600 });
        const file = openFile(path);
        expect(await currentOf(file)).toBe(bytes.equals(after) ? "two" : "one");
        await file.close();
      }),
      { numRuns: 200, examples: [[{ cut: after.length, flip: null, bits: 1, more: new Uint8Array() }]] },
    );
  });
});

describe("the lock of an owner", () => {
  test("has one holder of many in one process, and is free once it is given up", async () => {
    const path = join(folder, "state");
    const taken = await Promise.allSettled(Array.from({ length: 12 }, () => OwnerLock.take(path)));
    const held = taken.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    expect(held).toHaveLength(1);
    expect(await held[0]?.isHeld()).toBe(true);
    held[0]?.release();
    const next = await OwnerLock.take(path);
    expect(await next.isHeld()).toBe(true);
    next.release();
  });

  test("has one holder of many processes, and is free once that one is killed", { timeout: 120_000 }, async () => {
    const path = join(folder, "state");
    const module = new URL("../../src/custody/owner-lock.ts", import.meta.url).href;
    const script = `const { OwnerLock } = await import(${JSON.stringify(module)});
      await OwnerLock.take(${JSON.stringify(path)}).then(() => console.log("held"), () => console.log("refused"));
      setInterval(() => undefined, 1000);`;
    for (let rounds = 0; rounds < 2; rounds++) {
      const children = Array.from({ length: 5 }, () =>
        spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: ["ignore", "pipe", "ignore"] }),
      );
      const said = await Promise.all(
        children.map(async ({ stdout }) => String((await once(stdout, "data"))[0]).trim()),
      );
      expect(said.toSorted()).toEqual(["held", "refused", "refused", "refused", "refused"]);
      const gone = children.map((child) => once(child, "exit"));
      for (const child of children) child.kill("SIGKILL");
      await Promise.all(gone);
    }
    const next = await OwnerLock.take(path);
    next.release();
  });

  test("that somebody takes away is seen to be gone", async () => {
    const path = join(folder, "state");
    const file = openFile(path);
    await file.read();
    await rm(join(folder, ".state.lock"));
    await expect(file.read()).rejects.toThrow(/was taken over by another custody/);
    expect(await currentOf(file)).toBe("seed");
    await file.close();
  });
});
