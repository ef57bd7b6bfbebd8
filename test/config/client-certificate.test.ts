import { describe, expect, test } from "vitest";
import { parseConfig } from "../../src/config/load.ts";
import { ALL, destination, edgeFile, messagesOf } from "./support/edge-file.ts";

/** `as: client_certificate` in a config: where it can be presented, and beside what. */

const custody = `custody:
  main:
    embedded:
      credentials:
        - { name: identity, kind: client_certificate, source: { file: a.pem }, hosts: ["api.example.com:443", "api.example.com:80"] }
        - { name: key, kind: token, source: { env: KEY }, hosts: ["api.example.com:443"] }
  far:
    remote: { address: "unix:/run/custody.sock" }`;

const file = (more: string): string => edgeFile({ custody, destinations: destination(`${ALL}, ${more}`) });
const CERTIFICATE = "attach: { as: client_certificate }";

test.each([`credential: main/identity, ${CERTIFICATE}`, `credential: far/any, attach: [{ as: client_certificate }]`])(
  "%s",
  (more) => {
    const loaded = parseConfig(file(more), "edge.yaml", "/etc/postern");
    expect(loaded.ok && loaded.config.destinations[0]?.destination.attachments).toEqual([{ as: "client_certificate" }]);
  },
);

describe("refused", () => {
  test.each([
    [
      "another kind of credential",
      `credential: main/key, ${CERTIFICATE}`,
      [
        'destinations[0].attach.as: credential "key" is of kind token, client_certificate needs a certificate with its key: write another `as:` or `kind: client_certificate`',
      ],
    ],
    [
      "its credential as a text",
      "credential: main/identity, attach: { as: bearer }",
      [
        'destinations[0].attach.as: credential "identity" is of kind client_certificate, bearer needs a token: write another `as:` or `kind: token`',
      ],
    ],
    [
      "beside another one",
      "credential: far/any, attach: [{ as: client_certificate }, { as: bearer }]",
      [
        "destinations[0].attach[0].as: client_certificate stands alone: the connection is authorized, and its credential holds nothing that a request could carry: leave the others out",
      ],
    ],
    [
      "without TLS",
      `credential: main/identity, ${CERTIFICATE}, scheme: http, plain_http_credential: accept`,
      [
        "destinations[0].attach: client_certificate: is presented in TLS, which scheme http has not: write `scheme: https`",
      ],
    ],
    [
      "over h2c",
      `credential: main/identity, ${CERTIFICATE}, scheme: http, http: h2c, plain_http_credential: accept`,
      [
        "destinations[0].attach: client_certificate: is presented in TLS, which http: h2c has not: write `scheme: https`",
      ],
    ],
  ])("%s", (_what, more, problems) => {
    expect(messagesOf(file(more))).toEqual(problems);
  });

  test("in a tunnel that is passed through", () => {
    const passed = destination(`tls: passthrough, credential: main/identity, ${CERTIFICATE}`);
    expect(messagesOf(edgeFile({ custody, destinations: passed }))).toEqual([
      "destinations[0].credential: cannot be applied inside of `tls: passthrough`: leave it out, or write `tls: inspect`",
    ]);
  });
});
