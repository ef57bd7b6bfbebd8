import { describe, expect, test } from "vitest";
import { parseConfig } from "../../../src/config/load.ts";
import { ALL, destination, edgeFile, messagesOf } from "../support/edge-file.ts";

/** `as: sigv4` in a config: what it means, and what it goes with. */

const custody = `custody:
  main:
    embedded:
      credentials:
        - { name: keys, kind: aws, source: { env: KEYS }, hosts: ["api.example.com:443", "api.example.com:80"] }
        - { name: token, kind: token, source: { env: KEY }, hosts: ["api.example.com:443"] }`;

const config = (attach: string, credential = "keys", more = ""): string =>
  edgeFile({ custody, destinations: destination(`${ALL}, credential: ${credential}, attach: ${attach}${more}`) });

const PLAIN = "{ as: sigv4, region: eu-central-1, service: s3 }";

test("left out: a stand-in that says what it is, unsigned requests signed, credential calls refused, 1 MiB held", () => {
  const loaded = parseConfig(config(PLAIN), "edge.yaml", "/etc/postern");
  expect(loaded.ok && loaded.config.destinations[0]?.destination.attachments).toEqual([
    {
      as: "sigv4",
      region: "eu-central-1",
      service: "s3",
      standIn: "AKIAPOSTERNSTANDIN00",
      unsigned: "sign",
      credentialCalls: "refuse",
      copySources: "refuse",
      bodyBytes: 1_048_576,
    },
  ]);
});

test.each([
  ["a stand-in in lower case", "{ as: sigv4, region: r, service: s, stand_in: postern-stand-in }", ""],
  ["behind what it signs", `[{ as: header, name: x-amz-meta-a, format: "{token}" }, ${PLAIN}]`, "kind"],
  ["http where that was accepted", PLAIN, "", ", scheme: http, plain_http_credential: accept"],
])("goes: %s", (_, attach, fault, more = "") => {
  // A field of its own takes a text, and these keys are none: that is all that is said of it.
  const messages = messagesOf(config(attach, "keys", more));
  expect(messages.filter((message) => fault === "" || !message.includes(fault))).toEqual([]);
});

describe("does not go", () => {
  const STAND_IN_ADVICE = 'write 16 to 128 letters, digits or "_" with "POSTERN" inside, or leave it out';
  test.each<[string, string, string]>([
    [
      "a region that is none",
      "{ as: sigv4, region: Frankfurt, service: s3 }",
      'attach.region: "Frankfurt": write lower-case',
    ],
    ["every region", '{ as: sigv4, region: "*", service: s3 }', 'attach.region: "*": write lower-case'],
    ["a service that is none", "{ as: sigv4, region: r, service: s3/x }", 'attach.service: "s3/x": write lower-case'],
    [
      "a real key id as the stand-in",
      "{ as: sigv4, region: r, service: s, stand_in: AKIAIOSFODNN7EXAMPLE }",
      `attach.stand_in: ${STAND_IN_ADVICE}`,
    ],
    [
      "a short stand-in",
      "{ as: sigv4, region: r, service: s, stand_in: POSTERN }",
      `attach.stand_in: ${STAND_IN_ADVICE}`,
    ],
    [
      "a stand-in with a slash",
      "{ as: sigv4, region: r, service: s, stand_in: AKIAPOSTERN/0000000 }",
      `attach.stand_in: ${STAND_IN_ADVICE}`,
    ],
    [
      "ahead of another",
      `[${PLAIN}, { as: query, name: q }]`,
      "attach[0].as: sigv4 signs what the others write: put it last in the list",
    ],
    [
      "another that writes authorization",
      `[{ as: bearer }, ${PLAIN}]`,
      "attach[1]: header authorization is written by the bearer attachment already: keep one of them",
    ],
    [
      "another that writes the date",
      `[{ as: header, name: X-Amz-Date }, ${PLAIN}]`,
      "attach[1]: header x-amz-date is written by the header attachment already: keep one of them",
    ],
    [
      "another that writes the digest",
      `[{ as: header, name: x-amz-content-sha256 }, ${PLAIN}]`,
      "attach[1]: header x-amz-content-sha256 is written by the header",
    ],
    ["twice", `[${PLAIN}, ${PLAIN}]`, "attach[0].as: sigv4 signs what the others write: put it last in the list"],
  ])("%s", (_, attach, message) => {
    const messages = messagesOf(config(attach)).map((text) => text.replace("destinations[0].", ""));
    expect(messages.some((text) => text.startsWith(message))).toBe(true);
    // The text that may be a real key is never repeated.
    expect(messages.join()).not.toContain("AKIAIOSFODNN7EXAMPLE");
  });

  test("a credential of another kind", () => {
    expect(messagesOf(config(PLAIN, "token"))).toEqual([
      'destinations[0].attach.as: credential "token" is of kind token, sigv4 needs AWS keys: write another `as:` or `kind: aws`',
    ]);
  });

  test("a dropped field that says how the body is signed", () => {
    const messages = messagesOf(config(PLAIN, "keys", ", drop_headers: [x-api-key, X-Amz-Content-Sha256]"));
    expect(messages).toEqual([
      'destinations[0].drop_headers[1]: "x-amz-content-sha256": sigv4 reads it, and drops what only it may say: leave it out',
    ]);
  });

  test("AWS keys as a text", () => {
    expect(messagesOf(config("{ as: bearer }"))).toEqual([expect.stringContaining('credential "keys" is of kind aws')]);
  });
});
