import { createHash, createHmac, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createAttachPort } from "../../src/attach/attach.ts";
import type { AttachTools } from "../../src/attach/attachment.ts";
import type { Material } from "../../src/core/material.ts";
import { Secret } from "../../src/core/secret.ts";
import { WholeBody } from "../../src/core/whole-body.ts";
import {
  attachNow,
  denialOf,
  destination,
  headOf,
  leaseOf,
  type Line,
  linesOf,
  NOW_MS,
  permitFor,
  requestOf,
  token,
} from "./exchange.ts";
import { problemsWith, specsOf } from "./from-config.ts";

/** Signed requests: the published examples of four schemes, and what a template may say. */

const host: Line = ["Host", "api.example.com"];

function signingKey(text: string, keyId: string | null = "k1"): Material {
  return { kind: "signing_key", keyId, key: Secret.of(text) };
}

interface Given {
  readonly attach: unknown;
  readonly key?: string;
  readonly keyId?: string | null;
  readonly body?: string;
  readonly wallMs?: number;
  readonly random?: AttachTools["randomBytes"];
  readonly lines?: readonly Line[];
  readonly target?: string;
}

function signed(given: Given) {
  const { key = "secret", keyId = "k1", wallMs = 1_700_000_000_123 } = given;
  const tools: AttachTools = {
    clock: { monotonicMs: () => NOW_MS, wallMs: () => wallMs },
    randomBytes: given.random ?? ((size) => Buffer.alloc(size, 0xab)),
  };
  const attach = createAttachPort(tools);
  const permit = permitFor(destination(specsOf(given.attach)));
  const head = headOf([host, ...(given.lines ?? [])], given.target);
  attach.cleanse(permit, head);
  const request = requestOf(new WholeBody(Buffer.from(given.body ?? "")));
  const injected = attachNow(attach, permit, leaseOf(signingKey(key, keyId)), head, NOW_MS, request);
  return { lines: linesOf(head), injected, demands: attach.demands(permit) };
}

describe("published examples", () => {
  test("GitHub", () => {
    const { lines, injected } = signed({
      attach: { as: "hmac", preset: "github" },
      key: "It's a Secret to Everybody",
      body: "Hello, World!",
    });
    const signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    expect(lines).toEqual(["Host: api.example.com", `X-Hub-Signature-256: sha256=${signature}`]);
    expect(injected).toEqual({ values: ["It's a Secret to Everybody"], once: [signature] });
  });

  test("Slack, version 0", () => {
    const body =
      "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar" +
      "&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com" +
      "%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const { lines } = signed({
      attach: { as: "hmac", preset: "slack" },
      key: "8f742231b10e8888abcd99yyyzzz85a5",
      wallMs: 1_531_420_618_000,
      body,
    });
    expect(lines.slice(1)).toEqual([
      "X-Slack-Request-Timestamp: 1531420618",
      "X-Slack-Signature: v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    ]);
  });

  test("Standard Webhooks, its own id in place of the nonce", () => {
    const { lines, injected } = signed({
      attach: {
        as: "hmac",
        preset: "standard_webhooks",
        sign: ["msg_p5jXN8AQM9LWM0D4loKWxJek", "{timestamp}", "{body}"],
        headers: { "webhook-timestamp": "{timestamp}", "webhook-signature": "v1,{signature}" },
      },
      key: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
      wallMs: 1_614_265_330_999,
      body: '{"test": 2432232314}',
    });
    expect(lines.slice(1)).toEqual([
      "webhook-timestamp: 1614265330",
      "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ]);
    expect(injected.values).toEqual(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
  });

  test("Standard Webhooks: what is signed is what the id says", () => {
    const { lines } = signed({
      attach: { as: "hmac", preset: "standard_webhooks" },
      key: "whsec_c2VjcmV0",
      body: "{}",
    });
    const nonce = "ab".repeat(16);
    const wanted = createHmac("sha256", "secret").update(`msg_${nonce}.1700000000.{}`).digest("base64");
    expect(lines.slice(1)).toEqual([
      `webhook-id: msg_${nonce}`,
      "webhook-timestamp: 1700000000",
      `webhook-signature: v1,${wanted}`,
    ]);
  });

  test("Stripe", () => {
    const { lines } = signed({ attach: { as: "hmac", preset: "stripe" }, key: "whsec_test", body: "{}" });
    const wanted = createHmac("sha256", "whsec_test").update("1700000000.{}").digest("hex");
    expect(lines.slice(1)).toEqual([`Stripe-Signature: t=1700000000,v1=${wanted}`]);
  });
});

describe("a template", () => {
  const headers = { "X-Signature": "{signature}" };

  function macOf(text: string, hash = "sha256", key: string | Buffer = "secret", output: "hex" | "base64" = "hex") {
    return `X-Signature: ${createHmac(hash, key).update(text, "latin1").digest(output)}`;
  }

  test.each([
    ["{method}", "GET"],
    ["{target}", "/v1/items?a=1&b=%20"],
    ["{path}", "/v1/items"],
    ["{query}", "a=1&b=%20"],
    ["{authority}", "api.example.com"],
    ["{header:x-one}", "1"],
    ["{header:X-Two}", "a, b"],
    ["{header:x-none}", ""],
    ["{key_id}", "k1"],
    ["{body}", "b\u00f6dy"],
    ["{body_sha256:hex}", createHash("sha256").update("b\u00f6dy").digest("hex")],
    ["{body_sha512:base64}", createHash("sha512").update("b\u00f6dy").digest("base64")],
    ["no part {at all", "no part {at all"],
  ])("%s", (part, text) => {
    const body = "b\u00f6dy";
    const lines: Line[] = [
      ["X-One", "1"],
      ["X-Two", "a"],
      ["x-two", "b"],
    ];
    const attach = { as: "hmac", sign: ["<", part, ">"], separator: "\n", headers };
    const result = signed({ attach, body, lines, target: "/v1/items?a=1&b=%20" });
    const wanted = createHmac("sha256", "secret").update(`<\n${text}\n>`).digest("hex");
    expect(result.lines.at(-1)).toBe(`X-Signature: ${wanted}`);
    expect(result.demands.body).toBe(part.startsWith("{body"));
  });

  test.each([
    ["seconds", "1700000000"],
    ["milliseconds", "1700000000123"],
    ["rfc3339", "2023-11-14T22:13:20Z"],
    ["http_date", "Tue, 14 Nov 2023 22:13:20 GMT"],
  ])("timestamp as %s", (format, text) => {
    const attach = {
      as: "hmac",
      sign: ["{header:date}"],
      timestamp_format: format,
      headers: { Date: "{timestamp}", ...headers },
    };
    expect(signed({ attach, lines: [["Date", "of the guest"]] }).lines.slice(1)).toEqual([
      `Date: ${text}`,
      macOf(text),
    ]);
  });

  test.each([
    ["hex", "ab".repeat(16)],
    ["base64", Buffer.alloc(16, 0xab).toString("base64")],
    ["uuid", "abababab-abab-4bab-abab-abababababab"],
  ])("nonce as %s", (format, text) => {
    const attach = {
      as: "hmac",
      sign: ["{nonce}"],
      nonce_format: format,
      headers: { "X-Nonce": "{nonce}", ...headers },
    };
    expect(signed({ attach }).lines.slice(1)).toEqual([`X-Nonce: ${text}`, macOf(text)]);
  });

  test.each(["sha1", "sha256", "sha384", "sha512"])("%s", (algorithm) => {
    expect(signed({ attach: { as: "hmac", algorithm, sign: ["x"], headers } }).lines.at(-1)).toBe(
      macOf("x", algorithm),
    );
  });

  test.each([
    ["text", "73656372", "73656372"],
    ["hex", "73656372", Buffer.from("secr")],
    ["base64", "c2VjcmV0", Buffer.from("secret")],
    ["base64", "_-8=", Buffer.from([0xff, 0xef])],
  ])("a key in %s: %s", (encoding, key, bytes) => {
    const attach = { as: "hmac", key_encoding: encoding, signature_encoding: "base64", sign: ["x"], headers };
    expect(signed({ attach, key }).lines.at(-1)).toBe(macOf("x", "sha256", bytes, "base64"));
  });

  test("the guest's own copies are cut, in every spelling", () => {
    const lines: Line[] = [
      ["x-signature", "mine"],
      ["X_Signature", "mine too"],
    ];
    expect(signed({ attach: { as: "hmac", sign: ["x"], headers }, lines }).lines).toEqual([
      "Host: api.example.com",
      macOf("x"),
    ]);
  });

  test("every attempt has a moment and a nonce of its own", () => {
    let wallMs = 1000;
    let random = 0;
    const attach = createAttachPort({
      clock: { monotonicMs: () => NOW_MS, wallMs: () => (wallMs += 1000) },
      randomBytes: (size) => Buffer.alloc(size, ++random),
    });
    const spec = { as: "hmac", sign: ["{timestamp}{nonce}"], headers: { "X-A": "{timestamp}-{nonce}", ...headers } };
    const permit = permitFor(destination(specsOf(spec)));
    const lease = leaseOf(signingKey("secret"));
    const attempt = (): string[] => {
      const head = headOf([host]);
      attach.cleanse(permit, head);
      attachNow(attach, permit, lease, head, NOW_MS);
      return linesOf(head).slice(1);
    };
    expect(attempt()).toEqual([`X-A: 2-${"01".repeat(16)}`, macOf(`2${"01".repeat(16)}`)]);
    expect(attempt()).toEqual([`X-A: 3-${"02".repeat(16)}`, macOf(`3${"02".repeat(16)}`)]);
  });

  test.each([
    ["a token", token("secret"), { as: "hmac", preset: "github" }],
    ["no base64", signingKey("not base64!"), { as: "hmac", preset: "standard_webhooks" }],
    ["no hex", signingKey("abc"), { as: "hmac", preset: "github", key_encoding: "hex" }],
    ["nothing behind its prefix", signingKey("whsec_"), { as: "hmac", preset: "standard_webhooks" }],
    ["a key without the id that is named", signingKey("secret", null), { as: "hmac", sign: ["{key_id}"], headers }],
  ])("%s is unusable", (_name, material, attach) => {
    const port = createAttachPort({ clock: { monotonicMs: () => NOW_MS, wallMs: () => 0 }, randomBytes });
    const permit = permitFor(destination(specsOf(attach)));
    const head = headOf([host]);
    const denial = denialOf(() => attachNow(port, permit, leaseOf(material), head, NOW_MS));
    expect(denial?.code).toBe("lease_unusable");
    expect(denial?.detail).not.toMatch(/whsec|not base64!|abc/);
    expect(linesOf(head)).toEqual(["Host: api.example.com"]);
  });

  test("a WebSocket's method is signed over HTTP/1.1 only", () => {
    const spec = specsOf({ as: "hmac", sign: ["{method}"], headers });
    const port = createAttachPort({ clock: { monotonicMs: () => NOW_MS, wallMs: () => 0 }, randomBytes });
    const attempt = (http: "auto" | "h1") =>
      denialOf(() =>
        attachNow(port, permitFor(destination(spec, { http })), leaseOf(signingKey("k")), headOf([host]), NOW_MS, {
          ...requestOf(),
          upgrade: "websocket",
        }),
      )?.code;
    expect([attempt("auto"), attempt("h1")]).toEqual(["signing_unsupported", undefined]);
  });
});

describe("a config", () => {
  const headers = { "X-Signature": "{signature}" };

  test.each<[string, Record<string, unknown>, RegExp]>([
    ["nothing to sign", { headers }, /sign: missing/],
    ["nowhere to write", { sign: ["x"] }, /headers: missing/],
    ["no place for it", { sign: ["x"], headers: { "X-A": "{timestamp}" } }, /write \{signature\} into one of them/],
    ["an unknown part", { sign: ["{boddy}"], headers }, /"\{boddy\}": nothing has this name/],
    ["itself", { sign: ["{signature}"], headers }, /cannot sign itself/],
    ["itself by its field", { sign: ["{header:x-signature}"], headers }, /holds the signature itself/],
    ["a field of the hop", { sign: ["{header:connection}"], headers }, /belongs to the connection/],
    [
      "a guest's text in a header",
      { sign: ["x"], headers: { "X-A": "{signature}{path}" } },
      /write \{signature\}, \{time/,
    ],
    ["into the hop", { sign: ["x"], headers: { "Transfer-Encoding": "{signature}" } }, /belongs to the connection/],
    ["twice", { sign: ["x"], headers: { ...headers, x_signature: "{signature}" } }, /written twice/],
    ["another algorithm", { sign: ["x"], headers, algorithm: "md5" }, /algorithm/],
    ["a line break in a header", { sign: ["x"], headers: { "X-A": "{signature}\r\nX-B: 1" } }, /printable ASCII/],
  ])("%s is refused", (_name, more, problem) => {
    expect(problemsWith({ as: "hmac", ...more })).toEqual([expect.stringMatching(problem)]);
  });

  test("only a key that signs", () => {
    expect(problemsWith({ as: "hmac", preset: "github" }, "token")).toEqual([
      expect.stringMatching(/hmac needs `kind: signing_key`/),
    ]);
  });

  test("what signs stands behind what writes, and two do not write the same field", () => {
    const signer = { as: "hmac", preset: "github" };
    const second = { as: "hmac", sign: ["{header:x-hub-signature-256}"], headers };
    const writer = { as: "header", name: "x-api-key" };
    expect(problemsWith([signer, second])).toEqual([]);
    expect(problemsWith([second, signer])).toEqual([
      expect.stringMatching(/hmac changes header x-hub-signature-256 behind hmac, which signs it: put it before hmac/),
    ]);
    expect(problemsWith([signer, signer])).toEqual([
      expect.stringMatching(/header x-hub-signature-256 is written by the hmac attachment already/),
    ]);
    expect(problemsWith([signer, writer]).join()).toMatch(/header changes the request behind hmac/);
    expect(problemsWith([writer, signer]).join()).not.toMatch(/behind/);
  });
});
