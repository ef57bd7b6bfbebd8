import { generateKeyPairSync } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SecretSearch } from "./support/secret-search.ts";

/** The instrument that says "nowhere" in the stories of this folder has to be one that can say "there". */

const SECRET = 'p4ss/w+rd "quoted"\\ \u00e9 7d31c09e52';
const bytes = Buffer.from(SECRET);
const each = (text: string, change: (byte: string) => string): string =>
  Buffer.from(text).toString("latin1").replaceAll(/[^]/g, change);
const hexOf = (c: string): string => c.charCodeAt(0).toString(16).padStart(2, "0");

const WRITTEN: Readonly<Record<string, string | Buffer>> = {
  raw: bytes,
  base64: bytes.toString("base64"),
  "base64 without padding": bytes.toString("base64").replaceAll("=", ""),
  "base64 behind one byte": Buffer.from(`x${SECRET}`).toString("base64"),
  "base64 behind two bytes": Buffer.from(`xy${SECRET}!`).toString("base64"),
  "base64 of a pair": Buffer.from(`robot:${SECRET}`).toString("base64"),
  base64url: bytes.toString("base64url"),
  "base64url behind one byte": Buffer.from(`x${SECRET}`).toString("base64url"),
  "base64url behind two bytes": Buffer.from(`xy${SECRET}zzz`).toString("base64url"),
  hex: bytes.toString("hex"),
  "hex in capitals": bytes.toString("hex").toUpperCase(),
  percent: encodeURIComponent(SECRET),
  "percent, small": encodeURIComponent(SECRET).replaceAll(/%../g, (triplet) => triplet.toLowerCase()),
  "percent of every byte": each(SECRET, (c) => `%${hexOf(c)}`),
  "a form": new URLSearchParams({ key: SECRET }).toString(),
  JSON: JSON.stringify({ key: SECRET }),
  "JSON in JSON": JSON.stringify(JSON.stringify({ key: SECRET })),
  "JSON with escaped slashes": JSON.stringify(SECRET).replaceAll("/", "\\/"),
  "JSON, every character escaped": each("plain-7d31c09e52", (c) => `\\u00${hexOf(c)}`),
};

function searchFor(...secrets: string[]): SecretSearch {
  const search = new SecretSearch();
  secrets.forEach((secret, i) => search.add(`secret ${i}`, secret));
  return search;
}

describe("a secret is found", () => {
  test.each(Object.entries(WRITTEN))("as %s", (_form, written) => {
    const search = searchFor(SECRET, "plain-7d31c09e52");
    for (const [front, back] of [
      ["", ""],
      ["some text before ", ""],
      ["", " some text behind"],
      ["\0\xff", "\r\n"],
    ] as const) {
      const text = Buffer.concat([Buffer.from(front), Buffer.from(written), Buffer.from(back)]);
      expect(search.search(text, "a log")).not.toEqual([]);
    }
  });

  test("among many others, wherever it stands, and where is told without its value", () => {
    const search = new SecretSearch();
    for (let i = 0; i < 3_000; i++) search.add(`other ${i}`, `other-secret-${i}-${i * 7919}`);
    search.add("the one", SECRET);
    const text = `${"x".repeat(100_000)}${SECRET}${"y".repeat(100_000)}`;
    expect(search.search(text, "a file")).toEqual([{ secret: "the one", form: "raw", where: "a file", at: 100_000 }]);
    expect(search.searched).toBe(Buffer.byteLength(text));
  });

  test("a private key: by its text, by one line of it, and by its lines in a row", () => {
    const pem = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" });
    const search = new SecretSearch();
    search.addPem("key", pem);
    const lines = pem.trim().split("\n").slice(1, -1);
    for (const text of [pem, lines[7], lines.at(-1), lines.join(""), JSON.stringify({ pem })])
      expect(search.search(`a ${text} b`, "a log")).not.toEqual([]);
  });

  test("of any bytes, at any place of any base64", () => {
    const some = fc.uint8Array({ minLength: 12, maxLength: 60 });
    const beside = fc.uint8Array({ maxLength: 9 });
    const property = fc.property(
      some,
      beside,
      beside,
      fc.constantFrom("base64", "base64url", "hex", "latin1"),
      (...all) => {
        const [secret, front, back, encoding] = all;
        const search = new SecretSearch();
        search.add("it", Buffer.from(secret));
        const text = Buffer.from(Buffer.concat([front, secret, back]).toString(encoding), "latin1");
        expect(search.search(text, "a log")).not.toEqual([]);
      },
    );
    fc.assert(property, { numRuns: 300 });
  });
});

test("what is not there is not found: neither a part of it nor another", () => {
  const search = searchFor(SECRET);
  for (const text of [SECRET.slice(0, -1), SECRET.slice(1), "", "short", JSON.stringify({ key: "another-secret" })])
    expect(search.search(text, "a log")).toEqual([]);
});

test("a secret that would be found in anything is refused", () => {
  expect(() => searchFor("short")).toThrow("shorter than 8 bytes");
});
