import { describe, expect, test } from "vitest";
import { createAttachPort } from "../../src/attach/attach.ts";
import type { AttachmentSpec, PlaceholderSpot } from "../../src/core/destination.ts";
import {
  codeOf,
  denialOf,
  destination,
  headOf,
  leaseOf,
  type Line,
  linesOf,
  NOW_MS,
  permitFor,
  token,
  userpass,
  TOOLS,
  attachNow,
} from "./exchange.ts";

/** A stand-in is replaced at home and leaves nowhere else. */

const OWN = "sk-postern-own";
const OTHER = "sk-postern-other";
const LONGER = "sk-postern-own-2";
const SECRET = "tok-$&-0123456789";
const KNOWN = [OWN, OTHER, LONGER];

const base64 = (text: string) => Buffer.from(text, "latin1").toString("base64");
const base64url = (text: string) => Buffer.from(text, "latin1").toString("base64url");

const spots: readonly PlaceholderSpot[] = [
  { in: "header", name: "authorization" },
  { in: "header", name: "sec-websocket-protocol" },
  { in: "header", name: "cookie" },
  { in: "query", name: "key" },
];
const placeholder: AttachmentSpec = { as: "placeholder", value: OWN, spots };
const own = destination([placeholder]);
const plain = destination([], { credential: null });
const bearer = destination([{ as: "bearer" }]);

function sent(lines: readonly Line[], target = "/p", to = own, material = token(SECRET)) {
  const attach = createAttachPort(TOOLS, KNOWN);
  const permit = permitFor(to);
  const head = headOf(lines, target);
  attach.cleanse(permit, head);
  attachNow(attach, permit, leaseOf(material), head, NOW_MS);
  return { lines: linesOf(head), target: head.target };
}

describe("at home", () => {
  test.each([
    ["Authorization", OWN, SECRET],
    ["authorization", `Bearer ${OWN}`, `Bearer ${SECRET}`],
    ["AUTHORIZATION", `token ${OWN}, again="${OWN}"`, `token ${SECRET}, again="${SECRET}"`],
    ["Authorization", `Basic ${base64(`robot:${OWN}`)}`, `Basic ${base64(`robot:${SECRET}`)}`],
    ["Authorization", `bAsIc   ${base64(`${OWN}:`)}`, `bAsIc   ${base64(`${SECRET}:`)}`],
    ["Authorization", `Basic ${base64(`\xe9:${OWN}`).replace(/=+$/, "")}`, `Basic ${base64(`\xe9:${SECRET}`)}`],
    ["Sec-WebSocket-Protocol", `realtime, api-key.${OWN}, v1`, `realtime, api-key.${SECRET}, v1`],
    ["Cookie", `a=1; session=${OWN}`, `a=1; session=${SECRET}`],
  ])("%s: %s", (name, value, expected) => {
    expect(
      sent([
        ["Accept", "*/*"],
        [name, value],
      ]).lines,
    ).toEqual(["Accept: */*", `${name}: ${expected}`]);
  });

  test("a query value, percent-encoded on the way out", () => {
    expect(sent([], `/p?a=1&key=${OWN}&b=%20`).target).toBe("/p?a=1&key=tok-%24%26-0123456789&b=%20");
    expect(sent([], `/p?k%65y=x${OWN}`).target).toBe("/p?k%65y=xtok-%24%26-0123456789");
  });

  test("a password of a user name that the guest says", () => {
    const { lines } = sent(
      [["Authorization", `Basic ${base64(`bob:${OWN}`)}`]],
      "/p",
      own,
      userpass("robot", "s3cr3t"),
    );
    expect(lines).toEqual([`Authorization: Basic ${base64("bob:s3cr3t")}`]);
  });

  test("what a guest puts beside it in a credential's place is its own and goes", () => {
    const { lines, target } = sent(
      [
        ["Authorization", "Bearer evil"],
        ["authorization", `Bearer ${OWN}`],
        ["Authorization", `Basic ${base64("evil:evil")}`],
        ["Cookie", "a=1"],
      ],
      "/p?key=evil&a=1&k%65y=evil",
    );
    expect(lines).toEqual([`authorization: Bearer ${SECRET}`, "Cookie: a=1"]);
    expect(target).toBe("/p?a=1");
  });

  test("two stand-ins of one destination do not cut each other", () => {
    const second: AttachmentSpec = { as: "placeholder", value: OTHER, spots };
    const both = destination([placeholder, second]);
    const { lines } = sent(
      [
        ["Authorization", OWN],
        ["Authorization", OTHER],
      ],
      "/p",
      both,
    );
    expect(lines).toEqual([`Authorization: ${SECRET}`, `Authorization: ${SECRET}`]);
  });

  test.each([
    ["nothing", []],
    ["the guest's own key", [["Authorization", "Bearer evil"]]],
    ["a variant in another case", [["Authorization", `Bearer ${OWN.toUpperCase()}`]]],
  ] as const)("a request with %s is refused, never sent as it is", (_, lines) => {
    const denial = denialOf(() => sent(lines));
    expect(denial?.code).toBe("lease_unusable");
    expect(denial?.detail).toMatch(/stand-in/);
  });

  test("a further attachment is enough to send it", () => {
    const both = destination([placeholder, { as: "header", name: "x-api-key", format: "{token}" }]);
    expect(sent([], "/p", both).lines).toEqual([`x-api-key: ${SECRET}`]);
  });
});

describe("astray", () => {
  const code = (lines: readonly Line[], target: string, to = own, wouldDeny: "path_not_allowed" | null = null) => {
    const attach = createAttachPort(TOOLS, KNOWN);
    return codeOf(() => attach.cleanse(permitFor(to, wouldDeny), headOf(lines, target)));
  };
  const disguises: readonly (readonly [string, (standIn: string) => string])[] = [
    ["plain", (standIn) => standIn],
    ["inside a word", (standIn) => `x${standIn}y`],
    ["percent-encoded hyphens", (standIn) => standIn.replaceAll("-", "%2d")],
    ["percent-encoded wholly", (standIn) => standIn.replaceAll(/./g, (c) => `%${c.charCodeAt(0).toString(16)}`)],
    ["base64", (standIn) => base64(standIn)],
    ["base64 behind one byte", (standIn) => base64(`:${standIn}`)],
    ["base64 behind two bytes", (standIn) => base64(`a:${standIn}:b`)],
    ["base64url", (standIn) => base64url(`\xff\xfe\xfb:${standIn}`)],
    ["base64 behind a word", (standIn) => `abc${base64(standIn)}`],
    ["percent-encoded base64", (standIn) => base64(standIn).replaceAll("c", "%63").replaceAll("=", "%3D")],
  ];

  describe.each(disguises)("%s", (_, disguise) => {
    test.each(KNOWN)("%s leaves nowhere but at home", (standIn) => {
      const text = disguise(standIn);
      for (const to of [own, plain]) {
        expect(code([["X-Other", text]], "/p", to)).toBe("placeholder_stray");
        expect(code([["Referer", `https://a.example/?x=${text}&y`]], "/p", to)).toBe("placeholder_stray");
        expect(code([], `/p/${text}/q`, to)).toBe("placeholder_stray");
        expect(code([], `/p?other=${text}&z=1`, to)).toBe("placeholder_stray");
        expect(
          code(
            [
              ["Authorization", OWN],
              ["X", text],
            ],
            "/p",
            to,
          ),
        ).toBe("placeholder_stray");
      }
      expect(code([["Authorization", `Basic ${text}`]], "/p", plain)).toBe("placeholder_stray");
    });

    test("that of another destination is not at home either", () => {
      for (const standIn of [OTHER, LONGER]) {
        expect(code([["Sec-WebSocket-Protocol", `${OWN}, ${disguise(standIn)}`]], "/p")).toBe("placeholder_stray");
        expect(code([], `/p?key=${OWN}.${disguise(standIn)}`)).toBe("placeholder_stray");
      }
    });
  });

  test("report mode: no credential follows, so it is at home nowhere", () => {
    expect(code([["Authorization", OWN]], "/p", own, "path_not_allowed")).toBe("placeholder_stray");
    expect(code([], `/p?key=${OWN}`, own, "path_not_allowed")).toBe("placeholder_stray");
    expect(code([["Authorization", "x"]], "/p", own, "path_not_allowed")).toBe("no denial");
  });

  test("a disguise at home is not replaced and does not leave", () => {
    const lines: readonly Line[] = [["Sec-WebSocket-Protocol", `${OWN}, auth.${base64url(`x:${OWN}`)}`]];
    expect(code(lines, "/p")).toBe("placeholder_stray");
    expect(code([], `/p?key=${OWN}%20${OWN.replaceAll("-", "%2D")}`)).toBe("placeholder_stray");
  });

  test("a line that is dropped does not leave", () => {
    expect(code([["Authorization", `Bearer ${OTHER}`]], "/p", bearer)).toBe("no denial");
    const head = headOf([["Proxy-Authorization", OTHER]]);
    head.fields.drop(0);
    expect(codeOf(() => createAttachPort(TOOLS, KNOWN).cleanse(permitFor(plain), head))).toBe("no denial");
  });

  test("a field name can hold one", () => {
    expect(code([[`x-${OTHER}`, "1"]], "/p")).toBe("placeholder_stray");
  });

  test.each([
    ["the mark alone", "postern-client/1.0"],
    ["an unknown one", "sk-postern-unknown"],
    ["a variant in another case", OWN.toUpperCase()],
    ["base64 of the mark", base64("a postern-thing")],
    ["percent signs", "100% %zz %41"],
  ])("%s passes", (_, text) => {
    expect(code([["User-Agent", text]], `/p?a=1&b=%20`, plain)).toBe("no denial");
  });

  test.each([
    ["plain", "postern-"],
    ["base64", `${base64("postern-")} `],
    ["percent-encoded", "%70ostern-"],
  ])("a flood of marks, %s, is refused without a look at each", (_, mark) => {
    expect(code([["X", mark.repeat(65)]], "/p", plain)).toBe("placeholder_stray");
    expect(code([["X", mark.repeat(64)]], "/p", plain)).toBe("no denial");
  });

  test("a trailer is looked at like a head, where nothing is ever replaced", () => {
    const attach = createAttachPort(TOOLS, KNOWN);
    const trailers = (lines: readonly Line[]) => {
      const { fields } = headOf(lines);
      attach.cleanseTrailers(permitFor(own), fields);
      return fields.render();
    };
    expect(codeOf(() => trailers([["authorization", OWN]]))).toBe("placeholder_stray");
    expect(trailers([["x-checksum", "1"]])).toBe("x-checksum: 1\r\n");
    // The guest's own value of a field in which its stand-in is looked for.
    expect(
      trailers([
        ["authorization", "mine"],
        ["Authorization", "mine"],
        ["x-checksum", "1"],
      ]),
    ).toBe("x-checksum: 1\r\n");
    const { fields } = headOf([
      ["Authorization", "evil"],
      ["x-checksum", "1"],
    ]);
    attach.cleanseTrailers(permitFor(bearer), fields);
    expect(fields.render()).toBe("x-checksum: 1\r\n");
  });
});

describe("a policy reload", () => {
  const strays = (attach: ReturnType<typeof createAttachPort>, to = plain, text = OTHER) =>
    codeOf(() => attach.cleanse(permitFor(to), headOf([["X", text]])));

  test("swaps the set", () => {
    const attach = createAttachPort(TOOLS);
    expect(strays(attach)).toBe("no denial");
    attach.setStandIns(KNOWN);
    expect(strays(attach)).toBe("placeholder_stray");
    attach.setStandIns([OWN]);
    expect(strays(attach)).toBe("no denial");
  });

  test("an exchange that still holds the old destination knows its stand-in", () => {
    const attach = createAttachPort(TOOLS, [OWN]);
    expect(strays(attach, own, OWN)).toBe("placeholder_stray");
    attach.setStandIns([]);
    expect(strays(attach, own, OWN)).toBe("placeholder_stray");
  });
});
