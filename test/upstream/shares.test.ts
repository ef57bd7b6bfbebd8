import * as fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import type { UpstreamChannel } from "../../src/core/wire.ts";
import { Shares } from "../../src/upstream/shares.ts";
import { type Scripted, startScripted } from "../line/support/joined.ts";
import { Pooled } from "./support/pooled.ts";

/** One upstream, and sessions that would have all of its connections. */

describe("shares", () => {
  test("whatever is taken and given, there are never more than all, and a session gets three quarters of what others leave", () => {
    const step = fc.record({ who: fc.constantFrom("a", "b", "c"), gives: fc.boolean() });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.array(step, { maxLength: 200 }), (most, steps) => {
        const shares = new Shares(most);
        const held = new Map<string, number>();
        const of = (who: string): number => held.get(who) ?? 0;
        for (const { who, gives } of steps) {
          if (gives) {
            if (of(who) === 0) continue;
            shares.give(who);
            held.set(who, of(who) - 1);
          } else if (shares.mayTake(who)) {
            shares.take(who);
            held.set(who, of(who) + 1);
            const others = [...held].reduce((sum, [name, count]) => (name === who ? sum : sum + count), 0);
            expect(of(who)).toBeLessThanOrEqual(Math.max(1, ((most - others) * 3) / 4));
          }
        }
      }),
    );
  });
});

describe("a pool that sessions share", () => {
  let upstream: Scripted;
  let pooled: Pooled;

  afterEach(async () => {
    await upstream.close();
    await pooled.stop();
  });

  const connect = async (who = "s"): Promise<UpstreamChannel> => await pooled.connect({}, who);

  const isThere = async (channel: Promise<UpstreamChannel>): Promise<boolean> =>
    await Promise.race([
      channel.then(() => true),
      new Promise<false>((resolve) => setTimeout(() => resolve(false), 300)),
    ]);

  async function start(isShared: boolean): Promise<void> {
    upstream = await startScripted(() => undefined);
    pooled = new Pooled(upstream.port, {
      destination: { scheme: "http", http: "h1" },
      maxConnections: 8,
      isShared,
      timeouts: { upstreamConnectMs: 20_000 },
    });
  }

  test("has places for others when one of them takes all that it can get", async () => {
    await start(true);
    const greedy = Array.from({ length: 8 }, () => connect("greedy"));
    const held = await Promise.all(greedy.slice(0, 6));
    expect(await Promise.all(greedy.slice(6).map(isThere))).toEqual([false, false]);
    (await connect("other")).release();
    // What it gives back is for whoever of its own waits.
    held[0]?.release();
    (await greedy[6])?.release();
    const last = await greedy[7];
    expect(pooled.opened).toBe(7);
    for (const channel of [...held.slice(1), last]) channel?.release();
  });

  test("gives a connection that is idle to nobody who has his share", async () => {
    await start(true);
    const other = await connect("other");
    const held = await Promise.all(Array.from({ length: 5 }, () => connect("greedy")));
    const waiting = connect("greedy");
    expect(await isThere(waiting)).toBe(false);
    other.release();
    // The others leave more now.
    held.push(await waiting);
    expect(pooled.opened).toBe(6);
    for (const channel of held) channel.release();
  });

  test("is all for one where there is but one", async () => {
    await start(false);
    const all = await Promise.all(Array.from({ length: 8 }, () => connect()));
    expect(pooled.opened).toBe(8);
    for (const channel of all) channel.release();
  });
});
