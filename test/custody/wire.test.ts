import { readFile } from "node:fs/promises";
import { Ajv2020 } from "ajv/dist/2020.js";
import * as fc from "fast-check";
import { load } from "js-yaml";
import { beforeAll, describe, expect, test } from "vitest";
import { LEASE_REFUSALS, type LeaseGrant, type LeaseRefusalReason, type LeaseRequest } from "../../src/core/custody.ts";
import type { Material } from "../../src/core/material.ts";
import type { Narrowing } from "../../src/core/narrow.ts";
import { Secret } from "../../src/core/secret.ts";
import { materialFitsWire } from "../../src/custody/material-text.ts";
import { decodeProblem, encodeProblem } from "../../src/custody/problem.ts";
import { secretOf } from "./support/secret-of.ts";
import {
  decodeLeaseGrant,
  decodeLeaseRequest,
  encodeLeaseGrant,
  encodeLeaseRequest,
  encodeHealth,
} from "../../src/custody/wire.ts";
import { healthSchema, leaseGrantSchema, leaseRequestSchema, problemSchema } from "../../src/custody/wire-schema.ts";

const SECRET = "wire-secret-9b1e";

const visible = (max: number) =>
  fc
    .string({ unit: "grapheme", minLength: 1, maxLength: max })
    .filter((text) => text.length <= max && !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(text));
const field = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCodePoint(code)),
  minLength: 1,
  maxLength: 50,
});
const host = fc.string({
  unit: fc.constantFrom("a", "b", "z", "0", "9", ".", "-", "_", ":"),
  minLength: 1,
  maxLength: 60,
});
const port = fc.integer({ min: 1, max: 65_535 });

const material: fc.Arbitrary<Material> = fc.oneof(
  field.map((text): Material => ({ kind: "token", token: Secret.of(text) })),
  field.map((text): Material => ({ kind: "header", value: Secret.of(text) })),
  fc
    .tuple(
      visible(40).filter((text) => !text.includes(":")),
      visible(40),
    )
    .map(([username, password]): Material => ({ kind: "userpass", username, password: Secret.of(password) })),
);

const grants: fc.Arbitrary<LeaseGrant> = fc.record({
  leaseId: field,
  credential: visible(64),
  material,
  ttlMs: fc.maxSafeInteger(),
  maxUses: fc.option(fc.integer({ min: 1 })),
  scope: fc.record({ tenant: visible(64), session: visible(64), host, port }),
  resourceRef: field,
  binding: fc.option(fc.record({ type: visible(20), value: visible(20) })),
});

const narrow: fc.Arbitrary<Narrowing> = fc.dictionary(
  fc.constantFrom("scopes", "repositories", "a_1", "constructor"),
  fc.array(visible(64), { minLength: 1, maxLength: 5 }),
  { minKeys: 1 },
);

const requests: fc.Arbitrary<LeaseRequest> = fc
  .record({
    session: fc.record({ id: visible(64), tenant: visible(64), workspace: visible(64), subject: visible(64) }),
    credential: visible(64),
    host,
    port,
    destination: visible(64),
    purpose: fc.constantFrom("request", "refresh", "rejected"),
    narrow: fc.option(narrow),
  })
  .map(({ narrow, ...request }) => (narrow === null ? request : { ...request, narrow }));

/** Over the wire and back. */
const travel = (value: unknown): unknown => JSON.parse(Buffer.from(JSON.stringify(value), "utf8").toString("utf8"));

/** A value with another value put into one place of it, taken out of it, or added to it. */
function twisted(base: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc
    .tuple(base, fc.nat(), fc.jsonValue(), fc.constantFrom("put", "take", "add"))
    .map(([value, at, other, how]) => {
      const copy = travel(value);
      const places = placesOf(copy);
      const place = places[at % places.length];
      if (place === undefined) return other;
      if (how === "put") place.of[place.key] = other;
      else if (how === "take") delete place.of[place.key];
      else place.of[`${place.key}_`] = other;
      return copy;
    });
}

interface Place {
  readonly of: Record<string, unknown>;
  readonly key: string;
}

function placesOf(value: unknown): Place[] {
  if (typeof value !== "object" || value === null) return [];
  const of = value as Record<string, unknown>;
  return Object.keys(of).flatMap((key) => [{ of, key }, ...placesOf(of[key])]);
}

describe("round trips", () => {
  test("a grant comes out as it went in", () => {
    fc.assert(
      fc.property(grants, (grant) => {
        const back = decodeLeaseGrant(travel(encodeLeaseGrant(grant)));
        if ("wrongAt" in back) throw new Error(back.wrongAt);
        expect(secretOf(back.material).reveal()).toBe(secretOf(grant.material).reveal());
        expect({ ...back, material: back.material.kind }).toEqual({ ...grant, material: grant.material.kind });
        expect(materialFitsWire(grant.material)).toBe(true);
      }),
    );
  });

  test("a request comes out as it went in", () => {
    fc.assert(
      fc.property(requests, (request) => {
        expect(decodeLeaseRequest(travel(encodeLeaseRequest(request)))).toEqual(request);
      }),
    );
  });

  test.each(Object.keys(LEASE_REFUSALS) as LeaseRefusalReason[])("the refusal %s keeps reason and code", (reason) => {
    const problem = encodeProblem(reason);
    expect(decodeProblem(problem.status, travel(problem))).toMatchObject({ reason, code: LEASE_REFUSALS[reason] });
    expect(decodeProblem(problem.status + 1, travel(problem))).toBeNull();
  });
});

describe("what is not the wire", () => {
  test.each([
    {},
    { scopes: [] },
    { Scopes: ["a"] },
    { scopes: ["a\nb"] },
    { scopes: "a" },
    { scopes: Array.from({ length: 101 }, () => "a") },
    { scopes: Array.from({ length: 20 }, () => "x".repeat(500)) },
    Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`n${i}`, ["a"]])),
  ])("a narrowing that is none or too large makes no request: %j", (narrow) => {
    const { narrow: _, ...request } = { ...fc.sample(requests, 1)[0] };
    const body = { ...request, narrow };
    // An empty one says nothing, and is refused by no one.
    expect(decodeLeaseRequest(travel(body)) === null).toBe(Object.keys(narrow).length > 0);
  });

  test("no JSON value at random is a message", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(decodeLeaseGrant(value)).toHaveProperty("wrongAt");
        expect(decodeLeaseRequest(value)).toBeNull();
        expect(decodeProblem(403, value)).toBeNull();
      }),
      { numRuns: 1_000 },
    );
  });

  test("the place of a fault never tells a value, whatever the message holds", () => {
    const secretive = grants.map((grant) => ({ ...encodeLeaseGrant(grant), [SECRET]: SECRET }));
    const inside = grants.map((grant) => {
      const json = encodeLeaseGrant(grant);
      return { ...json, scope: { ...json.scope, host: `${SECRET} ${SECRET}` }, material: { [SECRET]: [SECRET] } };
    });
    fc.assert(
      fc.property(twisted(fc.oneof(secretive, inside)), (value) => {
        const back = decodeLeaseGrant(value);
        if ("wrongAt" in back) expect(back.wrongAt).not.toContain(SECRET);
      }),
      { numRuns: 500 },
    );
  });

  test("a prototype is a key like any other: refused", () => {
    const request = JSON.stringify({ host: "h" }).replace("{", '{"__proto__":{"credential":"x"},');
    expect(decodeLeaseRequest(JSON.parse(request))).toBeNull();
  });

  test.each(["\n", "\r", "\0", "\u007f", "\u0085", "\u2028", "\u2029", "\ud800"])("%j is in no name", (bad) => {
    fc.assert(
      fc.property(requests, (request) => {
        expect(encodeLeaseRequest({ ...request, credential: `a${bad}b` })).toBeNull();
        expect(encodeLeaseRequest({ ...request, session: { ...request.session, id: bad } })).toBeNull();
      }),
      { numRuns: 5 },
    );
  });

  test.each(["", " x", "x ", "a\nb", "a\rb", "a\tb", "ключ", "a\u00a0b", "x".repeat(16_385)])(
    "%j is no token",
    (text) => {
      expect(materialFitsWire({ kind: "token", token: Secret.of(text) })).toBe(false);
      expect(materialFitsWire({ kind: "header", value: Secret.of(text) })).toBe(false);
    },
  );
});

describe("the document says what the code does", () => {
  interface Document {
    readonly components: { readonly schemas: Record<string, object> };
  }
  const ajv = new Ajv2020({ strict: true, discriminator: false });
  const documented = (name: string) => {
    const validate = ajv.getSchema(`custody#/components/schemas/${name}`);
    if (validate === undefined) throw new Error(`no schema ${name}`);
    return (value: unknown): boolean => validate(value) === true;
  };

  beforeAll(async () => {
    const text = await readFile(new URL("../../docs/custody.openapi.yaml", import.meta.url), "utf8");
    const { components } = load(text) as Document;
    ajv.addVocabulary(["components"]);
    ajv.addSchema({ $id: "custody", components });
  });

  test("messages that are sent are documented", () => {
    const [isGrant, isRequest, isProblem] = [
      documented("LeaseGrant"),
      documented("LeaseRequest"),
      documented("Problem"),
    ];
    fc.assert(fc.property(grants, (grant) => isGrant(travel(encodeLeaseGrant(grant)))));
    fc.assert(fc.property(requests, (request) => isRequest(travel(encodeLeaseRequest(request)))));
    for (const reason of Object.keys(LEASE_REFUSALS) as LeaseRefusalReason[])
      expect(isProblem(encodeProblem(reason))).toBe(true);
    expect(documented("Health")({ status: "ok" })).toBe(true);
  });

  test.each([
    ["LeaseGrant", leaseGrantSchema, grants.map((grant) => encodeLeaseGrant(grant))],
    ["LeaseRequest", leaseRequestSchema, requests],
    [
      "Problem",
      problemSchema,
      fc.constantFrom(...(Object.keys(LEASE_REFUSALS) as LeaseRefusalReason[])).map(encodeProblem),
    ],
    [
      "Health",
      healthSchema,
      fc
        .record({
          catalogue: fc.constantFrom(null, "0f3a9c41cc07"),
          problem: fc.constantFrom(
            null,
            "one line",
            "two\nlines",
            "\u0000",
            `${"x".repeat(396)}\ud83d\ude00${"y".repeat(9)}`,
          ),
        })
        .map(encodeHealth),
    ],
  ] as const)("document and code agree on every twisted %s", (name, schema, base) => {
    const isDocumented = documented(name);
    const verdicts = new Set<boolean>();
    fc.assert(
      fc.property(twisted(base), (value) => {
        const json = travel(value);
        const verdict = schema.safeParse(json).success;
        verdicts.add(verdict);
        expect(isDocumented(json)).toBe(verdict);
      }),
      { numRuns: 500 },
    );
    expect(verdicts.has(false)).toBe(true);
  });
});
