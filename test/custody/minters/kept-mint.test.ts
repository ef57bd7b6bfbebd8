import { setImmediate as turn } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { LeaseRefusal, type LeaseRequest } from "../../../src/core/custody.ts";
import { isZeroed } from "../../../src/core/material.ts";
import { Secret } from "../../../src/core/secret.ts";
import { KeptMint, type KeptMintOptions } from "../../../src/custody/minters/kept-mint.ts";
import { MintFailure } from "../../../src/custody/minters/mint-failure.ts";
import type { Minted, Minter } from "../../../src/custody/minters/minter.ts";
import { type CredentialSource, SourceError } from "../../../src/custody/sources/source.ts";
import { ManualClock } from "../support/clocks.ts";
import { requestOf } from "../support/permits.ts";
import { secretOf } from "../support/secret-of.ts";

/** An issuer that does what a test says: each mint waits until it is settled by hand, or is answered at once. */
class Scripted implements Minter {
  readonly timeoutMs = 60_000;
  readonly asked: { readonly ask: LeaseRequest; readonly fresh: boolean }[] = [];
  readonly given: Minted[] = [];
  readonly released: string[] = [];
  lifeMs: number | null = 3_600_000;
  failure: Error | null = null;
  held: PromiseWithResolvers<void> | null = null;
  closed = false;
  readonly #clock: ManualClock;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  async mint(ask: LeaseRequest, fresh: boolean): Promise<Minted> {
    this.asked.push({ ask, fresh });
    const startedAtMs = this.#clock.monotonicMs();
    await this.held?.promise;
    if (this.failure !== null) throw this.failure;
    const text = `token-${this.asked.length}`;
    const minted: Minted = {
      material: { kind: "token", token: Secret.of(text) },
      expiresAtMs: this.lifeMs === null ? null : startedAtMs + this.lifeMs,
      release: async () => {
        this.released.push(text);
      },
    };
    this.given.push(minted);
    return minted;
  }

  close(): void {
    this.closed = true;
  }
}

const open: KeptMint[] = [];
afterEach(() => {
  for (const kept of open.splice(0)) kept.close();
});

function keeping(options: Partial<KeptMintOptions> = {}) {
  const clock = new ManualClock();
  const inner = new Scripted(clock);
  const kept = new KeptMint(inner, { name: "key", perSession: false, clock, random: () => 0.5, ...options });
  open.push(kept);
  const mint = async (change: Partial<LeaseRequest> = {}, fresh = false, signal = new AbortController().signal) =>
    await kept.mint(requestOf(change), fresh, signal);
  const token = async (change: Partial<LeaseRequest> = {}, fresh = false): Promise<string> =>
    secretOf((await mint(change, fresh)).material).reveal();
  return { clock, inner, kept, mint, token };
}

const session = (id: string) => ({ session: { id, tenant: "acme", workspace: "w", subject: "agent" } });

describe("what is kept", () => {
  test("serves sessions that ask for the same, a copy each", async () => {
    const { inner, mint } = keeping();
    const one = await mint(session("a"));
    const two = await mint(session("b"));
    expect(inner.asked).toHaveLength(1);
    secretOf(one.material).zero();
    expect(secretOf(two.material).reveal()).toBe("token-1");
    expect(secretOf((await mint()).material).reveal()).toBe("token-1");
  });

  test("is one for each narrowing, however it is spelled, and for each session where that is said", async () => {
    const { inner, token } = keeping({ perSession: true });
    await token({ ...session("a"), narrow: { scopes: ["x", "y"], audiences: ["z"] } });
    await token({ ...session("a"), narrow: { audiences: ["z"], scopes: ["y", "x"] } });
    expect(inner.asked).toHaveLength(1);
    await token({ ...session("a"), narrow: { scopes: ["x"] } });
    await token(session("a"));
    await token({ session: { ...session("a").session, tenant: "globex" } });
    expect(inner.asked).toHaveLength(4);
  });

  test("goes out while there is life enough, and is renewed in the background from three quarters on", async () => {
    const { clock, inner, token } = keeping();
    expect(await token()).toBe("token-1");
    clock.advance(2_699_000);
    expect(await token()).toBe("token-1");
    expect(inner.asked).toHaveLength(1);
    clock.advance(2_000);
    expect(await token()).toBe("token-1");
    expect(inner.asked).toHaveLength(2);
    await turn();
    expect(await token()).toBe("token-2");
  });

  test("with too little life left is waited for", async () => {
    const { clock, inner, token } = keeping();
    await token();
    inner.held = Promise.withResolvers();
    clock.advance(3_541_000);
    const waiting = token();
    await turn();
    inner.held.resolve();
    expect(await waiting).toBe("token-2");
  });

  test("ends with the issuer's end, which a lease is told", async () => {
    const { clock, mint } = keeping();
    const startedAtMs = clock.monotonicMs();
    await mint();
    clock.advance(1_000_000);
    expect((await mint()).expiresAtMs).toBe(startedAtMs + 3_600_000);
  });

  test("of what tells no end nothing is kept, and nothing stays behind", async () => {
    const { inner, token } = keeping();
    inner.lifeMs = null;
    expect(await token()).toBe("token-1");
    expect(await token()).toBe("token-2");
    await turn();
    expect(inner.given.map(({ material }) => isZeroed(material))).toEqual([true, true]);
  });

  test("is bounded: what was asked for longest ago leaves, zeroed", async () => {
    const { inner, kept, token } = keeping({ perSession: true, mostKept: 3 });
    for (const id of ["a", "b", "c"]) await token(session(id));
    await token(session("a"));
    await token(session("d"));
    expect(kept.size).toBe(3);
    expect(inner.given.map(({ material }) => isZeroed(material))).toEqual([false, true, false, false]);
  });

  test("is zeroed when it is replaced and when all ends", async () => {
    const { clock, inner, kept, token } = keeping();
    await token();
    clock.advance(3_600_000);
    await token();
    expect(inner.given.map(({ material }) => isZeroed(material))).toEqual([true, false]);
    kept.close();
    expect(inner.given.map(({ material }) => isZeroed(material))).toEqual([true, true]);
    expect(inner.closed).toBe(true);
    await expect(token()).rejects.toThrow(/no longer served/);
  });

  test("is given back at the issuer once no lease of it can be alive", async () => {
    const { clock, inner, token } = keeping();
    inner.lifeMs = 600_000;
    await token();
    clock.advance(550_000);
    expect(await token()).toBe("token-2");
    expect(inner.released).toEqual([]);
    clock.advance(349_000);
    await token();
    expect(inner.released).toEqual([]);
    clock.advance(1_000);
    await token();
    expect(inner.released).toEqual(["token-1"]);
  });
});

describe("a root that is looked at", () => {
  function rooted() {
    const root = { text: "root-1" as string | null };
    const other = { text: "secret-1" as string | null };
    const sourceOf = (told: { readonly text: string | null }): CredentialSource => ({
      reference: "test://root",
      timeoutMs: 1_000,
      async read() {
        if (told.text === null) throw new SourceError("the root is gone: put it back");
        return { username: null, secret: Secret.of(told.text), expiresAtMs: null };
      },
      close: () => undefined,
    });
    const [source, beside] = [sourceOf(root), sourceOf(other)];
    return { root, other, ...keeping({ roots: [beside, source] }) };
  }

  test("replaced while it is used: what comes of the one before is for those who asked before", async () => {
    const { root, inner, token } = rooted();
    inner.held = Promise.withResolvers();
    const before = token();
    await turn();
    root.text = "root-2";
    const after = token();
    const later = token();
    await turn();
    const { held } = inner;
    inner.held = null;
    held.resolve();
    expect(await before).toBe("token-1");
    expect(await after).toBe("token-2");
    expect(await later).toBe("token-2");
    expect(inner.asked).toHaveLength(2);
  });

  test("ends what was minted of it when it goes, and begins again when it comes back", async () => {
    const { root, inner, token } = rooted();
    expect(await token()).toBe("token-1");
    root.text = null;
    await expect(token()).rejects.toThrow("the root is gone");
    root.text = "root-1";
    expect(await token()).toBe("token-1");
    expect(inner.asked).toHaveLength(1);
  });

  test("and what is read beside it: gone, nothing goes out, and another one ends what was minted with it", async () => {
    const { other, kept, token } = rooted();
    expect(kept.timeoutMs).toBe(62_000);
    expect(await token()).toBe("token-1");
    other.text = null;
    await expect(token()).rejects.toThrow("the root is gone");
    other.text = "secret-2";
    expect(await token()).toBe("token-2");
  });

  test("ends what was minted of it when another one takes its place", async () => {
    const { root, inner, token } = rooted();
    await token();
    root.text = "root-2";
    expect(await token()).toBe("token-2");
    expect(await token()).toBe("token-2");
    expect(isZeroed(inner.given[0]?.material ?? { kind: "token", token: Secret.of("x") })).toBe(true);
  });
});

describe("mints at one time", () => {
  test("of the same are one", async () => {
    const { inner, token } = keeping();
    inner.held = Promise.withResolvers();
    const many = Promise.all(Array.from({ length: 50 }, () => token()));
    await turn();
    inner.held.resolve();
    expect(new Set(await many)).toEqual(new Set(["token-1"]));
    expect(inner.asked).toHaveLength(1);
  });

  test("one who leaves ends it for nobody, and the result is there for the next", async () => {
    const { inner, mint, token } = keeping();
    inner.held = Promise.withResolvers();
    const leaving = new AbortController();
    const left = mint({}, false, leaving.signal);
    const staying = token();
    leaving.abort();
    await expect(left).rejects.toThrow(/nobody waits/);
    inner.held.resolve();
    expect(await staying).toBe("token-1");
    expect(await token()).toBe("token-1");
    expect(inner.asked).toHaveLength(1);
  });

  test("are bounded", async () => {
    const { inner, token } = keeping({ perSession: true, mostFlights: 2 });
    inner.held = Promise.withResolvers();
    const two = [token(session("a")), token(session("b"))];
    await turn();
    await expect(token(session("c"))).rejects.toThrow(/too many/);
    inner.held.resolve();
    await Promise.all(two);
    expect(await token(session("c"))).toBe("token-3");
  });

  test("that end after all has ended are zeroed", async () => {
    const { inner, kept, mint } = keeping();
    inner.held = Promise.withResolvers();
    const waiting = mint();
    await turn();
    kept.close();
    await expect(waiting).rejects.toThrow(/no longer served/);
    inner.held.resolve();
    await turn();
    expect(inner.given.map(({ material }) => isZeroed(material))).toEqual([true]);
    expect(inner.released).toEqual(["token-1"]);
  });
});

describe("a result that the upstream refused", () => {
  test("is passed over, but not more often than every few seconds", async () => {
    const { clock, inner, token } = keeping();
    expect(await token()).toBe("token-1");
    clock.advance(4_000);
    expect(await token({}, true)).toBe("token-1");
    clock.advance(2_000);
    expect(await token({}, true)).toBe("token-2");
    expect(await token({}, true)).toBe("token-2");
    expect(inner.asked.map(({ fresh }) => fresh)).toEqual([false, true]);
  });
});

describe("after a failure", () => {
  test("nothing is kept, and whoever asks while it is too early hears the same reason at once", async () => {
    const { clock, inner, token } = keeping();
    inner.failure = new MintFailure("the issuer is down: look at it", { isWide: true });
    await expect(token()).rejects.toThrow("the issuer is down: look at it");
    inner.failure = null;
    await expect(token()).rejects.toThrow("the issuer is down: look at it (tried again in 1 s)");
    expect(inner.asked).toHaveLength(1);
    clock.advance(1_000);
    expect(await token()).toBe("token-2");
    inner.failure = new Error("again");
    clock.advance(3_600_000);
    await expect(token()).rejects.toThrow("again");
    // One success forgets the failures before it.
    clock.advance(1_000);
    inner.failure = null;
    expect(await token()).toBe("token-4");
  });

  test("the wait doubles up to a minute", async () => {
    const { clock, inner, token } = keeping();
    inner.failure = new MintFailure("down", { isWide: true });
    for (const waitMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
      const before = inner.asked.length;
      await expect(token()).rejects.toThrow("down");
      expect(inner.asked).toHaveLength(before + 1);
      clock.advance(waitMs - 1);
      await expect(token()).rejects.toThrow(/tried again/);
      expect(inner.asked).toHaveLength(before + 1);
      clock.advance(1);
    }
  });

  test("an issuer that says how long to wait is left alone as long, up to five minutes", async () => {
    const { clock, inner, token } = keeping();
    inner.failure = new MintFailure("too often", { isWide: true, retryAfterMs: 100_000 });
    await expect(token()).rejects.toThrow("too often");
    clock.advance(100_000);
    await expect(token()).rejects.toThrow(/tried again/);
    clock.advance(10_000);
    inner.failure = new MintFailure("too often", { isWide: true, retryAfterMs: 9e12 });
    await expect(token()).rejects.toThrow("too often");
    clock.advance(330_000);
    inner.failure = null;
    expect(await token()).toBe("token-3");
  });

  test("of one narrowing the others go on; of the issuer none does", async () => {
    const { inner, token } = keeping();
    inner.failure = new MintFailure("scope", { isWide: false });
    await expect(token({ narrow: { scopes: ["x"] } })).rejects.toThrow("scope");
    inner.failure = null;
    expect(await token({ narrow: { scopes: ["y"] } })).toBe("token-2");
    await expect(token({ narrow: { scopes: ["x"] } })).rejects.toThrow(/tried again/);
    inner.failure = new MintFailure("down", { isWide: true });
    await expect(token()).rejects.toThrow("down");
    await expect(token({ narrow: { scopes: ["z"] } })).rejects.toThrow("down (tried");
    // What is held still is good.
    expect(await token({ narrow: { scopes: ["y"] } })).toBe("token-2");
  });

  test("a renewal that fails costs nobody anything while what is held is good", async () => {
    const { clock, inner, token } = keeping();
    await token();
    inner.failure = new MintFailure("down", { isWide: true });
    clock.advance(2_800_000);
    expect(await token()).toBe("token-1");
    await turn();
    expect(await token()).toBe("token-1");
    expect(inner.asked).toHaveLength(2);
    clock.advance(750_000);
    await expect(token()).rejects.toThrow("down");
  });

  test("a refusal that is no failure of the issuer keeps nobody waiting", async () => {
    const { inner, token } = keeping();
    inner.failure = new LeaseRefusal("scope_not_allowed");
    await expect(token()).rejects.toMatchObject({ reason: "scope_not_allowed" });
    inner.failure = null;
    expect(await token()).toBe("token-2");
  });

  test("a fresh one is asked for no sooner than any other", async () => {
    const { clock, inner, token } = keeping();
    await token();
    clock.advance(6_000);
    inner.failure = new MintFailure("down", { isWide: true });
    await expect(token({}, true)).rejects.toThrow("down");
    await expect(token({}, true)).rejects.toThrow(/tried again/);
    expect(inner.asked).toHaveLength(2);
  });
});
