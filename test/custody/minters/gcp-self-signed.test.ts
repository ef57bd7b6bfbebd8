import { createPublicKey } from "node:crypto";
import { jwtVerify } from "jose";
import { afterEach, expect, test } from "vitest";
import type { GcpSelfSignedMint } from "../../../src/core/mint-cloud.ts";
import { ShiftedClock } from "../support/clocks.ts";
import { entryOf, type Issuing, issuing } from "../support/issuing.ts";
import { keyPair, leaseOf, tokenOf } from "../support/minting.ts";

const { publicKey, privateKey } = keyPair("RS256");
const EMAIL = "robot@project.iam.gserviceaccount.com";
const root = { type: "service_account", client_email: EMAIL, private_key: privateKey, private_key_id: "gk1" };
const running: Issuing[] = [];

afterEach(() => {
  for (const { issuer } of running.splice(0)) issuer.close();
});

function start(change: Partial<GcpSelfSignedMint>, json: unknown = root): Issuing {
  const mint: GcpSelfSignedMint = { as: "gcp_self_signed_jwt", audience: null, scopes: [], ...change };
  const environment = { ROOT: JSON.stringify(json) };
  const parts = issuing({ clock: new ShiftedClock(), environment, entries: [entryOf({ mint })] });
  running.push(parts);
  return parts;
}

const verified = (jwt: string) => jwtVerify(jwt, createPublicKey(publicKey), { algorithms: ["RS256"], issuer: EMAIL });

test("a JWT for one API ends with the lease", async () => {
  const parts = start({ audience: "https://pubsub.googleapis.com/" });
  const { payload, protectedHeader } = await verified(await tokenOf(parts));
  expect(protectedHeader).toEqual({ alg: "RS256", typ: "JWT", kid: "gk1" });
  expect(payload).toMatchObject({ sub: EMAIL, aud: "https://pubsub.googleapis.com/" });
  expect(payload.scope).toBeUndefined();
  expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(900);
  expect((await leaseOf(parts)).ttlMs).toBeLessThanOrEqual(900_000);
});

test("a JWT for scopes is narrowed", async () => {
  const parts = start({ scopes: ["a", "b"] });
  expect((await verified(await tokenOf(parts))).payload).toMatchObject({ scope: "a b" });
  const { payload } = await verified(await tokenOf(parts, { narrow: { scopes: ["b"] } }));
  expect(payload.scope).toBe("b");
  expect(payload.aud).toBeUndefined();
  await expect(leaseOf(parts, { narrow: { scopes: ["c"] } })).rejects.toMatchObject({ reason: "scope_not_allowed" });
});

test.each([
  ["of a user", { ...root, type: "authorized_user" }],
  ["without an address", { ...root, client_email: undefined }],
  ["whose address is two lines", { ...root, client_email: "a@b\r\nc" }],
  ["without a key", { ...root, private_key: 5 }],
  ["whose key is none", { ...root, private_key: "secret-0f3a9c" }],
  ["that is a list", [root]],
])("a root %s is refused without a word of it", async (_name, json) => {
  const parts = start({ scopes: ["a"] }, json);
  await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
  expect(parts.warnings.join("\n")).toMatch(/let it yield/);
  expect(parts.warnings.join("\n")).not.toMatch(/0f3a9c|MII|authorized_user/);
});
