import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createAttachPort } from "../../src/attach/attach.ts";
import { rewriteQuery } from "../../src/attach/query-string.ts";
import type { AttachmentSpec } from "../../src/core/destination.ts";
import { type Material, secretsOf } from "../../src/core/material.ts";
import type { Secret } from "../../src/core/secret.ts";
import { scanRequestHead } from "../../src/http1/head.ts";
import {
  denialOf,
  destination,
  headerValue,
  headOf,
  leaseOf,
  type Line,
  NOW_MS,
  permitFor,
  token,
  userpass,
  TOOLS,
  attachNow,
} from "./exchange.ts";

/** Whatever a guest sends and custody issues: what leaves is read back by the strict codec and judged. */

const LIMITS = { headBytes: 1 << 20, headFields: 1000 };
const RUNS = 600;

const fieldName = fc.oneof(
  fc.constantFrom("Authorization", "AUTHORIZATION", "authorization", "X-Api-Key", "x-api-key", "X_API_KEY", "Cookie"),
  fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,12}$/),
);
const fieldText = fc.oneof(
  fc.stringMatching(/^[\x21-\x7e\xa0-\xff]([\x20-\x7e\xa0-\xff]{0,40}[\x21-\x7e])?$/),
  fc.constantFrom("Bearer evil", "session=evil", "a=1; session=evil", "x; session = evil ;y=session", ""),
);
const lines = fc.array(fc.tuple(fieldName, fieldText), { maxLength: 12 });

const keySpelling = fc
  .array(fc.boolean(), { minLength: 3, maxLength: 3 })
  .map((encode) =>
    ["k", "e", "y"].map((c, i) => (encode[i] === true ? `%${c.charCodeAt(0).toString(16)}` : c)).join(""),
  );
const parameter = fc.oneof(
  fc.tuple(keySpelling, fc.stringMatching(/^[a-z0-9%=+]{0,6}$/)).map(([key, value]) => `${key}=${value}`),
  fc.stringMatching(/^[A-Za-z0-9%+=._~-]{0,10}$/),
);
const target = fc
  .tuple(
    fc.stringMatching(/^\/[a-z/%0-9]{0,10}$/),
    fc.option(fc.array(fc.tuple(parameter, fc.constantFrom("&", "&", "&", ";")), { maxLength: 6 })),
  )
  .map(([path, query]) => (query === null ? path : `${path}?${query.map(([text, by]) => text + by).join("")}`));

/** Mostly what real credentials look like, sometimes anything at all. */
const secretText = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9._~+/=-]{1,60}$/),
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.string({ unit: "grapheme", maxLength: 20 }),
  fc.constantFrom("a\r\nX-Evil: 1", "a\nb", "\0", "$&", "a b", " a", "\u2028"),
);
const material: fc.Arbitrary<Material> = fc.oneof(
  secretText.map(token),
  secretText.map(headerValue),
  fc.tuple(fc.stringMatching(/^[a-z0-9@.]{0,10}$/), secretText).map(([username, text]) => userpass(username, text)),
);

const specs: readonly AttachmentSpec[] = [
  { as: "bearer" },
  { as: "basic", username: null },
  { as: "basic", username: "robot" },
  { as: "header", name: "X-Api-Key", format: "{token}" },
  { as: "header", name: "Authorization", format: "token {token}" },
  { as: "query", name: "key" },
  { as: "cookie", name: "session" },
];

/** Sends it through `cleanse` and `attach` and reads back what would be on the wire. */
function exchange(spec: AttachmentSpec, issued: Material, guest: readonly Line[], raw: string) {
  const attach = createAttachPort(TOOLS, ["sk-postern-known"]);
  const permit = permitFor(destination([spec]));
  const head = headOf(guest, raw);
  attach.cleanse(permit, head);
  const denial = denialOf(() => attachNow(attach, permit, leaseOf(issued), head, NOW_MS));
  const wire = `GET ${head.target} HTTP/1.1\r\n${head.fields.render()}\r\n`;
  const read = scanRequestHead(Buffer.from(wire, "latin1"), LIMITS);
  if (read === null) throw new Error("the head on the wire has no end");
  return { denial, head: read, lines: read.fields.render().split("\r\n").slice(0, -1) };
}

const plainLines = (guest: readonly Line[]) => guest.map(([name, value]) => `${name}: ${value}`);
const secretIn = (issued: Material) => (secretsOf(issued)[0] as Secret).reveal();

/** The one line that must be there. */
function expectedField(spec: AttachmentSpec, issued: Material): string {
  const secret = secretIn(issued);
  switch (spec.as) {
    case "bearer":
      return `Authorization: Bearer ${secret}`;
    case "basic": {
      const username = spec.username ?? (issued.kind === "userpass" ? issued.username : "");
      return `Authorization: Basic ${Buffer.from(`${username}:${secret}`).toString("base64")}`;
    }
    case "header":
      return `${spec.name}: ${spec.format.split("{token}").join(secret)}`;
    default:
      throw new Error("not a field of its own");
  }
}

describe("fields of their own", () => {
  test.each(specs.filter(({ as }) => as === "bearer" || as === "basic" || as === "header"))(
    "%j: exactly one, exactly the material, every other line byte for byte in order",
    (spec) => {
      const own = spec.as === "header" ? spec.name.toLowerCase() : "authorization";
      fc.assert(
        fc.property(material, lines, target, (issued, guest, raw) => {
          const others = guest.filter(([name]) => name.toLowerCase().replaceAll("_", "-") !== own);
          const { denial, head, lines: sent } = exchange(spec, issued, guest, raw);
          expect(head.target).toBe(raw);
          if (denial === null) {
            expect(sent).toEqual([...plainLines(others), expectedField(spec, issued)]);
          } else {
            expect(denial.code).toBe("lease_unusable");
            expect(sent).toEqual(plainLines(others));
          }
        }),
        { numRuns: RUNS },
      );
    },
  );
});

describe("query", () => {
  test("exactly one, exactly the material, every other byte stays", () => {
    fc.assert(
      fc.property(material, lines, target, (issued, guest, raw) => {
        const { denial, head, lines: sent } = exchange({ as: "query", name: "key" }, issued, guest, raw);
        expect(sent).toEqual(plainLines(guest));
        const given = splitQuery(raw);
        const kept = given.parameters.filter(({ text }) => !isKey(text));
        const found = splitQuery(head.target);
        expect(found.path).toBe(given.path);
        const last = denial === null ? found.parameters.pop() : undefined;
        const texts = (parameters: { text: string }[]) =>
          parameters.map(({ text }) => text).filter((text) => text !== "");
        expect(texts(found.parameters)).toEqual(texts(kept));
        if (last === undefined) return;
        expect(last.text).toMatch(/^key=[A-Za-z0-9._~%-]+$/);
        expect(decodeURIComponent(last.text.slice(4))).toBe(secretIn(issued));
      }),
      { numRuns: RUNS },
    );
  });

  test("a target without the key is the very same", () => {
    fc.assert(
      fc.property(target, (raw) => {
        fc.pre(!splitQuery(raw).parameters.some(({ text }) => isKey(text)));
        expect(rewriteQuery(raw, "key", () => null)).toBe(raw);
      }),
      { numRuns: RUNS },
    );
  });

  test("cutting once is enough", () => {
    fc.assert(
      fc.property(target, (raw) => {
        const once = rewriteQuery(raw, "key", () => null);
        expect(splitQuery(once).parameters.some(({ text }) => isKey(text))).toBe(false);
        expect(rewriteQuery(once, "key", () => null)).toBe(once);
      }),
      { numRuns: RUNS },
    );
  });
});

describe("cookie", () => {
  test("exactly one, exactly the material, other lines byte for byte in order", () => {
    fc.assert(
      fc.property(material, lines, target, (issued, guest, raw) => {
        const { denial, head, lines: sent } = exchange({ as: "cookie", name: "session" }, issued, guest, raw);
        expect(head.target).toBe(raw);
        const isCookieLine = (line: string) => /^cookie:/i.test(line);
        expect(sent.filter((line) => !isCookieLine(line))).toEqual(
          plainLines(guest).filter((line) => !isCookieLine(line)),
        );
        const cookies = head.fields.all("cookie").flatMap((value) => value.split(";").map((pair) => pair.trim()));
        const named = cookies.filter((pair) => /^session(?:\s*=|$)/.test(pair));
        expect(named).toEqual(denial === null ? [`session=${secretIn(issued)}`] : []);
        const untouched = guest
          .filter(([name]) => name.toLowerCase() === "cookie")
          .flatMap(([, value]) => value.split(";").map((pair) => pair.trim()))
          .filter((pair) => pair !== "" && !pair.includes("session"));
        expect(cookies.filter((pair) => pair !== "" && !pair.includes("session"))).toEqual(untouched);
      }),
      { numRuns: RUNS },
    );
  });
});

describe("placeholder", () => {
  const standIn = "sk-postern-known";
  const spec: AttachmentSpec = {
    as: "placeholder",
    value: standIn,
    spots: [
      { in: "header", name: "x-key" },
      { in: "query", name: "key" },
    ],
  };
  const around = fc.stringMatching(/^[a-z ,;"=]{0,6}$/);

  test("the material stands where the stand-in stood, and no stand-in leaves", () => {
    fc.assert(
      fc.property(material, lines, around, around, fc.boolean(), (issued, guest, before, after, inQuery) => {
        const value = `x${before}${standIn}${after}x`;
        const sentLines: readonly Line[] = inQuery ? guest : [...guest, ["X-Key", value]];
        const { denial, head, lines: sent } = exchange(spec, issued, sentLines, inQuery ? `/p?key=${standIn}` : "/p");
        if (denial !== null) {
          expect(denial.code).toBe("lease_unusable");
          return;
        }
        const secret = secretIn(issued);
        expect(sent.join("\n") + head.target).not.toContain(standIn);
        expect(sent.slice(0, guest.length)).toEqual(plainLines(guest));
        if (inQuery) expect(decodeURIComponent(head.target)).toBe(`/p?key=${secret}`);
        else expect(sent.at(-1)).toBe(`X-Key: x${before}${secret}${after}x`);
      }),
      { numRuns: RUNS },
    );
  });
});

interface Parameter {
  readonly text: string;
}

function splitQuery(raw: string): { path: string; parameters: Parameter[] } {
  const mark = raw.indexOf("?");
  if (mark < 0) return { path: raw, parameters: [] };
  const parameters = raw.slice(mark + 1).split(/[&;]/);
  return { path: raw.slice(0, mark), parameters: parameters.map((text) => ({ text })) };
}

/** Slow and obvious: the key decoded by the platform. */
function isKey(text: string): boolean {
  const key = (text.split("=")[0] as string).replaceAll("+", " ").replaceAll(/%(?![0-9a-f]{2})/gi, "%25");
  try {
    return decodeURIComponent(key) === "key";
  } catch {
    return false; // not UTF-8, so not the key
  }
}
