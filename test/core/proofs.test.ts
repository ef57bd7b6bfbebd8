import { readdir, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, expectTypeOf, test } from "vitest";
import type { Authority } from "../../src/core/authority.ts";
import { Lease, Permit, PinnedAddress, PinnedName, Session } from "../../src/core/exchange.ts";
import type { Secret } from "../../src/core/secret.ts";

/**
 * A proof can be made by its own stage alone, and nothing that merely looks like one is taken for it. The first half reads
 * the sources; the second half is checked by the compiler: each `@ts-expect-error` below is an error when the line compiles.
 */

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

interface Maker {
  readonly name: string;
  readonly call: RegExp;
  /** Where it may be called: folders, or single files with the reason beside them. */
  readonly places: readonly string[];
}

const MAKERS: readonly Maker[] = [
  { name: "Session.prove", call: /\bSession\s*\.\s*prove\b/, places: ["session/"] },
  { name: "Permit.grant", call: /\bPermit\s*\.\s*grant\b/, places: ["policy/"] },
  { name: "PinnedAddress.check", call: /\bPinnedAddress\s*\.\s*check\b/, places: ["policy/"] },
  { name: "PinnedName.check", call: /\bPinnedName\s*\.\s*check\b/, places: ["policy/"] },
  { name: "Lease.grant", call: /\bLease\s*\.\s*grant\b/, places: ["custody/"] },
  { name: ".materialFor", call: /\.\s*materialFor\b/, places: ["attach/"] },
  {
    name: ".reveal",
    call: /\.\s*reveal\b|\[\s*["'`]reveal["'`]\s*\]/,
    places: [
      "attach/",
      "custody/",
      "scrub/",
      "tls/", // keys and passphrases of the CA go to node:crypto
      "upstream/trust.ts", // keys of client certificates go to OpenSSL
      "cli/ca.ts", // how long a new passphrase is
      "cli/dev.ts", // the key of the demo upstream
    ],
  },
];

describe("proofs are made in one place", async () => {
  const files = (await readdir(join(root, "src"), { recursive: true })).filter((file) => file.endsWith(".ts"));
  const sources = await Promise.all(
    files.map(async (file) => ({ file, text: await readFile(join(root, "src", file), "utf8") })),
  );

  test.each(MAKERS)("$name is called in its own place only", ({ call, places }) => {
    const strangers = sources.filter(
      ({ file, text }) => !["core/", ...places].some((place) => file.startsWith(place)) && call.test(text),
    );
    expect(strangers.map(({ file }) => file)).toEqual([]);
  });

  test("core declares the makers and calls none of them", () => {
    const core = sources.filter(({ file }) => file.startsWith("core/"));
    const callers = core.filter(({ text }) => MAKERS.some(({ call }) => call.test(withoutComments(text))));
    expect(callers.map(({ file }) => file)).toEqual([]);
  });

  test("no source casts its way to a proof", () => {
    // The angle-bracket form is an error of the compiler's `erasableSyntaxOnly`.
    const cast = /\bas\s+(unknown\s+as\s+|never\s+as\s+)?(Session|Permit|PinnedAddress|PinnedName|Lease)\b/;
    const casting = sources.filter(({ text }) => cast.test(withoutComments(text)));
    expect(casting.map(({ file }) => file)).toEqual([]);
  });
});

describe("look-alikes do not compile", () => {
  const claims = { id: "s", tenant: "t", workspace: "w", subject: "u", roles: [] };

  test("an object literal is not a Session", () => {
    // @ts-expect-error a literal with every public member lacks the private one
    const forged: Session = { ...claims, proof: "session" };
    expect(forged).not.toBeInstanceOf(Session);
  });

  test("claims are not a Session", () => {
    // @ts-expect-error what a token says is not yet proven
    const forged: Session = claims;
    expect(forged).not.toBeInstanceOf(Session);
  });

  test("an object literal is not a PinnedAddress", () => {
    const authority = {} as Authority;
    // @ts-expect-error an unchecked address cannot be dialled
    const forged: PinnedAddress = { authority, addresses: ["127.0.0.1"], key: "127.0.0.1", proof: "pinned" };
    expect(forged).not.toBeInstanceOf(PinnedAddress);
  });

  test("an object literal is not a PinnedName, and a PinnedName is nothing that could be dialled", () => {
    const authority = {} as Authority;
    // @ts-expect-error a name that nobody judged is told to no parent
    const forged: PinnedName = { authority, key: "a.test:443 by name", proof: "name" };
    expect(forged).not.toBeInstanceOf(PinnedName);
    expectTypeOf<PinnedName>().not.toExtend<PinnedAddress>();
    expectTypeOf<PinnedAddress>().not.toExtend<PinnedName>();
    expectTypeOf<PinnedName>().not.toHaveProperty("addresses");
  });

  test("an object literal is not a Permit", () => {
    const parts = {} as Pick<Permit, "session" | "authority" | "destination">;
    // @ts-expect-error nobody but the policy permits
    const forged: Permit = { ...parts, rule: "allow[0]", wouldDeny: null, needsCredential: false };
    expect(forged).not.toBeInstanceOf(Permit);
  });

  test("an object literal is not a Lease", () => {
    const public_ = {} as { [K in keyof Lease]: Lease[K] };
    // @ts-expect-error the same public members are not the same proof
    const forged: Lease = public_;
    expect(forged).not.toBeInstanceOf(Lease);
  });

  test("no proof can be built with new", () => {
    const attempts = [
      // @ts-expect-error the constructor is private
      () => new Session(claims),
      // @ts-expect-error the constructor is private
      () => new Permit({}, {}, {}, "allow[0]", null),
      // @ts-expect-error the constructor is private
      () => new PinnedAddress({}, []),
      // @ts-expect-error the constructor is private
      () => new PinnedName({}),
      // @ts-expect-error the constructor is private
      () => new Lease({}),
    ];
    // The compiler is the judge here; none of them is called.
    expect(attempts).toHaveLength(5);
  });

  test("one proof is not another, and a string is not a Secret", () => {
    expectTypeOf<Session>().not.toExtend<Permit>();
    expectTypeOf<Permit>().not.toExtend<PinnedAddress>();
    expectTypeOf<Lease>().not.toExtend<Permit>();
    expectTypeOf<string>().not.toExtend<Secret>();
  });
});

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(^|[^:])\/\/.*$/gm, "$1");
}
