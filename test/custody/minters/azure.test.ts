import { afterEach, beforeEach, expect, test } from "vitest";
import type { AzureMint } from "../../../src/core/mint-cloud.ts";
import { ShiftedClock } from "../support/clocks.ts";
import { EntraServer, selfSigned } from "../support/entra-server.ts";
import { entryOf, type Issuing, issuing } from "../support/issuing.ts";
import { endpointOf, leaseOf, tokenOf } from "../support/minting.ts";

const { certificate, privateKey } = selfSigned();
const [VAULT, GRAPH] = ["https://vault.azure.net/.default", "https://graph.microsoft.com/.default"];
let clock: ShiftedClock;
let server: EntraServer;
const running: Issuing[] = [];

beforeEach(async () => {
  clock = new ShiftedClock();
  server = await new EntraServer({ tenant: "t", clientId: "c", certificate, resources: [VAULT, GRAPH] }).listen();
});
afterEach(async () => {
  for (const { issuer } of running.splice(0)) issuer.close();
  await server.stop();
});

function start(change: Partial<AzureMint> = {}, root = `${certificate}${privateKey}`): Issuing {
  const mint: AzureMint = {
    as: "azure_client_credentials",
    endpoint: endpointOf(`${server.origin}/t/oauth2/v2.0/token`),
    clientId: "c",
    proof: "certificate",
    scopes: [VAULT, GRAPH],
    ...change,
  };
  const parts = issuing({ clock, environment: { ROOT: root }, entries: [entryOf({ mint })] });
  running.push(parts);
  return parts;
}

test("of several resources a lease is for one, and a destination says which", async () => {
  const parts = start();
  await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
  expect(parts.warnings.join("\n")).toMatch(/let the destination say which, as narrow: \{ scopes/);
  expect(server.requests).toBe(0);
  await tokenOf(parts, { narrow: { scopes: [GRAPH] } });
  expect(server.issued[0]?.asked).toEqual({ scopes: [GRAPH] });
});

test.each([
  [
    "another certificate",
    {},
    (): string => ((other) => other.certificate + other.privateKey)(selfSigned()),
    0,
    /AADSTS700027\)/,
  ],
  ["another clock", {}, (): string => certificate + privateKey, 3_600_000, /AADSTS700027\).*compare the clocks/],
  [
    "another application",
    { clientId: "d" },
    (): string => certificate + privateKey,
    0,
    /AADSTS700016\): the tenant knows/,
  ],
  ["a key without its certificate", {}, (): string => privateKey, 0, /yields no certificate with its key/],
] as const)("with %s an operator hears why", async (_name, change, root, shiftMs, says) => {
  clock.wallShiftMs = shiftMs;
  const parts = start({ scopes: [VAULT], ...change }, root());
  await expect(leaseOf(parts)).rejects.toThrow();
  expect(parts.warnings.join("\n")).toMatch(says);
  expect(parts.warnings.join("\n")).not.toMatch(/MII|BEGIN/);
});
