import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { createVerifier, httpbis } from "http-message-signatures";
import { describe, expect, test } from "vitest";
import { createAttachPort } from "../../src/attach/attach.ts";
import type { AttachTools } from "../../src/attach/attachment.ts";
import { signatureBase } from "../../src/attach/signature-base.ts";
import { Authority } from "../../src/core/authority.ts";
import { Denial } from "../../src/core/denial.ts";
import type { Material } from "../../src/core/material.ts";
import { Secret } from "../../src/core/secret.ts";
import type { MessageSignatureSpec } from "../../src/core/signing.ts";
import { WholeBody } from "../../src/core/whole-body.ts";
import { destination, headOf, leaseOf, type Line, linesOf, NOW_MS, permitFor, requestOf, token } from "./exchange.ts";
import { problemsWith, specsOf } from "./from-config.ts";

/** RFC 9421: its own examples, and signatures that another implementation verifies. */

const CREATED = 1_618_884_473;
const HELLO = '{"hello": "world"}';
/** The test request of appendix B.2. */
const REQUEST: readonly Line[] = [
  ["Host", "example.com"],
  ["Date", "Tue, 20 Apr 2021 02:07:55 GMT"],
  ["Content-Type", "application/json"],
];
const TARGET = "/foo?param=Value&Pet=dog";
/** Appendix B.1.5. */
const SHARED = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
/** Appendix B.1.4. */
const ED25519 =
  "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n";

interface Given {
  readonly attach: Record<string, unknown>;
  readonly key: string;
  readonly keyId?: string | null;
  readonly lines?: readonly Line[];
  readonly target?: string;
  readonly body?: string;
  readonly wallMs?: number;
  readonly material?: Material;
}

/** To `example.com`, whatever the destination is called. */
const authority = Authority.parse("example.com:443", null) as Authority;

async function signed(given: Given) {
  const tools: AttachTools = {
    clock: { monotonicMs: () => NOW_MS, wallMs: () => given.wallMs ?? CREATED * 1000 },
    randomBytes: (size) => Buffer.alloc(size, 7),
  };
  const port = createAttachPort(tools);
  const [spec] = specsOf({ as: "message_signature", ...given.attach });
  const permit = permitFor(destination([spec as MessageSignatureSpec]), null, authority);
  const head = { ...headOf(given.lines ?? REQUEST, given.target ?? TARGET), method: "POST" };
  port.cleanse(permit, head);
  const { keyId = "k1" } = given;
  const material: Material = given.material ?? { kind: "signing_key", keyId, key: Secret.of(given.key) };
  const request = requestOf(new WholeBody(Buffer.from(given.body ?? HELLO)));
  const lease = leaseOf(material, { host: "example.com" });
  const injected = await port.attach(permit, lease, head, request, NOW_MS);
  const lines = linesOf(head);
  const last = (name: string): string | undefined => lines.find((line) => line.startsWith(`${name}: `));
  return {
    lines,
    injected,
    signature: last("Signature"),
    input: last("Signature-Input"),
    demands: port.demands(permit),
  };
}

async function codeOf(given: Given): Promise<string> {
  try {
    await signed(given);
    return "none";
  } catch (thrown) {
    if (thrown instanceof Denial) return `${thrown.code}: ${thrown.detail}`;
    throw thrown;
  }
}

describe("appendix B.2", () => {
  test("B.2.5, hmac-sha256", async () => {
    const { signature, input, injected } = await signed({
      attach: {
        algorithm: "hmac-sha256",
        key_encoding: "base64",
        label: "sig-b25",
        components: ["date", "@authority", "content-type"],
      },
      key: SHARED,
      keyId: "test-shared-secret",
    });
    expect(input).toBe(
      'Signature-Input: sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
    );
    expect(signature).toBe("Signature: sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:");
    expect(injected).toEqual({ values: [SHARED], once: ["pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="] });
  });

  test("B.2.6, ed25519", async () => {
    const { signature, input } = await signed({
      attach: {
        algorithm: "ed25519",
        label: "sig-b26",
        components: ["date", "@method", "@path", "@authority", "content-type", "content-length"],
      },
      key: ED25519,
      keyId: "test-key-ed25519",
    });
    expect(input).toBe(
      'Signature-Input: sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"',
    );
    expect(signature).toBe(
      "Signature: sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
    );
  });

  test("B.2.2: what is signed, with the digest of RFC 9530 that the edge made", async () => {
    const { lines } = await signed({
      attach: { algorithm: "ed25519", components: ["content-digest"], digest: "sha-512" },
      key: ED25519,
      lines: [...REQUEST, ["Content-Digest", "sha-256=:of the guest:"]],
    });
    const digest = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
    expect(lines.filter((line) => /^content-digest/i.test(line))).toEqual([`Content-Digest: ${digest}`]);
    const head = headOf([...REQUEST, ["Content-Digest", digest]], TARGET);
    const components = (["@authority", "content-digest"] as const).map((name) => component(name));
    const { base } = signatureBase(
      { head, scheme: "https", authority, body: new WholeBody(Buffer.from(HELLO)) },
      [...components, component("@query-param", "Pet")],
      new Map<string, string | number>([
        ["created", CREATED],
        ["keyid", "test-key-rsa-pss"],
        ["tag", "header-example"],
      ]),
    );
    expect(base).toBe(
      [
        '"@authority": example.com',
        `"content-digest": ${digest}`,
        '"@query-param";name="Pet": dog',
        '"@signature-params": ("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"',
      ].join("\n"),
    );
  });

  test("RFC 9530: sha-256 of the same body", async () => {
    const { lines } = await signed({ attach: { algorithm: "ed25519", components: ["content-digest"] }, key: ED25519 });
    expect(lines).toContain("Content-Digest: sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:");
  });
});

function component(name: string, parameter: string | null = null, key: string | null = null) {
  return { name, parameter, key, optional: false };
}

describe("components", () => {
  function valueOf(text: ReturnType<typeof component>, lines: readonly Line[] = REQUEST, target = TARGET): string {
    const head = headOf(lines, target);
    const { base } = signatureBase(
      {
        head,
        scheme: "https",
        authority: Authority.parse("EXAMPLE.com:8443", null) as Authority,
        body: new WholeBody(Buffer.from(HELLO)),
      },
      [text],
      new Map(),
    );
    return base.split("\n")[0] as string;
  }

  test.each([
    [component("@method"), '"@method": GET'],
    [component("@scheme"), '"@scheme": https'],
    [component("@authority"), '"@authority": example.com:8443'],
    [component("@target-uri"), '"@target-uri": https://example.com:8443/foo?param=Value&Pet=dog'],
    [component("@request-target"), '"@request-target": /foo?param=Value&Pet=dog'],
    [component("@path"), '"@path": /foo'],
    [component("@query"), '"@query": ?param=Value&Pet=dog'],
    [component("content-length"), '"content-length": 18'],
  ])("%j", (text, wanted) => {
    expect(valueOf(text)).toBe(wanted);
  });

  test("no query is a question mark", () => {
    expect(valueOf(component("@query"), REQUEST, "/foo")).toBe('"@query": ?');
  });

  /** §2.2.8. */
  const encoded = "/parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&qux=";

  test.each([
    ["var", "this%20is%20a%20big%0Amultiline%20value"],
    ["bar", "with%20plus%20whitespace"],
    ["qux", ""],
  ])("@query-param %s", (name, value) => {
    expect(valueOf(component("@query-param", name), REQUEST, encoded)).toBe(`"@query-param";name="${name}": ${value}`);
  });

  test("lines of a field are joined; members of a dictionary taken out", () => {
    const lines: Line[] = [
      ["X-A", "1"],
      ["x-a", "  2 "],
      ["Signature-Agent", 'agent="https://bot.test", other=(a b);q=1'],
    ];
    expect(valueOf(component("x-a"), lines)).toBe('"x-a": 1, 2');
    expect(valueOf(component("signature-agent", null, "agent"), lines)).toBe(
      '"signature-agent";key="agent": "https://bot.test"',
    );
    expect(valueOf(component("signature-agent", null, "other"), lines)).toBe(
      '"signature-agent";key="other": (a b);q=1',
    );
  });

  test.each<[string, ReturnType<typeof component>, Line[], string]>([
    ["an absent field", component("x-none"), [], "/"],
    ["an absent parameter", component("@query-param", "x"), [], "/?y=1"],
    ["a parameter twice", component("@query-param", "x"), [], "/?x=1&%78=2"],
    ["a parameter that is encoded in two ways", component("@query-param", "x"), [], "/?x=a'b"],
    ["an absent member", component("x-a", null, "k"), [["X-A", "l=1"]], "/"],
    ["no dictionary", component("x-a", null, "k"), [["X-A", "?"]], "/"],
    ["a character that is no ASCII", component("x-a"), [["X-A", "caf\u00e9"]], "/"],
  ])("%s cannot be signed", (_name, text, lines, target) => {
    const run = (): string => valueOf(text, lines, target);
    expect(run).toThrow(Denial);
    expect(run).toThrow("signing_unsupported");
  });

  test("one that may be left out is left out", async () => {
    const given = {
      attach: { algorithm: "ed25519", components: ["@method", "x-none?", "content-digest?"] },
      key: ED25519,
    };
    const { input, lines } = await signed({ ...given, body: "" });
    expect(input).toBe('Signature-Input: sig=("@method");created=1618884473;keyid="k1"');
    expect(lines.join()).not.toMatch(/content-digest/i);
    expect((await signed(given)).input).toBe(
      'Signature-Input: sig=("@method" "content-digest");created=1618884473;keyid="k1"',
    );
    expect(await codeOf({ ...given, attach: { ...given.attach, components: ["x-none"] } })).toMatch(
      /^signing_unsupported/,
    );
  });
});

const RSA = generateKeyPairSync("rsa", { modulusLength: 2048 });
const KEYS: Readonly<Record<string, { privateKey: KeyObject; publicKey: KeyObject }>> = {
  ed25519: generateKeyPairSync("ed25519"),
  "ecdsa-p256-sha256": generateKeyPairSync("ec", { namedCurve: "P-256" }),
  "ecdsa-p384-sha384": generateKeyPairSync("ec", { namedCurve: "P-384" }),
  "rsa-pss-sha512": RSA,
  "rsa-v1_5-sha256": RSA,
};

const pemOf = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }) as string;

describe("held against another implementation", () => {
  const parameters = ["created", "expires", "nonce", "alg", "keyid", "tag"];
  const components = ["@method", "@target-uri", "@authority", "@path", "@query", "content-type", "content-digest"];

  async function verified(
    algorithm: string,
    key: string,
    publicKey: KeyObject | string,
    change = "",
  ): Promise<boolean> {
    const attach = { algorithm, components, parameters, tag: "test", expires_seconds: 30 };
    const { lines } = await signed({ attach, key, wallMs: Date.now() });
    const headers: Record<string, string> = {};
    for (const line of lines) headers[line.slice(0, line.indexOf(": "))] = line.slice(line.indexOf(": ") + 2);
    headers["Content-Type"] += change;
    const verify = createVerifier(publicKey, algorithm);
    try {
      return (
        (await httpbis.verifyMessage(
          {
            keyLookup: ({ keyid }) => Promise.resolve(keyid === "k1" ? { id: "k1", algs: [algorithm], verify } : null),
          },
          { method: "POST", url: `https://example.com${TARGET}`, headers },
        )) === true
      );
    } catch {
      return false;
    }
  }

  test.each(Object.entries(KEYS))("%s", async (algorithm, { privateKey, publicKey }) => {
    expect(await verified(algorithm, pemOf(privateKey), publicKey)).toBe(true);
    expect(await verified(algorithm, pemOf(privateKey), publicKey, "x")).toBe(false);
  });

  test("hmac-sha256", async () => {
    expect(await verified("hmac-sha256", "a shared key", "a shared key")).toBe(true);
    expect(await verified("hmac-sha256", "a shared key", "another key")).toBe(false);
  });
});

test("Web Bot Auth: the edge says the agent, and signs it", async () => {
  const { lines, input } = await signed({
    attach: {
      algorithm: "ed25519",
      components: ["@authority", "signature-agent;key=agent"],
      parameters: ["created", "expires", "keyid", "alg", "nonce", "tag"],
      tag: "web-bot-auth",
      headers: { "Signature-Agent": 'agent="https://bot.test"' },
    },
    key: ED25519,
    lines: [
      ...REQUEST,
      ["Signature-Agent", 'agent="https://guest.test"'],
      ["Signature", "x=:AA==:"],
      ["signature-input", "x=()"],
    ],
  });
  expect(lines.filter((line) => /^signature/i.test(line))).toHaveLength(3);
  expect(lines).toContain('Signature-Agent: agent="https://bot.test"');
  const nonce = Buffer.alloc(64, 7).toString("base64");
  expect(input).toBe(
    `Signature-Input: sig=("@authority" "signature-agent";key="agent");created=1618884473;expires=1618884533;keyid="k1";alg="ed25519";nonce="${nonce}";tag="web-bot-auth"`,
  );
});

describe("material", () => {
  const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;

  test.each<[string, string, KeyObject | string]>([
    ["no PEM", "ed25519", "not a key"],
    ["a public key", "ed25519", createPublicKey(ED25519).export({ type: "spki", format: "pem" }) as string],
    ["another type", "ed25519", RSA.privateKey],
    ["another curve", "ecdsa-p256-sha256", KEYS["ecdsa-p384-sha384"]!.privateKey],
    ["a curve for RSA", "rsa-pss-sha512", KEYS["ecdsa-p384-sha384"]!.privateKey],
    ["few bits", "rsa-v1_5-sha256", weak],
  ])("%s is unusable for %s", async (_name, algorithm, key) => {
    const attach = { algorithm, components: ["@method"] };
    expect(await codeOf({ attach, key: typeof key === "string" ? key : pemOf(key) })).toMatch(/^lease_unusable/);
  });

  test("a key without a name that is to be named", async () => {
    const given = { attach: { algorithm: "ed25519", components: ["@method"] }, key: ED25519, keyId: null };
    expect(await codeOf(given)).toMatch(/^lease_unusable/);
    expect(await codeOf({ ...given, attach: { ...given.attach, parameters: ["created"] } })).toBe("none");
  });

  test("a token", async () => {
    const given = { attach: { algorithm: "ed25519", components: ["@method"] }, key: "", material: token("secret") };
    expect(await codeOf(given)).toMatch(/^lease_unusable/);
  });
});

describe("a config", () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ["a status", { components: ["@status"] }, /a request has no such component/],
    ["a parameter without a name", { components: ["@query-param"] }, /no such component/],
    ["another parameter", { components: ["x-a;bs"] }, /no such component/],
    ["host", { components: ["host"] }, /write "@authority"/],
    ["itself", { components: ["signature"] }, /cannot be signed here/],
    ["a field of the hop", { components: ["connection"] }, /belongs to the connection/],
    ["twice", { components: ["x-a", "x-a?"] }, /written twice/],
    ["a method that may be absent", { components: ["@method?"] }, /leave the "\?" out/],
    ["a tag that is not named", { tag: "x" }, /name it among `parameters:`/],
    ["a tag that is not said", { parameters: ["tag"] }, /name it among `parameters:`/],
    ["a parameter twice", { parameters: ["created", "created"] }, /written twice/],
    ["its own field as a fixed one", { headers: { "Content-Digest": "x" } }, /cannot have a fixed value/],
    ["a line break", { headers: { "X-A": "a\r\nb" } }, /printable ASCII/],
    ["a label", { label: "Sig 1" }, /small letters/],
  ])("%s is refused", (_name, more, problem) => {
    const attach = { as: "message_signature", algorithm: "ed25519", components: ["@method"], ...more };
    expect(problemsWith(attach)).toEqual([expect.stringMatching(problem)]);
  });

  test("two of them would write the same fields", () => {
    const attach = { as: "message_signature", algorithm: "ed25519", components: ["@method"] };
    expect(problemsWith([attach, { ...attach, label: "two" }]).join("\n")).toMatch(/header signature is written by/);
  });

  test("it may sign what an hmac ahead of it wrote, not behind it", () => {
    const attach = { as: "message_signature", algorithm: "ed25519", components: ["x-hub-signature-256"] };
    const hmac = { as: "hmac", preset: "github" };
    expect(problemsWith([hmac, attach])).toEqual([]);
    expect(problemsWith([attach, hmac])).toEqual([
      expect.stringMatching(/hmac changes header x-hub-signature-256 behind/),
    ]);
  });
});
