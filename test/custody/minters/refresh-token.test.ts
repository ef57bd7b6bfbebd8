import { readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { MintSpec } from "../../../src/core/mint.ts";
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

const state = (): string => join(folder, "state");

function start(change: Partial<Extract<MintSpec, { as: "oauth2_refresh_token" }>> = {}): Issuing {
  const mint: MintSpec = {
    as: "oauth2_refresh_token",
    endpoint: endpointOf(server.url),
    client: clientOf({ id: "public", auth: "none" }),
    state: state(),
    scopes: ["read", "write"],
    audiences: [],
    resources: [],
    ...change,
  };
  const parts = issuing({ clock, environment: { ROOT: seed }, entries: [entryOf({ mint })] });
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

describe("a rotated root", () => {
  test("is used once, and its successor is on disk, closed to others, before anybody has the access token", async () => {
    const parts = start();
    for (let uses = 1; uses <= 10; uses++) {
      expect(server.isIssued(await tokenOf(parts))).toBe(true);
      expect(readFileSync(state(), "utf8")).toContain(family().current);
      later();
    }
    expect(server.requests).toBe(10);
    expect(family().revoked).toBe(false);
    expect((await stat(state())).mode & 0o777).toBe(0o600);
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
    parts.environment["ROOT"] = server.grantRefresh("public");
    await tokenOf(parts);
    expect(server.families.map(({ known }) => known.size)).toEqual([2, 2]);
    later();
    delete parts.environment["ROOT"];
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

  test("that an issuer does not replace stays what it is", async () => {
    await server.stop();
    await serve("none");
    const parts = start();
    await tokenOf(parts);
    later();
    await tokenOf(parts);
    expect(server.issued).toHaveLength(2);
    await expect(stat(state())).rejects.toThrow();
  });
});

describe("two custodies on one root", () => {
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

describe("after a crash", () => {
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
