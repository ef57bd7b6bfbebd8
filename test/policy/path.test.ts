import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readTarget } from "../../src/policy/path.ts";
import { pathMatches } from "./plain-matcher.ts";
import { ask, policyOf, rule, verdict } from "./fixture.ts";

describe("one reading", () => {
  test.each([
    ["/", "/", ""],
    ["/v1/models", "/v1/models", ""],
    ["/v1/models/", "/v1/models/", ""],
    ["/v1/%6dodels", "/v1/models", ""],
    ["/%7euser/%2dx%5Fy", "/~user/-x_y", ""],
    ["/a%20b%c3%a9", "/a%20b%C3%A9", ""],
    ["/a%3ab", "/a%3Ab", ""],
    ["/a:b@c+d,e=f&g$h!i'(j)*k", "/a:b@c+d,e=f&g$h!i'(j)*k", ""],
    ["/a%25", "/a%25", ""],
    ["/a%25zz", "/a%25zz", ""],
    ["/.well-known/openid-configuration", "/.well-known/openid-configuration", ""],
    ["/..a/b../.c", "/..a/b../.c", ""],
    ["/wiki/Apple_Inc.", "/wiki/Apple_Inc.", ""],
    ["/wiki/%e2%80%a6and_on", "/wiki/%E2%80%A6and_on", ""],
    ["/%c2%bd", "/%C2%BD", ""],
    ["/a?b=../c//d;e&f=%2e%2f\\", "/a", "b=../c//d;e&f=%2e%2f\\"],
    ["/a?b?c", "/a", "b?c"],
    ["/a?", "/a", ""],
  ])("%s", (target, path, query) => {
    expect(readTarget(target)).toEqual({ path, query, others: [], doubt: null, malformed: null, hidesQuery: false });
  });
});

describe("several readings, all of which can be listed", () => {
  test.each([
    ["/@scope%2fname", "/@scope%2Fname", ["/@scope/name"]],
    ["/a%2Fb%2fc", "/a%2Fb%2Fc", ["/a/b/c"]],
    ["/a%23b", "/a%23b", ["/a"]],
    ["/a%3fb", "/a%3Fb", ["/a"]],
    ["/a%3fb%23c", "/a%3Fb%23c", ["/a"]],
    ["/a%2fb%3fc", "/a%2Fb%3Fc", ["/a/b%3Fc", "/a%2Fb", "/a/b"]],
  ])("%s", (target, path, others) => {
    const reading = readTarget(target);
    expect(reading).toMatchObject({ path, others, doubt: null, malformed: null });
    expect(reading.hidesQuery).toBe(/%3f/i.test(target));
  });
});

/** Everything that is allowed but `/v1/**`: only the path itself can be what refuses. */
const narrow = policyOf(rule({ allow: [{ paths: ["/v1/**"] }] }));
const wide = policyOf(rule({ allow: [{ paths: ["/**"] }] }));

/** Doubtful: refused by a narrow entry although some reading lies inside of it; let through where any path is allowed. */
const DOUBTFUL = [
  "/v1/../admin",
  "/v1/..",
  "/v1/.",
  "/v1/./models",
  "/v1/x/../y",
  "/../v1/models",
  "/./v1/models",
  "/v1/%2e%2e/admin",
  "/v1/%2E%2E/admin",
  "/v1/.%2e/admin",
  "/v1/%2e./admin",
  "/v1/%2e/models",
  "/v1/..%2fadmin",
  "/v1/..%2Fadmin",
  "/v1%2f..%2fadmin",
  "/v1/%2e%2e%2fadmin",
  "/v1/x%2f..%2f..%2fadmin",
  "/v1/%252e%252e/admin",
  "/v1/%252e%252e%252fadmin",
  "/v1/..%252fadmin",
  "/v1/%25252e%25252e/admin",
  "/v1/a%252fb",
  "/v1/%25%32%65%25%32%65/admin",
  "/v1/..;/admin",
  "/v1/..;x=y/admin",
  "/v1/.;/models",
  "/v1/models;x=1",
  "/v1;x/models",
  "/v1/;/admin",
  "/v1/..%3b/admin",
  "/v1/..%3B/admin",
  "/v1/models%3bx",
  "/v1//models",
  "/v1///models",
  "//v1/models",
  "/v1//",
  "/v1/%2f/models",
  "/%2fv1/models",
  "/v1/a%2f/b",
  "/v1/a%2f%2fb",
  "/v1/..%5cadmin",
  "/v1/..%5Cadmin",
  "/v1%5c..%5cadmin",
  "/v1/%5c/admin",
  "/v1/..%255cadmin",
  "/v1/...",
  "/v1/.../admin",
  "/v1/..%20/admin",
  "/v1/%20../admin",
  "/v1/.%20./admin",
  "/v1/%20/admin",
  "/v1/..%c2%a0/admin",
  "/v1/..%3fx",
  "/v1/..%23x",
  "/v1/.%3fx",
  "/v1/%c0%ae%c0%ae/admin",
  "/v1/..%c0%af../admin",
  "/v1/%e0%80%ae%e0%80%ae/admin",
  "/v1/..%c1%9cadmin",
  "/v1/%ff",
  "/v1/%e9t%e9",
  "/v1/%ed%a0%80",
  "/v1/..%ef%bc%8fadmin",
  "/v1/%ef%bc%8e%ef%bc%8e/admin",
  "/v1/%e2%80%a5/admin",
  "/v1/..%e2%88%95admin",
  "/v1/..%e2%81%84admin",
  "/v1/..%ef%bc%bcadmin",
  "/v1/x%ef%bc%9by",
  "/v1/x%cd%bey",
  "/v1/x%ef%bc%9fy",
  "/v1/%ef%bc%852e",
  "/v1/%e2%84%80",
];

/** What nobody sends in good faith: refused whatever is allowed. */
const MALFORMED = [
  "",
  "*",
  "v1/models",
  "http://api.example.com/v1/models",
  "?x=1",
  "%2fv1/models",
  "\\v1\\models",
  "/v1\\..\\admin",
  "/v1/..\\admin",
  "/v1/models%",
  "/v1/models%2",
  "/v1/models%zz",
  "/v1/models%2g",
  "/v1/%u002e%u002e/admin",
  "/v1/%%32%65/admin",
  "/v1/%2%65/admin",
  "/v1/models%00",
  "/v1/%00/../admin",
  "/v1/models%00.json",
  "/v1/x%0d%0aHost:%20evil",
  "/v1/x%0a",
  "/v1/x%09y",
  "/v1/x%7f",
  "/v1/x%1b",
  "/v1/x y",
  "/v1/x\ty",
  "/v1/x\u0000y",
  "/v1/x\r\ny",
  "/v1/x\u007fy",
  "/v1/\u00e9t\u00e9",
  "/v1/\u00c0\u00ae\u00c0\u00ae/admin",
  "/v1/\uff0e\uff0e/admin",
  "/v1/models#x",
  "/v1/models?x#y",
];

describe("hostile spellings", () => {
  test.each(DOUBTFUL)("%j is refused unless any path is allowed", (path) => {
    expect(verdict(narrow, ask(path))).toBe("ambiguous_path");
    expect(verdict(wide, ask(path))).toBe("allow[0]");
  });

  test.each(MALFORMED)("%j is refused whatever is allowed", (path) => {
    expect(verdict(narrow, ask(path))).toBe("ambiguous_path");
    expect(verdict(wide, ask(path))).toBe("ambiguous_path");
  });

  test.each([
    "/V1/models",
    "/v1x/models",
    "/v1%2fmodels%2f",
    "/",
    "/v2",
    "/%561/x",
    "/v1*",
    "/v",
    "/admin%2fv1/models",
  ])("%j lies outside", (path) => {
    expect(["path_not_allowed", "ambiguous_path"]).toContain(verdict(narrow, ask(path)));
    expect(verdict(wide, ask(path))).toBe("allow[0]");
  });

  test.each(["/v1", "/v1/", "/v1/models", "/%761/models", "/v1/@scope%2fname", "/v1/who%3f", "/v1/c%23"])(
    "%j lies inside in every reading",
    (path) => {
      expect(verdict(narrow, ask(path))).toBe("allow[0]");
    },
  );
});

/** What servers do to a path, one step each, on bytes as Latin-1. Real ones are chains of these. */
const STEPS: Readonly<Record<string, (path: string) => string>> = {
  decode: (path) => unescaped(path, /%[0-9a-f]{2}/gi),
  decodeButSlash: (path) => unescaped(path, /%(?!2f)[0-9a-f]{2}/gi),
  decodeOverlong: (path) =>
    path.replaceAll(/\u00c0[\u0080-\u00bf]/g, (pair) => String.fromCharCode(pair.charCodeAt(1) & 0x3f)),
  mergeSlashes: (path) => path.replaceAll(/\/+/g, "/"),
  backslashes: (path) => path.replaceAll("\\", "/"),
  stripParameters: (path) => path.replaceAll(/;[^/]*/g, ""),
  cutAtMark: (path) => path.replace(/[?#].*$/s, ""),
  cutAtNul: (path) => path.replace(/\0.*$/s, ""),
  foldUnicode: (path) =>
    Buffer.from(Buffer.from(path, "latin1").toString("utf8").normalize("NFKC"), "utf8").toString("latin1"),
  trimSegments: (path) => path.replaceAll(/[. ]+(?=\/|$)/g, (run) => (/^\.\.?$/.test(run) ? run : "")),
  resolveDots,
};

function unescaped(path: string, escapes: RegExp): string {
  return path.replaceAll(escapes, (escape) => String.fromCharCode(Number.parseInt(escape.slice(1), 16)));
}

/** RFC 3986 §5.2.4. */
function resolveDots(path: string): string {
  const out: string[] = [];
  const segments = path.split("/").slice(1);
  segments.forEach((segment, i) => {
    const last = i === segments.length - 1;
    if (segment === "..") out.pop();
    if (segment !== "." && segment !== "..") out.push(segment);
    else if (last) out.push("");
  });
  return `/${out.join("/")}`;
}

const PATTERNS = [
  "/v1/**",
  "/v1/*",
  "/v1",
  "/v1/a/*/z",
  "/v1/**/z",
  "/@*/**",
  "/*/a",
  "/v1/a*",
  "/*",
  "/v1/@a/b",
  "/**/a/**",
];

const pieces = fc.constantFrom(
  ...[
    "/ / / v1 v1 a z b @a . .. %2e %2E%2e %2f %2F %252f %252e %25 2f %5c \\ ; ;x=1 %3b %3f %23 # %00 %c0%af %c0%ae %ef%bc%8f",
    "%e2%80%a5 %20 %c3%a9 %761 %61 * %2a % %25%32%66 %2 %e2%84%80 %25252e admin %0a + : %3a %40a",
  ].flatMap((words) => words.split(" ")),
);
const hostile = fc.array(pieces, { minLength: 1, maxLength: 3 }).map((parts) => parts.join(""));
const hostilePath = fc.array(pieces, { maxLength: 12 }).map((parts) => `/${parts.join("")}`);
/** A path that fits a pattern but for what its wildcards were filled with. */
const nearPath = fc
  .tuple(fc.constantFrom(...PATTERNS), fc.array(hostile, { minLength: 3, maxLength: 3 }))
  .map(([pattern, fillings]) => fillings.reduce((path, filling) => path.replace(/\*\*?/, () => filling), pattern));
const chain = fc.array(fc.constantFrom(...Object.keys(STEPS)), { maxLength: 6 });

describe("the decision never differs from what a server reads", () => {
  test("whatever a narrow entry lets through stays inside of it, however it is read", () => {
    let allowed = 0;
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.constantFrom(...PATTERNS), { minLength: 1, maxLength: 3 }),
        fc.oneof(nearPath, hostilePath),
        chain,
        (paths, path, steps) => {
          const policy = policyOf(rule({ allow: [{ paths }] }));
          if (verdict(policy, ask(path)) !== "allow[0]") return;
          allowed++;
          // RFC 3986 §6.2.2.2: escaped unreserved characters are the characters themselves, to every server.
          const plain = unescaped(path, /%(?:2[de]|3[0-9]|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae])/gi);
          const read = steps.reduce((text, step) => (STEPS[step] as (path: string) => string)(text), plain);
          expect(
            paths.filter((pattern) => pathMatches(pattern, read)),
            `${path} read as ${read} by ${steps.join()}`,
          ).not.toEqual([]);
        },
      ),
      { numRuns: 30_000 },
    );
    // The property would hold for a policy that refuses everything.
    expect(allowed).toBeGreaterThan(500);
  });

  test("a path with one reading is decided as the plain matcher does", () => {
    const plain = fc
      .array(fc.constantFrom("v1", "a", "z", "b", "@a", "aa", "%61", "v1x"), { maxLength: 6 })
      .map((parts) => `/${parts.join("/")}`);
    fc.assert(
      fc.property(fc.constantFrom(...PATTERNS), plain, (pattern, path) => {
        const policy = policyOf(rule({ allow: [{ paths: [pattern] }] }));
        expect(verdict(policy, ask(path)) === "allow[0]").toBe(pathMatches(pattern, path.replaceAll("%61", "a")));
      }),
      { numRuns: 5000 },
    );
  });

  test("reading never throws and is bounded", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = Buffer.from(bytes).toString("latin1");
        const reading = readTarget(text);
        expect(reading.others.length).toBeLessThanOrEqual(3);
        expect(reading.path.length).toBeLessThanOrEqual(text.length);
      }),
    );
  });

  test("the decision form is a fixed point", () => {
    fc.assert(
      fc.property(hostilePath, (path) => {
        const once = readTarget(path);
        fc.pre(once.malformed === null);
        expect(readTarget(once.path)).toEqual({ ...once, query: "" });
      }),
    );
  });
});

describe("patterns that spell an encoded delimiter", () => {
  const gitlab = policyOf(rule({ allow: [{ paths: ["/api/v4/projects/group%2fproject/**"] }] }));

  test.each([
    ["/api/v4/projects/group%2Fproject/issues", "allow[0]"],
    ["/api/v4/projects/group%2fproject", "allow[0]"],
    ["/api/v4/projects/group/project/issues", "path_not_allowed"],
    ["/api/v4/projects%2fgroup%2fproject/issues", "ambiguous_path"],
    ["/api/v4/projects/group%2Fother/issues", "path_not_allowed"],
    ["/api/v4/projects/group%2Fproject%2F..%2Fother/issues", "ambiguous_path"],
    ["/api/v4/projects/group%2Fproject/files/a%2Fb", "allow[0]"],
  ])("%s: %s", (path, expected) => {
    expect(verdict(gitlab, ask(path))).toBe(expected);
  });

  test("npm: one pattern for the scope covers both spellings", () => {
    const npm = policyOf(rule({ allow: [{ paths: ["/@acme/*", "/@acme%2f*"] }] }));
    expect(verdict(npm, ask("/@acme/tool"))).toBe("allow[0]");
    expect(verdict(npm, ask("/@acme%2ftool"))).toBe("allow[0]");
    expect(verdict(npm, ask("/@acme%2ftool%2f-%2ftool.tgz"))).toBe("ambiguous_path");
    expect(verdict(npm, ask("/@evil%2ftool"))).toBe("path_not_allowed");
  });

  test("a slash that only an encoding hides is not data for a single-segment wildcard", () => {
    const registry = policyOf(rule({ allow: [{ paths: ["/*"] }] }));
    expect(verdict(registry, ask("/left-pad"))).toBe("allow[0]");
    expect(verdict(registry, ask("/@scope%2fname"))).toBe("ambiguous_path");
  });
});

describe("an encoded question mark", () => {
  test("may hold a query, so that an entry with query rules cannot judge it", () => {
    const policy = policyOf(rule({ allow: [{ paths: ["/**"], query: { model: ["small"] } }] }));
    expect(verdict(policy, ask("/x?model=small"))).toBe("allow[0]");
    expect(verdict(policy, ask("/x%3fmodel=large"))).toBe("ambiguous_path");
    expect(verdict(policy, ask("/x%253fmodel=large"))).toBe("ambiguous_path");
  });
});
