import { readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { MintSpec } from "../../../src/core/mint.ts";
import { Secret } from "../../../src/core/secret.ts";
import { realDisk, type StoreDisk } from "../../../src/custody/store/disk.ts";
import type { SecretStore } from "../../../src/custody/store/secret-store.ts";
import { DiskFailure, storePlace, type StorePlace, textOf } from "../store/storing.ts";
import { ManualClock } from "../support/clocks.ts";
import { entryOf, type Issuing, issuing } from "../support/issuing.ts";
import { clientOf, endpointOf, leaseOf, tokenOf } from "../support/minting.ts";
import { type Family, OAuth2Server, type OAuth2ServerOptions } from "../support/oauth2-server.ts";

/** Roots that the issuer replaces at each use. What is used twice costs the whole family. */

let folder: string;
let clock: ManualClock;
let server: OAuth2Server;
let seed: string;
const running: Issuing[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-rotate-"));
  clock = new ManualClock();
  await serve("strict");
});
afterEach(async () => {
  for (const { issuer } of running.splice(0)) issuer.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

async function serve(rotation: OAuth2ServerOptions["rotation"] & string): Promise<void> {
  server = await OAuth2Server.start({
    clients: [{ id: "public", auth: "none", scopes: ["read", "write"] }],
    rotation,
  });
  seed = server.grantRefresh("public");
}

const PLACES = ["file", "store"] as const;
let where: (typeof PLACES)[number] = "file";
let stores: StorePlace;

beforeEach(async () => {
  where = "file";
  stores = await storePlace();
});
afterEach(() => stores.remove());

const state = (): string => join(folder, "state");

/** Puts the first root, or another one, where it is read. */
async function give(parts: Issuing | null, root: string | null): Promise<void> {
  if (where === "store") {
    if (root === null) await stores.open().remove("acme/root");
    else await stores.open().put("acme/root", Secret.of(root));
  } else if (parts !== null) parts.environment["ROOT"] = root ?? undefined;
}

/** Whether the root that the issuer knows now is durable. */
async function mustHoldCurrent(): Promise<void> {
  const { current } = family();
  if (where === "file") expect(readFileSync(state(), "utf8")).toContain(current);
  else expect(await textOf(stores.open(), "acme/root")).toBe(current);
}

/** Once more for each place that a rotated root can be in. */
function inEachPlace(name: string, tests: () => void): void {
  describe.each(PLACES)(`${name}, in the %s`, (place) => {
    beforeEach(async () => {
      where = place;
      await give(null, seed);
    });
    tests();
  });
}

function start(
  change: Partial<Extract<MintSpec, { as: "oauth2_refresh_token" }>> = {},
  store: SecretStore | null = stores.open(),
): Issuing {
  const mint: MintSpec = {
    as: "oauth2_refresh_token",
    dpop: null,
    endpoint: endpointOf(server.url),
    client: clientOf({ id: "public", auth: "none" }),
    state: where === "file" ? state() : null,
    scopes: ["read", "write"],
    audiences: [],
    resources: [],
    ...change,
  };
  const source = where === "file" ? entryOf().source : ({ from: "store", name: "acme/root" } as const);
  const entries = [entryOf({ mint, source })];
  const parts = issuing({ clock, environment: { ROOT: seed }, entries, ...(store === null ? {} : { store }) });
  running.push(parts);
  return parts;
}

function family(): Family {
  const [first] = server.families;
  if (first === undefined) throw new Error("the server has no family");
  return first;
}

/** A time after which nothing that was minted before is good any more, and no failure keeps anybody waiting. */
function later(): void {
  clock.advance(3_600_000);
}

inEachPlace("a rotated root", () => {
  test("is used once, and its successor is on disk, closed to others, before anybody has the access token", async () => {
    const parts = start();
    for (let uses = 1; uses <= 10; uses++) {
      expect(server.isIssued(await tokenOf(parts))).toBe(true);
      await mustHoldCurrent();
      later();
    }
    expect(server.requests).toBe(10);
    expect(family().revoked).toBe(false);
    expect((await stat(where === "file" ? state() : stores.file)).mode & 0o777).toBe(0o600);
  });

  test("serves the leases that come after it: a root that was rotated in is not another one", async () => {
    const parts = start();
    const tokens = [await tokenOf(parts), await tokenOf(parts), await tokenOf(parts)];
    expect(new Set(tokens).size).toBe(1);
    expect(server.requests).toBe(1);
  });

  test("goes on after a restart where it stood", async () => {
    for (let starts = 0; starts < 5; starts++) {
      const parts = start();
      await tokenOf(parts);
      parts.issuer.close();
    }
    expect(server.refused).toEqual([]);
    expect(server.issued).toHaveLength(5);
  });

  test("begins anew with another first root, and ends with none", async () => {
    const parts = start();
    await tokenOf(parts);
    later();
    await give(parts, server.grantRefresh("public"));
    await tokenOf(parts);
    expect(server.families.map(({ known }) => known.size)).toEqual([2, 2]);
    later();
    await give(parts, null);
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(server.requests).toBe(2);
  });

  test("is used by one after the other where several are minted at once", async () => {
    const parts = start();
    const narrowings = [undefined, ["read"], ["write"], ["read", "write"]];
    await Promise.all(narrowings.map((scopes) => leaseOf(parts, scopes === undefined ? {} : { narrow: { scopes } })));
    expect(server.issued.map(({ scope }) => scope)).toEqual(["read write", "read", "write", "read write"]);
    expect(family().revoked).toBe(false);
  });

  test.each([{ token_type: "other" }, { access_token: 5 }, { expires_in: -1 }, { scope: "read admin" }])(
    "counts even where what came with it is of no use: %j",
    async (twist) => {
      const parts = start();
      server.twist = twist;
      await expect(leaseOf(parts, { narrow: { scopes: ["read"] } })).rejects.toThrow();
      await mustHoldCurrent();
      server.twist = {};
      later();
      expect(server.isIssued(await tokenOf(parts))).toBe(true);
      expect(family().revoked).toBe(false);
    },
  );

  test("that an issuer does not replace stays what it is", async () => {
    await server.stop();
    await serve("none");
    await give(null, seed);
    const version = where === "file" ? 0 : (await stores.open().read("acme/root")).version;
    const parts = start();
    await tokenOf(parts);
    later();
    await tokenOf(parts);
    expect(server.issued).toHaveLength(2);
    if (where === "file") await expect(stat(state())).rejects.toThrow();
    else expect((await stores.open().read("acme/root")).version).toBe(version);
  });
});

inEachPlace("two custodies on one root", () => {
  test("the second one gets nothing while the first is there, and the issuer hears of one alone", async () => {
    const [first, second] = [start(), start()];
    await tokenOf(first);
    await expect(leaseOf(second)).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(second.warnings.join("\n")).toContain("is owned by another custody: stop it");
    expect(server.requests).toBe(1);
    first.issuer.close();
    later();
    expect(server.isIssued(await tokenOf(second))).toBe(true);
    expect(family().revoked).toBe(false);
  });

  test("that begin at the same time never replay", async () => {
    const many = Array.from({ length: 8 }, () => start());
    const outcomes = await Promise.allSettled(many.map((parts) => leaseOf(parts)));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(server.requests).toBe(1);
    expect(family().revoked).toBe(false);
  });

  test("a reload hands the root over, also in the middle of an exchange", async () => {
    const first = start();
    let answer = (): void => undefined;
    server.mood = (request, response) => {
      server.mood = "well";
      answer = () => server.again(request, response);
    };
    const leaving = leaseOf(first);
    while (server.requests === 0) await turn();
    first.issuer.close();
    await expect(leaving).rejects.toThrow();
    const next = tokenOf(start());
    await turn();
    answer();
    expect(server.isIssued(await next)).toBe(true);
    expect(server.issued).toHaveLength(2);
    expect(family().revoked).toBe(false);
  });
});

describe("a store that cannot be written", () => {
  beforeEach(async () => {
    where = "store";
    await give(null, seed);
  });

  test("costs the access token and not the root, which is held until it can be", async () => {
    let full = false;
    const disk: StoreDisk = {
      ...realDisk,
      sync: (file) => (full ? Promise.reject(new DiskFailure("no space")) : realDisk.sync(file)),
    };
    const parts = start({}, stores.open({ disk }));
    await tokenOf(parts);
    full = true;
    later();
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(parts.warnings.join("\n")).toMatch(/do not stop this custody, which holds the only copy .* \(EIO\)/);
    later();
    await expect(leaseOf(parts)).rejects.toThrow();
    // Nothing is asked of the issuer while what it gave is not safe.
    expect(server.requests).toBe(2);
    full = false;
    later();
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
    await mustHoldCurrent();
    expect(family().revoked).toBe(false);
  });
});

describe("a root that an operator replaces in the store", () => {
  beforeEach(async () => {
    where = "store";
    await give(null, seed);
  });

  test("in the middle of an exchange is the root from then on, and nobody gets what came of the other one", async () => {
    const parts = start();
    let answer = (): void => undefined;
    server.mood = (request, response) => {
      server.mood = "well";
      answer = () => server.again(request, response);
    };
    const leased = leaseOf(parts);
    while (server.requests === 0) await turn();
    const other = server.grantRefresh("public");
    await give(parts, other);
    answer();
    await expect(leased).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(parts.warnings.join("\n")).toContain("was changed while its root was being exchanged");
    expect(await textOf(stores.open(), "acme/root")).toBe(other);
    later();
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
    expect(server.families.map(({ known }) => known.size)).toEqual([2, 2]);
    expect(await textOf(stores.open(), "acme/root")).toBe(server.families[1]?.current);
  });

  test("and whose issuer refuses it is not passed over for the one that was kept beside it", async () => {
    const parts = start();
    await tokenOf(parts);
    await stores.open().rotate("acme/root", Secret.of("unknown-root"), { keepPrevious: true });
    later();
    await expect(leaseOf(parts)).rejects.toThrow();
    expect(server.refused).toEqual(["invalid_grant"]);
    expect(await textOf(stores.open(), "acme/root")).toBe("unknown-root");
  });

  test("is not there in a custody that was started without a store", async () => {
    const parts = start({}, null);
    await expect(leaseOf(parts)).rejects.toThrow();
    expect(parts.warnings.join("\n")).toContain("was started without a store: restart it");
  });
});

describe("a place that cannot be written", () => {
  test("costs the access token and not the root, which is held until there is room", async () => {
    const parts = start();
    await tokenOf(parts);
    await mkdir(`${state()}.new`);
    later();
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(parts.warnings.join("\n")).toMatch(/cannot be written \(EISDIR\): make room/);
    later();
    await expect(leaseOf(parts)).rejects.toThrow();
    // Nothing is asked of the issuer while what it gave is not safe.
    expect(server.requests).toBe(2);
    await rm(`${state()}.new`, { recursive: true });
    later();
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
    expect(family().revoked).toBe(false);
  });

  test("that is open to others is refused", async () => {
    const first = start();
    await tokenOf(first);
    first.issuer.close();
    await chmod(state(), 0o644);
    const parts = start();
    await expect(leaseOf(parts)).rejects.toThrow();
    expect(parts.warnings.join("\n")).toMatch(/closed to all others: chown it and chmod 0600/);
    expect(server.requests).toBe(1);
  });
});

describe("after a crash with a file", () => {
  /** What the disk held before and after one rotation. */
  async function rotation(): Promise<{ readonly before: string; readonly after: string }> {
    const parts = start();
    await tokenOf(parts);
    const before = await readFile(state(), "utf8");
    later();
    await tokenOf(parts);
    parts.issuer.close();
    return { before, after: await readFile(state(), "utf8") };
  }

  test("between writing and renaming, the newer file counts", async () => {
    const { before, after } = await rotation();
    await writeFile(state(), before, { mode: 0o600 });
    await writeFile(`${state()}.new`, after, { mode: 0o600 });
    server.mood = (request) => request.socket.destroy();
    const parts = start();
    await expect(leaseOf(parts)).rejects.toThrow();
    // In place before anything is written over it.
    expect(await readFile(state(), "utf8")).toBe(after);
    server.mood = "well";
    later();
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
    expect(server.refused).toEqual([]);
  });

  test.each([0, 1, 100, -1])("in the middle of writing, the older file counts (%i bytes)", async (bytes) => {
    const { after } = await rotation();
    await writeFile(`${state()}.new`, after.slice(0, bytes), { mode: 0o600 });
    expect(server.isIssued(await tokenOf(start()))).toBe(true);
    expect(server.refused).toEqual([]);
  });

  test("that damaged the only file there is no lease, and the first root is not used again", async () => {
    const { after } = await rotation();
    await writeFile(state(), after.replace("rt-", "rx-"), { mode: 0o600 });
    const parts = start();
    await expect(leaseOf(parts)).rejects.toThrow();
    expect(parts.warnings.join("\n")).toMatch(/is damaged: restore it, or remove it/);
    expect(server.requests).toBe(2);
  });
});

inEachPlace("after a crash", () => {
  test("of the issuer, that forgot its last rotation, the root before is tried once", async () => {
    const parts = start();
    await tokenOf(parts);
    const before = family().current;
    later();
    await tokenOf(parts);
    server.forgetLastRotation(family(), before);
    later();
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
    expect(server.refused).toEqual(["invalid_grant"]);
    later();
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
    expect(server.refused).toEqual(["invalid_grant"]);
  });

  test("of the issuer, that rotates no more, the root that works is the root from then on", async () => {
    const parts = start();
    await tokenOf(parts);
    const before = family().current;
    later();
    await tokenOf(parts);
    server.forgetLastRotation(family(), before);
    server.rotation = "none";
    for (let uses = 0; uses < 3; uses++) {
      later();
      expect(server.isIssued(await tokenOf(parts))).toBe(true);
    }
    expect(server.refused).toEqual(["invalid_grant"]);
    if (where === "file") expect(readFileSync(state(), "utf8")).toContain('"previous":null');
    else expect(await stores.open().readPrevious("acme/root")).toBeNull();
  });

  test("of trust the operator hears that a new root is needed, and the issuer is not asked over and over", async () => {
    const parts = start();
    await tokenOf(parts);
    family().revoked = true;
    later();
    for (let asked = 0; asked < 20; asked++) await expect(leaseOf(parts)).rejects.toThrow();
    expect(parts.warnings.join("\n")).toContain("put a new one in its place");
    expect(server.requests).toBeLessThanOrEqual(3);
  });
});
