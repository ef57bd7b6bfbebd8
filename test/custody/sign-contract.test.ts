import { createPublicKey, verify } from "node:crypto";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { parseMountGrant } from "../../src/core/canonical-reference.ts";
import type { CustodyPort } from "../../src/core/custody.ts";
import { isZeroed } from "../../src/core/material.ts";
import { EmbeddedCustody } from "../../src/custody/embedded.ts";
import { RemoteCustody } from "../../src/custody/remote.ts";
import { signPath } from "../../src/custody/sign-wire.ts";
import { BoundToken } from "./support/bound-token.ts";
import { realClock } from "./support/clocks.ts";
import { type CustodyTls, makeCustodyTls } from "./support/custody-tls.ts";
import { denialOf } from "./support/denials.ts";
import { entryOf, type Issuing, issuing } from "./support/issuing.ts";
import { requestOf } from "./support/permits.ts";
import { serving } from "./support/serving.ts";

/** Signatures by keys that custody keeps, through every adapter alike. */

let tls: CustodyTls;
const bound = new BoundToken();
const closers: (() => Promise<void> | void)[] = [];
const benches: Issuing[] = [];

beforeAll(async () => {
  tls = await makeCustodyTls();
});
afterAll(async () => {
  await tls.remove();
});
afterEach(async () => {
  for (const { audit, warnings } of benches.splice(0))
    for (const text of [JSON.stringify(audit.events), ...warnings]) {
      expect(text).not.toContain(bound.token);
      expect(text).not.toContain("PRIVATE");
    }
  for (const close of closers.splice(0).reverse()) await close();
});

interface Bench extends Issuing {
  readonly custody: CustodyPort;
}

const options = (keyAt: "custody" | "edge") => ({
  entries: [entryOf({ kind: "dpop", keyAt }), entryOf({ name: "plain", kind: "header" })],
  environment: { ROOT: bound.root },
});

let sockets = 0;
const adapters: [string, (keyAt: "custody" | "edge") => Promise<Bench>][] = [
  [
    "embedded",
    async (keyAt) => {
      const parts = issuing({ clock: realClock, ...options(keyAt) });
      const custody = new EmbeddedCustody(parts.issuer);
      closers.push(() => custody.close());
      return { ...parts, custody };
    },
  ],
  [
    "remote over mutual TLS",
    async (keyAt) => {
      const served = await serving({ on: tls, ...options(keyAt) });
      const address = { kind: "tcp", host: "127.0.0.1", port: served.port } as const;
      const custody = new RemoteCustody({ address, tls: tls.client, timeoutMs: 10_000 });
      closers.push(served.stop, () => custody.close());
      return { ...served, custody };
    },
  ],
  [
    "remote over a unix socket",
    async (keyAt) => {
      const path = join(tls.directory, `sign${sockets++}.sock`);
      const served = await serving({ on: path, ...options(keyAt) });
      const custody = new RemoteCustody({ address: { kind: "unix", path }, tls: null, timeoutMs: 10_000 });
      closers.push(served.stop, () => custody.close());
      return { ...served, custody };
    },
  ],
];

const calm = () => new AbortController().signal;
const publicKey = createPublicKey({ key: JSON.parse(bound.key.publicJwk) as Record<string, string>, format: "jwk" });

describe.each(adapters)("%s", (_name, open) => {
  const make = async (keyAt: "custody" | "edge"): Promise<Bench> => {
    const bench = await open(keyAt);
    benches.push(bench);
    return bench;
  };
  const reasonOf = async (bench: Bench, leaseId: string, input: string) => {
    const denial = await denialOf(() => bench.custody.sign(leaseId, input, calm()));
    return { code: denial.code, reason: "reason" in denial ? denial.reason : null };
  };

  test("a lease whose key stays at custody signs what fits it", async () => {
    const bench = await make("custody");
    const { material, leaseId } = await bench.custody.lease(requestOf(), calm());
    expect(material).toMatchObject({ kind: "dpop", key: null, publicJwk: bound.key.publicJwk });
    expect(isZeroed(material)).toBe(false);
    const input = bound.input();
    const signature = Buffer.from(await bench.custody.sign(leaseId, input, calm()), "base64url");
    expect(verify("sha256", Buffer.from(input), { key: publicKey, dsaEncoding: "ieee-p1363" }, signature)).toBe(true);
  });

  test("a lease whose key goes to the edge brings it, and custody signs nothing for it", async () => {
    const bench = await make("edge");
    const { material, leaseId } = await bench.custody.lease(requestOf(), calm());
    expect(material.kind === "dpop" && material.key?.reveal()).toBe(bound.key.pem().reveal());
    expect(await reasonOf(bench, leaseId, bound.input())).toEqual({ code: "lease_denied", reason: "lease_unknown" });
  });

  test("a tenant that lost the mount of its credential gets no more proofs, though its lease runs on", async () => {
    const bench = await make("custody");
    const { leaseId } = await bench.custody.lease(requestOf(), calm());
    const { issuer } = bench;
    const grants = ["env://"].flatMap((text) => parseMountGrant(text) ?? []);
    const input = bound.input();
    issuer.useCatalogue(issuer.catalogue, new Map([["globex", grants]]));
    expect(await denialOf(() => bench.custody.sign(leaseId, input, calm()))).toMatchObject({ reason: "lease_unknown" });
    issuer.useCatalogue(issuer.catalogue, new Map([["acme", grants]]));
    expect(await bench.custody.sign(leaseId, input, calm())).not.toBe("");
  });

  test("what does not fit the lease is refused by name, and told", async () => {
    const bench = await make("custody");
    const { leaseId } = await bench.custody.lease(requestOf(), calm());
    const input = bound.input({ htu: "https://elsewhere.example.com/" });
    expect(await reasonOf(bench, leaseId, input)).toEqual({ code: "lease_denied", reason: "input_unfit" });
    expect(bench.warnings).toHaveLength(1);
  });

  test("leases that nobody was given, or that sign nothing, are unknown", async () => {
    const bench = await make("custody");
    const { leaseId } = await bench.custody.lease(requestOf({ credential: "plain" }), calm());
    for (const id of [leaseId, "nobody's", "a/../b?c#d%2f"])
      expect(await reasonOf(bench, id, bound.input())).toEqual({ code: "lease_denied", reason: "lease_unknown" });
  });

  test("a lease of which there is no record is not kept", async () => {
    const bench = await make("custody");
    bench.audit.failing = true;
    expect((await denialOf(() => bench.custody.lease(requestOf(), calm()))).code).toBe("custody_unavailable");
  });
});

describe("the route", () => {
  test.each([
    ["no JSON", "x"],
    ["no input", "{}"],
    ["another key", '{"input":"a.b","x":1}'],
    ["an input that is none", '{"input":"a b"}'],
    ["an input that is too long", JSON.stringify({ input: `a.${"b".repeat(12_500)}` })],
  ])("takes no request with %s", async (_what, body) => {
    const path = join(tls.directory, `sign${sockets++}.sock`);
    const served = await serving({ on: path, ...options("custody") });
    closers.push(served.stop);
    expect(await post(path, signPath("a"), body)).toBe(400);
    expect(served.answers).toEqual([{ caller: "unix", status: 400, reason: "request_malformed" }]);
  });
});

async function post(socketPath: string, path: string, body: string): Promise<number> {
  return await new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    const asked = request({ socketPath, path, method: "POST", headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
    });
    asked.on("error", reject);
    asked.end(body);
  });
}
