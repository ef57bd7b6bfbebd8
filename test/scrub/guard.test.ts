import { describe, expect, test } from "vitest";
import { Fields } from "../../src/core/fields.ts";
import type { Injected } from "../../src/core/ports.ts";
import { createResponseGuard } from "../../src/scrub/guard.ts";

const SECRET = "sk-live/ab+cd=ef&gh\"ij'kl\\mn<op>qr st";
const injected: Injected = { values: [`Bearer ${SECRET}`, SECRET] };
const guard = createResponseGuard();

const stars = (length: number) => "*".repeat(length);
const html = (text: string) =>
  text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
const each = (text: string, spell: (code: number) => string) =>
  Array.from(text, (c) => spell(c.charCodeAt(0))).join("");
const hex2 = (code: number) => code.toString(16).padStart(2, "0");

/** Every spelling that an upstream's encoder may choose. */
const spellings: readonly (readonly [string, string])[] = [
  ["raw", SECRET],
  ["percent, reserved characters", encodeURIComponent(SECRET)],
  ["percent, lower-case digits", encodeURIComponent(SECRET).toLowerCase().replaceAll("%5c", "%5C")],
  ["percent, as a URL keeps them", encodeURI(SECRET)],
  ["percent, every character", each(SECRET, (code) => `%${hex2(code)}`)],
  ["percent, twice", encodeURIComponent(encodeURIComponent(SECRET))],
  ["percent, three times", encodeURIComponent(encodeURIComponent(encodeURIComponent(SECRET)))],
  ["form", new URLSearchParams({ a: SECRET }).toString().slice(2)],
  ["JSON", JSON.stringify(SECRET).slice(1, -1)],
  ["JSON, slashes escaped", JSON.stringify(SECRET).slice(1, -1).replaceAll("/", "\\/")],
  ["JSON, every character as \\u", each(SECRET, (code) => `\\u00${hex2(code)}`)],
  ["JSON, upper-case digits", each(SECRET, (code) => `\\u00${hex2(code).toUpperCase()}`)],
  ["JSON in JSON", JSON.stringify(JSON.stringify(SECRET)).slice(1, -1).slice(2, -2)],
  ["JavaScript \\x", each(SECRET, (code) => `\\x${hex2(code)}`)],
  ["HTML", html(SECRET)],
  ["HTML, decimal", each(SECRET, (code) => `&#${code};`)],
  ["HTML, hexadecimal", each(SECRET, (code) => `&#x${hex2(code)};`)],
  ["HTML in a URL", encodeURIComponent(html(SECRET))],
  ["hexadecimal", Buffer.from(SECRET).toString("hex")],
  ["hexadecimal, upper case", Buffer.from(SECRET).toString("hex").toUpperCase()],
];

describe("spellings", () => {
  test.each(spellings)("%s, in the middle of a text", (_, spelling) => {
    const masked = guard.maskText(injected, `before ${spelling} after`);
    expect(masked).toBe(`before ${stars(spelling.length)} after`);
  });

  test.each(["", "a", "ab", "abc"])("base64 behind %j", (before) => {
    for (const after of ["", "z", "zy"]) {
      for (const alphabet of ["base64", "base64url"] as const) {
        const whole = Buffer.from(before + SECRET + after).toString(alphabet);
        const masked = guard.maskText(injected, `Basic ${whole}`);
        expect(masked).toHaveLength(whole.length + 6);
        const bytes = Buffer.from(masked.slice(6).replaceAll("*", "A"), alphabet);
        // Not one bit of the secret is left.
        expect(bytes.subarray(before.length, before.length + SECRET.length).every((byte) => byte === 0)).toBe(true);
        expect(masked.slice(6, 6 + Math.floor((before.length * 8) / 6))).toBe(
          whole.slice(0, Math.floor((before.length * 8) / 6)),
        );
      }
    }
  });

  test("base64 with its own characters escaped", () => {
    const whole = Buffer.from(`x:${SECRET}`).toString("base64");
    for (const spelling of [encodeURIComponent(whole), whole.replaceAll("/", "\\/")]) {
      expect(guard.maskText(injected, spelling)).toMatch(/^[A-Za-z0-9]{2}\*+[A-Za-z0-9=%]{0,6}$/);
    }
  });

  test("a secret beyond ASCII, as Latin-1 and as UTF-8", () => {
    const of = (text: string): Injected => ({ values: [text] });
    const secret = "geheim-\xe4\xf6\xfc";
    const utf8 = Buffer.from(secret).toString("latin1");
    for (const text of [secret, utf8, encodeURIComponent(secret), "geheim-%E4%F6%FC", "geheim-\\u00e4\\u00F6\\u00fc"]) {
      expect(guard.maskText(of(secret), `a ${text}`)).toBe(`a ${stars(text.length)}`);
    }
    for (const bytes of [Buffer.from(secret), Buffer.from(secret, "latin1")]) {
      expect(guard.maskText(of(secret), bytes.toString("hex"))).toMatch(/^\*+$/);
      expect(guard.maskText(of(secret), bytes.toString("base64"))).toMatch(/^\*+=*$/);
    }
    const wide = "geheim-\u4e2d\u6587";
    expect(guard.maskText(of(wide), "geheim-\\u4e2d\\u6587")).toMatch(/^\*+$/);
    expect(guard.maskText(of(wide), Buffer.from(wide).toString("latin1"))).toMatch(/^\*+$/);
  });

  test("a secret that itself looks escaped", () => {
    const of = (text: string): Injected => ({ values: [text] });
    for (const secret of ["half%41&more", "key%2Fkey%2Fkey", "a\\/b\\/c\\/d", "x&amp;y&lt;z"]) {
      for (const text of [secret, encodeURIComponent(secret), html(secret), JSON.stringify(secret).slice(1, -1)]) {
        expect(guard.maskText(of(secret), `<${text}>`), text).toBe(`<${stars(text.length)}>`);
      }
    }
  });

  describe("a guest's text right before it, which eats its beginning when it is unescaped", () => {
    const hexadecimal = "abcdef0123456789/abcdef+0123456789";
    const prefixes = ["%", "%a", "%25", "\\", "\\u", "\\u0", "\\x", "&", "&#", "&#x", "&#x4", "&am", "%5C", "%5Cu"];
    const spelled: readonly (readonly [string, string])[] = [
      ["raw", hexadecimal],
      ["percent", encodeURIComponent(hexadecimal)],
      ["JSON", hexadecimal.replaceAll("/", "\\/")],
      ["HTML", hexadecimal.replaceAll("/", "&#47;")],
      ["hexadecimal, percent", Buffer.from(hexadecimal).toString("hex").replaceAll("7", "%37")],
      ["base64, percent", encodeURIComponent(Buffer.from(`${hexadecimal}??>>`).toString("base64"))],
    ];

    test.each(spelled)("%s", (_, spelling) => {
      for (const prefix of prefixes) {
        const masked = guard.maskText({ values: [hexadecimal] }, `before ${prefix}${spelling}`);
        const rest = masked.slice("before ".length + prefix.length).replace(/[^*]{0,12}$/, "");
        expect(rest, prefix).toMatch(/^\*{30,}$/);
        expect(masked.slice(0, 2)).toBe("be");
      }
    });
  });

  test("several, one right behind the other", () => {
    expect(guard.maskText(injected, SECRET + SECRET)).toBe(stars(SECRET.length * 2));
    const aaa: Injected = { values: ["aaaaaaaa"] };
    expect(guard.maskText(aaa, "baaaaaaaaaab")).toBe(`b${stars(10)}b`);
  });
});

describe("fields", () => {
  const masked = (pairs: readonly (readonly [string, string])[], what = injected) => {
    const fields = Fields.of(pairs);
    const count = guard.maskFields(what, fields);
    return { count, pairs: [...fields.pairs()] };
  };

  test("values are masked where they stand, names, order and other lines stay", () => {
    const encoded = encodeURIComponent(SECRET);
    const { count, pairs } = masked([
      ["Server", "nginx"],
      ["Set-Cookie", `token=${encoded}; Path=/; HttpOnly`],
      ["LOCATION", `https://a.example/?key=${encoded}&x=%20y`],
      ["X-Echo", `Bearer ${SECRET}`],
      ["X-Echo", "Bearer another-token-entirely-0123456789"],
    ]);
    expect(count).toBe(3);
    expect(pairs).toEqual([
      ["Server", "nginx"],
      ["Set-Cookie", `token=${stars(encoded.length)}; Path=/; HttpOnly`],
      ["LOCATION", `https://a.example/?key=${stars(encoded.length)}&x=%20y`],
      ["X-Echo", `Bearer ${stars(SECRET.length)}`],
      ["X-Echo", "Bearer another-token-entirely-0123456789"],
    ]);
  });

  test("a name that holds it takes its line along", () => {
    const token: Injected = { values: ["AbCd-EfGh_0123"] };
    const { count, pairs } = masked(
      [
        ["X-abcd-efgh_0123-y", "1"],
        ["X-AbCd", "2"],
      ],
      token,
    );
    expect(count).toBe(1);
    expect(pairs).toEqual([["X-AbCd", "2"]]);
  });

  test("dropped lines stay dropped and do not count", () => {
    const fields = Fields.of([["X-Echo", SECRET]]);
    fields.drop(0);
    expect(guard.maskFields(injected, fields)).toBe(0);
    expect(fields.render()).toBe("");
  });

  test("framing is left alone", () => {
    const digits: Injected = { values: ["12345678"] };
    const { pairs } = masked(
      [
        ["Content-Length", "12345678"],
        ["X-Id", "12345678"],
      ],
      digits,
    );
    expect(pairs).toEqual([
      ["Content-Length", "12345678"],
      ["X-Id", "********"],
    ]);
  });

  test("Set-Cookie does not pass where a cookie was attached", () => {
    const cookie: Injected = { values: ["session=s3cr3t-0123", "s3cr3t-0123"], cookieAttached: true };
    const lines = [
      ["Set-Cookie", "session=rotated"],
      ["X-A", "1"],
      ["set-cookie", "b=2"],
    ] as const;
    expect(masked(lines, cookie)).toEqual({ count: 0, pairs: [["X-A", "1"]] });
    expect(masked(lines).pairs).toHaveLength(3);
  });

  test("nothing injected, nothing touched", () => {
    const none: Injected = { values: [] };
    expect(masked([["X-Echo", SECRET]], none)).toEqual({ count: 0, pairs: [["X-Echo", SECRET]] });
    expect(guard.maskText(none, SECRET)).toBe(SECRET);
  });

  test("another lease, another secret", () => {
    const other: Injected = { values: ["another-token-0123456789"] };
    expect(guard.maskText(other, `${SECRET} another-token-0123456789`)).toBe(`${SECRET} ${stars(24)}`);
  });

  test("the longest sections take no time that shows", () => {
    for (const unit of ["%", "\\", "&", "&#", "%25", "\\\\", "&amp;", "a%41", SECRET, "0", "sk-live"]) {
      const text = unit.repeat(Math.ceil(50_000 / unit.length));
      expect(guard.maskText(injected, text)).toHaveLength(text.length);
    }
  });
});

describe("short secrets", () => {
  const short: Injected = { values: ["Bearer a1b2", "a1b2"] };

  test.each([
    ["a1b2", "****"],
    ["key=a1b2;", "key=****;"],
    ["Bearer a1b2", "***********"],
    ["xa1b2 a1b2x a1b2c3", "xa1b2 a1b2x a1b2c3"],
    ["A1B2", "A1B2"],
    [`x ${Buffer.from("Bearer a1b2").toString("base64")}`, `x ${stars(15)}=`],
    [Buffer.from("a1b2").toString("base64"), Buffer.from("a1b2").toString("base64")],
    ["%611b2", "******"],
  ])("%s becomes %s", (text, expected) => expect(guard.maskText(short, text)).toBe(expected));

  test("eight characters are looked for everywhere", () => {
    const eight: Injected = { values: ["a1b2c3d4"] };
    expect(guard.maskText(eight, "xxa1b2c3d4yy")).toBe("xx********yy");
    expect(guard.maskText(eight, Buffer.from("__a1b2c3d4").toString("base64"))).toMatch(/^[A-Za-z0-9]{2}\*+=*$/);
  });

  test("an empty value is none", () => {
    expect(guard.maskText({ values: [""] }, "anything")).toBe("anything");
    expect(guard.maskText({ values: ["", "a1b2c3d4"] }, "any a1b2c3d4")).toBe("any ********");
  });
});

describe("what was made for one exchange", () => {
  const signature = "a+/b0c1d2e3f4+/g==";
  const made: Injected = { values: ["the key of it all"], once: [signature] };

  test.each([
    ["as it is", signature],
    ["percent-encoded, as in a redirect", encodeURIComponent(signature)],
    ["percent-encoded twice", encodeURIComponent(encodeURIComponent(signature))],
    ["JSON, slashes escaped", signature.replaceAll("/", "\\/")],
    ["HTML", each(signature, (code) => `&#${code};`)],
  ])("is masked: %s", (_name, spelling) => {
    const masked = `x ${stars(spelling.length)} y`;
    expect(guard.maskText(made, `x ${spelling} y`)).toBe(masked);
    const fields = Fields.of([["X-Back", `x ${spelling} y`]]);
    expect(guard.maskFields(made, fields)).toBe(1);
    expect(fields.get("x-back")).toBe(masked);
  });

  test("goes with the field whose name it is, in any case", () => {
    const hex: Injected = { values: ["the key of it all"], once: ["0123456789abcdef"] };
    const fields = Fields.of([
      ["X-0123456789ABCDEF", "1"],
      ["X-Other", "100%"],
    ]);
    expect(guard.maskFields(hex, fields)).toBe(1);
    expect([...fields.pairs()]).toEqual([["X-Other", "100%"]]);
  });
});
