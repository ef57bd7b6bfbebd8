import { afterEach, expect, test } from "vitest";
import { ShiftedClock } from "../support/clocks.ts";
import { entryOf, type Issuing, issuing } from "../support/issuing.ts";
import { endpointOf, leaseOf, tokenOf } from "../support/minting.ts";
import { type RegistryOptions, RegistryServer } from "../support/registry-server.ts";

let server: RegistryServer;
let running: Issuing;

afterEach(async () => {
  running.issuer.close();
  await server.stop();
});

async function start(change: Partial<RegistryOptions> = {}): Promise<Issuing> {
  const repositories = ["acme/app", "acme/lib"];
  server = await new RegistryServer({ service: "s", username: "u", password: "p:w", repositories, ...change }).listen();
  const mint = {
    as: "registry_token" as const,
    endpoint: endpointOf(`${server.origin}/token`),
    service: "s",
    username: "u",
    repositories,
    actions: ["pull", "push"],
  };
  running = issuing({ clock: new ShiftedClock(), environment: { ROOT: "p:w" }, entries: [entryOf({ mint })] });
  return running;
}

test("a token of several repositories says each by itself", async () => {
  const token = await tokenOf(await start());
  expect(server.issued[0]?.asked).toEqual({
    scopes: ["repository:acme/app:pull,push", "repository:acme/lib:pull,push"],
  });
  expect(server.allows(token, "acme/lib", "push")).toBe(true);
});

test("a token that tells no life is leased for a minute", async () => {
  const { ttlMs } = await leaseOf(await start({ untold: true }));
  expect(ttlMs).toBeLessThanOrEqual(60_000);
  expect(ttlMs).toBeGreaterThan(50_000);
});

test("a token that was issued a while ago is leased for the rest of its life", async () => {
  const { ttlMs } = await leaseOf(await start({ untold: true, ageS: 40 }));
  expect(ttlMs).toBeLessThanOrEqual(20_000);
});
