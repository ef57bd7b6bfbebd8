import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { formatReference, parseReference } from "../../src/core/canonical-reference.ts";
import { Secret } from "../../src/core/secret.ts";
import { MAX_ROOT_BYTES, SourceError } from "../../src/custody/sources/source.ts";
import { ManualClock } from "./support/clocks.ts";
import { SOURCE_BENCHES, type SourceBench } from "./support/source-benches.ts";

/** What every source of a credential is held to, wherever it reads. */

const ROOT = "root-of-the-contract-5d21";

describe.each(Object.entries(SOURCE_BENCHES))("the contract of sources: %s", (_name, make) => {
  let clock: ManualClock;
  let bench: SourceBench;
  beforeEach(async () => {
    clock = new ManualClock();
    bench = await make(clock);
  });
  afterEach(async () => {
    bench.source.close();
    await bench.remove();
  });

  const textOf = async (fresh = false): Promise<string> => {
    const { secret } = await bench.source.read(fresh);
    const text = secret.reveal();
    secret.zero();
    return text;
  };

  /** The refusal; nothing of a root is in it, however it is printed. */
  const refusalOf = async (work: () => Promise<unknown> = () => bench.source.read(false)): Promise<string> => {
    const error = await work().then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(SourceError);
    expect(inspect(error, { depth: Infinity, showHidden: true })).not.toContain(ROOT);
    const { message } = error as SourceError;
    // For operators: not a dump, and with a next step.
    expect(message.length).toBeLessThan(600);
    expect(message).toMatch(/: /);
    return message;
  };

  test("gives the root as it is now, fresh or not, and none once it has gone", async () => {
    for (const text of [`${ROOT}-1`, `${ROOT}-2`]) {
      await bench.put(text);
      expect(await textOf()).toBe(text);
      expect(await textOf(true)).toBe(text);
    }
    await bench.put(null);
    await refusalOf();
    await refusalOf(() => bench.source.read(true));
    await bench.put(`${ROOT}-3`);
    expect(await textOf()).toBe(`${ROOT}-3`);
  });

  test("gives every character of it", async () => {
    for (const text of [
      ' a"b\\c ',
      "zwei\nZeilen",
      "ключ 😀",
      "${HOME} $(id) `id` %s",
      "v".repeat(MAX_ROOT_BYTES >> 1),
    ]) {
      await bench.put(text);
      expect(await textOf()).toBe(text);
    }
  });

  test("none, an empty and an oversized root are refused", async () => {
    await refusalOf();
    for (const text of ["", ROOT.repeat(4000)])
      await refusalOf(async () => {
        await bench.put(text);
        await bench.source.read(false);
      });
  });

  test("what cannot be read is refused, also after it was good, and is good again once it is mended", async () => {
    if (bench.breakDown === null) return;
    await bench.put(ROOT);
    expect(await textOf()).toBe(ROOT);
    await bench.breakDown();
    await refusalOf();
    await bench.mend();
    expect(await textOf()).toBe(ROOT);
  });

  test("rotated while it is read: each reader gets one whole root, and who comes after gets the new one", async () => {
    const roots = Array.from({ length: 6 }, (_, i) => String(i).repeat(2000 + i));
    await bench.put(roots[0] ?? "");
    for (const root of roots) {
      const readers = [textOf(), textOf(), textOf(true)];
      await bench.put(root);
      readers.push(textOf());
      for (const text of await Promise.all(readers)) expect(roots.includes(text)).toBe(true);
      expect((await textOf()) === root).toBe(true);
    }
  });

  test("tells an expiry on the monotonic clock where it is told one, and none where not", async () => {
    await bench.put(ROOT);
    const { secret, expiresAtMs } = await bench.source.read(false);
    secret.zero();
    expect(expiresAtMs).toBeNull();
    if (bench.putFor === null) return;
    await bench.putFor(`${ROOT}-brief`, 60_000);
    const brief = await bench.source.read(true);
    expect(brief.secret.reveal()).toBe(`${ROOT}-brief`);
    expect(brief.expiresAtMs).toBe(clock.monotonicMs() + 60_000);
    // What is over is never given out again, whatever was held.
    await bench.putFor(`${ROOT}-next`, 60_000);
    clock.advance(60_001);
    expect(await textOf()).toBe(`${ROOT}-next`);
  });

  test("each reader owns what it got, beyond the end of the source", async () => {
    await bench.put(ROOT);
    const [one, two] = await Promise.all([bench.source.read(false), bench.source.read(true)]);
    one.secret.zero();
    expect(two.secret.reveal()).toBe(ROOT);
    expect(await textOf()).toBe(ROOT);
    bench.source.close();
    expect(two.secret.reveal()).toBe(ROOT);
  });

  test("closing it zeroes what it held: of all that was read, nothing is left but what readers keep", async () => {
    const put = bench.putFor ?? bench.put;
    await put(ROOT, 600_000);
    const made: Secret[] = [];
    const real = Secret.of.bind(Secret);
    const spy = vi.spyOn(Secret, "of").mockImplementation((text) => {
      const secret = real(text);
      if (text.includes(ROOT)) made.push(secret);
      return secret;
    });
    try {
      const readings = await Promise.all([bench.source.read(false), bench.source.read(false), bench.source.read(true)]);
      for (const { secret } of readings) secret.zero();
      bench.source.close();
      await new Promise((done) => setImmediate(done));
      expect(made.length).toBeGreaterThanOrEqual(readings.length);
      expect(made.filter((secret) => !secret.isZeroed)).toEqual([]);
    } finally {
      spy.mockRestore();
    }
  });

  test("a place that does not answer ends in a refusal within its longest time", async () => {
    expect(bench.source.timeoutMs).toBeGreaterThan(0);
    expect(bench.source.timeoutMs).toBeLessThanOrEqual(60_000);
    if (bench.hang === null) return;
    await bench.put(ROOT);
    await bench.hang();
    await refusalOf();
  });

  test("closing it ends a read that runs", async () => {
    if (bench.hang === null) return;
    await bench.put(ROOT);
    await bench.hang();
    const refusal = refusalOf();
    bench.source.close();
    await refusal;
  });

  test("says where it reads in one canonical spelling, which does not hold the root", async () => {
    await bench.put(ROOT);
    await textOf();
    const { reference } = bench.source;
    const parsed = parseReference(reference);
    if (parsed === null) throw new Error(`${reference} is not canonical`);
    expect(formatReference(parsed)).toBe(reference);
    expect(reference).not.toContain(ROOT);
  });
});
