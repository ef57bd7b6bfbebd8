import { describe, expect, test } from "vitest";
import type { RevocationChange } from "../../src/core/revocation.ts";
import { RevocationFeed } from "../../src/custody/revocation-feed.ts";
import { ManualClock } from "./support/clocks.ts";
import { denialOf } from "./support/denials.ts";
import { entryOf, issuing } from "./support/issuing.ts";
import { leaseOf } from "./support/minting.ts";

/** A custody that is about to end: what ends with it is told to those who follow, and leased to nobody any more. */

const calm = (): AbortSignal => new AbortController().signal;

function parts() {
  const made = issuing({ clock: new ManualClock(), entries: [entryOf(), entryOf({ name: "own" })] });
  const item = made.issuer.catalogue.find("key");
  if (item === undefined) throw new Error("the catalogue has it");
  const minter = Object.assign(item.minter, { endsWithCustody: true as const });
  return { ...made, minter };
}

test("whoever follows is told of each credential of which leases are out, once, and of no other", async () => {
  const { issuer, ...rest } = parts();
  const { cursor } = await issuer.revocations.page(null, 0, null, calm());
  const waiting = issuer.revocations.page(cursor, 60_000, ["acme"], calm());
  for (const credential of ["key", "key", "own"]) await leaseOf({ issuer, ...rest }, { credential });
  issuer.beginEnding();
  const told = [{ type: "revoked", id: "custody-ends", scope: "credential", value: "key", tenant: null }];
  expect(await waiting).toEqual({ cursor, reset: false, changes: told });
  // Whoever was between two questions, too.
  expect(await issuer.revocations.page(cursor, 60_000, null, calm())).toEqual({ cursor, reset: false, changes: told });
});

test("nobody is told of anything where nothing is out", async () => {
  const { issuer } = parts();
  const { cursor } = await issuer.revocations.page(null, 0, null, calm());
  issuer.beginEnding();
  expect((await issuer.revocations.page(cursor, 60_000, null, calm())).changes).toEqual([]);
});

test("what is being minted at that moment is given back and not leased; what lives on is", async () => {
  const all = parts();
  let released = 0;
  const mint = all.minter.mint.bind(all.minter);
  all.minter.mint = async (...asked) => {
    const minted = await mint(...asked);
    all.issuer.beginEnding();
    return { ...minted, release: async () => void released++ };
  };
  expect(await denialOf(() => leaseOf(all))).toMatchObject({ code: "custody_unavailable", reason: "draining" });
  expect(released).toBe(1);
  expect((await leaseOf(all, { credential: "own" })).credential).toBe("own");
});

describe("the last page", () => {
  const change = (value: string): RevocationChange => ({
    type: "revoked",
    id: "x",
    scope: "credential",
    value,
    tenant: null,
  });
  const changes = (count: number): RevocationChange[] => Array.from({ length: count }, (_, i) => change(`c-${i}`));

  test("comes behind what was revoked, and moves no cursor of its own", async () => {
    const feed = new RevocationFeed("e", 0);
    feed.add(change("revoked"));
    feed.close([change("ends")]);
    const page = await feed.after("e.0", 0, null, calm());
    expect(page).toEqual({ cursor: "e.1", reset: false, changes: [change("revoked"), change("ends")] });
  });

  test("that would be too long says that everything ends", async () => {
    const feed = new RevocationFeed("e", 0);
    feed.close(changes(32));
    expect((await feed.after("e.0", 0, null, calm())).changes).toHaveLength(32);
    feed.close(changes(33));
    expect((await feed.after("e.0", 0, null, calm())).changes).toEqual([
      { type: "revoked", id: "x", scope: "all", value: "", tenant: null },
    ]);
  });
});
