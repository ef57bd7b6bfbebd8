import { describe, expect, test } from "vitest";
import { parseConfig } from "../../src/config/load.ts";
import { ALL, destination, edgeFile, messagesOf } from "./support/edge-file.ts";

/** `as: dpop` and `kind: dpop` in a config. */

const HOSTS = 'hosts: ["api.example.com:443", "api.example.com:80"]';
const custody = (more = ""): string => `custody:
  main:
    embedded:
      credentials:
        - { name: bank, kind: dpop, source: { env: BANK }, ${HOSTS}${more} }
        - { name: key, kind: token, source: { env: KEY }, ${HOSTS} }
  far:
    remote: { address: "unix:/run/custody.sock" }`;

const file = (more: string, credential = ""): string =>
  edgeFile({ custody: custody(credential), destinations: destination(`${ALL}, ${more}`) });

test.each([
  ["main/bank", ""],
  ["far/any", ""],
  ["main/bank", ", scheme: http, plain_http_credential: accept"],
])("attached from %s%s", (credential, more) => {
  const loaded = parseConfig(file(`credential: ${credential}, attach: { as: dpop }${more}`), "edge.yaml", "/etc");
  expect(loaded.ok && loaded.config.destinations[0]?.destination.attachments).toEqual([{ as: "dpop" }]);
});

test.each([
  ["", "custody"],
  [", key_at: custody", "custody"],
  [", key_at: edge", "edge"],
])("where the key is: %j", (more, keyAt) => {
  const loaded = parseConfig(file("credential: main/bank, attach: { as: dpop }", more), "edge.yaml", "/etc");
  const [main] = loaded.ok ? loaded.config.custodies : [];
  expect(main?.kind === "embedded" && main.credentials.map((entry) => entry.keyAt)).toEqual([keyAt, null]);
});

describe("refused", () => {
  test.each([
    [
      "a token that is not bound",
      "credential: main/key, attach: { as: dpop }",
      'destinations[0].attach.as: credential "key" is of kind token, dpop needs a token that is bound to a key: write another `as:` or `kind: dpop`',
    ],
    [
      "a bound token without its proof",
      "credential: main/bank, attach: { as: bearer }",
      'destinations[0].attach.as: credential "bank" is of kind dpop, bearer needs a token: write another `as:` or `kind: token`',
    ],
    [
      "beside another one",
      "credential: far/any, attach: [{ as: header, name: x-api-key }, { as: dpop }]",
      "destinations[0].attach[1].as: dpop stands alone: its credential holds nothing that another one could attach: leave the others out",
    ],
  ])("%s", (_what, more, problem) => {
    expect(messagesOf(file(more))).toEqual([problem]);
  });

  test("where there is no key, or no user", () => {
    const credentials = `custody:
  main:
    embedded:
      credentials:
        - { name: a, kind: token, key_at: edge, source: { env: KEY }, ${HOSTS} }
        - { name: b, kind: dpop, username: me, source: { env: KEY }, ${HOSTS} }
        - { name: c, kind: dpop, key_at: home, source: { env: KEY }, ${HOSTS} }`;
    expect(messagesOf(edgeFile({ custody: credentials }))).toEqual([
      "custody.main.embedded.credentials[0].key_at: kind token makes no proofs: leave it out",
      "custody.main.embedded.credentials[1].username: kind dpop has no user name: leave it out",
      'custody.main.embedded.credentials[2].key_at: "home": write one of "custody", "edge"',
    ]);
  });
});
