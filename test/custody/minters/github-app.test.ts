import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { GithubAppMint } from "../../../src/core/mint-cloud.ts";
import { ShiftedClock } from "../support/clocks.ts";
import { GithubServer } from "../support/github-server.ts";
import { entryOf, type Issuing, issuing } from "../support/issuing.ts";
import { endpointOf, keyPair, leaseOf, tokenOf } from "../support/minting.ts";
import { secretOf } from "../support/secret-of.ts";

const app = keyPair("RS256");
let clock: ShiftedClock;
let server: GithubServer;
const running: Issuing[] = [];

beforeEach(async () => {
  clock = new ShiftedClock();
  server = await new GithubServer({
    clientId: "Iv1",
    publicKey: app.publicKey,
    installation: "1",
    repositories: ["docs", "site"],
    permissions: { contents: "write" },
    base: "/api/v3",
  }).listen();
});
afterEach(async () => {
  for (const { issuer } of running.splice(0)) issuer.close();
  await server.stop();
});

function start(change: Partial<GithubAppMint> = {}): Issuing {
  const mint: GithubAppMint = {
    as: "github_app",
    endpoint: endpointOf(`${server.origin}/api/v3`),
    clientId: "Iv1",
    installation: "1",
    repositories: null,
    permissions: null,
    ...change,
  };
  const parts = issuing({ clock, environment: { ROOT: app.privateKey }, entries: [entryOf({ mint })] });
  running.push(parts);
  return parts;
}

async function revoked(count: number): Promise<void> {
  while (server.revoked.size < count) await turn();
}

describe("a GitHub App", () => {
  test("that spells out all asks for all, and no lease of it is narrowed", async () => {
    const parts = start();
    await tokenOf(parts);
    expect(server.issued[0]?.asked).toEqual({ repositories: ["docs", "site"], permissions: { contents: "write" } });
    const narrow = { repositories: ["docs"] };
    await expect(leaseOf(parts, { narrow })).rejects.toMatchObject({ reason: "scope_not_allowed" });
  });

  test("leases the long tokens of 2026 as they are", async () => {
    server.stateless = true;
    const token = await tokenOf(start());
    expect(token.length).toBeGreaterThan(400);
    expect(server.isIssued(token)).toBe(true);
  });

  test("of two levels asks for the higher one, unless it is narrowed", async () => {
    const parts = start({ permissions: ["contents:write", "contents:read"] });
    await tokenOf(parts);
    await tokenOf(parts, { narrow: { permissions: ["contents:read"] } });
    expect(server.issued.map(({ asked }) => asked["permissions"])).toEqual([
      { contents: "write" },
      { contents: "read" },
    ]);
  });

  test("revokes what the upstream refused, once no lease of it can be alive", async () => {
    const parts = start();
    const first = await tokenOf(parts);
    clock.monotonicShiftMs += 10_000;
    const second = secretOf((await leaseOf(parts, { purpose: "rejected" })).material).reveal();
    expect(second).not.toBe(first);
    expect(server.revoked.size).toBe(0);
    clock.monotonicShiftMs += 901_000;
    await tokenOf(parts);
    await revoked(1);
    expect(server.revoked.has(first)).toBe(true);
    expect(server.revoked.has(second)).toBe(false);
  });

  test("revokes at once what is good for more than was asked for", async () => {
    server.claimed = { permissions: { contents: "admin" } };
    await expect(leaseOf(start({ permissions: ["contents:read"] }))).rejects.toMatchObject({
      reason: "source_unavailable",
    });
    await revoked(1);
    expect(server.revoked.has(server.issued[0]?.secret ?? "")).toBe(true);
  });

  test("whose token cannot be revoked goes on", async () => {
    const parts = start();
    await tokenOf(parts);
    clock.monotonicShiftMs += 10_000;
    await leaseOf(parts, { purpose: "rejected" });
    clock.monotonicShiftMs += 901_000;
    server.mood = (request, response) => {
      if (request.method === "DELETE") request.socket.destroy();
      else server.again(request, response);
    };
    await tokenOf(parts);
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
  });

  test.each([
    [{ "retry-after": "40" }, 40],
    [{ "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(Math.ceil(Date.now() / 1000) + 50) }, 45],
  ] as const)("whose limit is used up is left alone as long: %o", async (headers, seconds) => {
    const parts = start();
    server.mood = (_, response) => response.writeHead(403, headers).end("{}");
    await expect(leaseOf(parts)).rejects.toThrow();
    expect(parts.warnings.join("\n")).toMatch(/too often \(rate limit, 403\)/);
    server.mood = "well";
    clock.monotonicShiftMs += (seconds - 5) * 1000;
    await expect(leaseOf(parts)).rejects.toThrow();
    expect(server.requests).toBe(1);
    clock.monotonicShiftMs += 30_000;
    await tokenOf(parts);
  });

  test("whose key is another one hears where to look", async () => {
    const parts = start();
    parts.environment["ROOT"] = keyPair("RS256").privateKey;
    await expect(leaseOf(parts)).rejects.toThrow();
    expect(parts.warnings.join("\n")).toMatch(/check client_id and the key/);
  });
});
