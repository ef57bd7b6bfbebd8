import { afterEach, expect, test } from "vitest";
import type { AttachmentSpec } from "../../src/core/destination.ts";
import { Lease } from "../../src/core/exchange.ts";
import type { Material } from "../../src/core/material.ts";
import { Secret } from "../../src/core/secret.ts";
import { BoundToken } from "../custody/support/bound-token.ts";
import { STAND_IN, specOf } from "../attach/sigv4/exchange.ts";
import { eventually, type Joined, type Scripted, startJoined, startScripted } from "../line/support/joined.ts";
import { openGuest, type RawGuest } from "./raw-guest.ts";

/**
 * An upstream that gives back all that it was sent, in every place of an answer but its body and in every spelling: nothing of
 * what was signed with, put into a body or made for the exchange reaches the guest, or the account.
 */

let joined: Joined;
let upstream: Scripted;
let guest: RawGuest;

afterEach(async () => {
  guest.destroy();
  await joined.stop();
  await upstream.close();
});

const jsonText = (text: string): string => JSON.stringify(text).slice(1, -1).replaceAll("/", "\\/");
const hex = (text: string): string => Buffer.from(text, "latin1").toString("hex");
const base64 = (text: string): string => Buffer.from(text, "latin1").toString("base64");
const SPELLINGS = { raw: (text: string) => text, percent: encodeURIComponent, json: jsonText, hex, base64 };
/** What is made for one exchange is looked for in these alone. */
const OF_ONCE = ["raw", "percent", "json"] as const;

const KEY = "key/with+odd=signs&in-it-29d1";
const bound = new BoundToken("bound/token+with=signs-77a0");
const keyMaterial: Material = { kind: "signing_key", keyId: "k1", key: Secret.of(KEY) };
const form = { type: "application/x-www-form-urlencoded", body: "a=1" };
const json = { type: "application/json", body: '{"a":1}' };

interface Kind {
  readonly name: string;
  readonly attach: AttachmentSpec;
  readonly material: Material;
  readonly sent: { readonly type: string; readonly body: string };
  readonly secrets: readonly string[];
  /** Finds what was made for the exchange in what the upstream got. */
  readonly once: RegExp | null;
}

const KINDS: readonly Kind[] = [
  {
    name: "hmac",
    attach: {
      as: "hmac",
      hash: "sha512",
      key: { encoding: "text", prefix: "" },
      signed: [{ of: "method" }, "\n", { of: "target" }, "\n", { of: "body" }],
      output: "base64",
      timestamp: "seconds",
      nonce: "hex",
      fields: [{ name: "X-Signature", value: ["v1=", { of: "signature" }] }],
      bodyBytes: 4096,
    },
    material: keyMaterial,
    sent: json,
    secrets: [KEY],
    once: /^X-Signature: v1=(\S+)/m,
  },
  {
    name: "message_signature",
    attach: {
      as: "message_signature",
      label: "sig1",
      algorithm: "hmac-sha256",
      key: { encoding: "text", prefix: "" },
      components: ["@method", "@authority", "content-digest"].map((name) => ({
        name,
        parameter: null,
        key: null,
        optional: false,
      })),
      parameters: ["created", "keyid"],
      expiresSeconds: 60,
      tag: null,
      digest: "sha-256",
      fields: [],
      bodyBytes: 4096,
    },
    material: keyMaterial,
    sent: json,
    secrets: [KEY],
    once: /^Signature: sig1=:(\S+):/m,
  },
  {
    name: "body, JSON",
    attach: { as: "body", place: { in: "json", pointer: ["key"] }, format: "Key {token}", bodyBytes: 4096 },
    material: { kind: "token", token: Secret.of(KEY) },
    sent: json,
    secrets: [KEY],
    once: null,
  },
  {
    name: "body, form",
    attach: { as: "body", place: { in: "form", name: "key" }, format: "{token}", bodyBytes: 4096 },
    material: { kind: "token", token: Secret.of(KEY) },
    sent: form,
    secrets: [KEY],
    once: null,
  },
  {
    name: "dpop",
    attach: { as: "dpop" },
    material: {
      kind: "dpop",
      token: Secret.of(bound.token),
      key: bound.key.pem(),
      publicJwk: JSON.stringify(bound.key.public),
    },
    sent: json,
    secrets: [bound.token],
    once: /^DPoP: (\S+)/m,
  },
  {
    name: "sigv4",
    attach: specOf(),
    material: {
      kind: "aws",
      accessKeyId: "AKIDEXAMPLE",
      secretAccessKey: Secret.of("aws/secret+KEY/29d1"),
      sessionToken: Secret.of("aws/session+token==/0f3c"),
    },
    sent: json,
    secrets: ["aws/secret+KEY/29d1", "aws/session+token==/0f3c"],
    once: /Signature=([0-9a-f]{64})/,
  },
];

/** Everything in it that might be something. */
function pieces(request: string): string[] {
  const values = request.split("\r\n").flatMap((line) => [line, ...line.split(/[ ,;"]/), line.replace(/^[^=]*=/, "")]);
  return [...new Set(values.map((value) => value.replaceAll(/[\r\n]/g, "")).filter(({ length }) => length >= 8))];
}

async function start(kind: Kind): Promise<void> {
  upstream = await startScripted((socket, request) => {
    if (!/\r\n\r\n[^]*[}1-9A-Za-z=]$/.test(request)) return;
    const all = pieces(request);
    const lines = Object.entries(SPELLINGS).flatMap(([name, spell]) =>
      all.map((piece) => `X-Back-${name}: ${spell(piece)}\r\n`),
    );
    const once = kind.once?.exec(request)?.[1];
    if (once !== undefined && /^[0-9a-f]+$/.test(once)) lines.push(`X-${once.toUpperCase()}: 1\r\n`);
    const location = `Location: https://x.test/?${all.map((piece) => `a=${encodeURIComponent(piece)}`).join("&")}\r\n`;
    socket.write(
      `HTTP/1.1 103 ${all.join(" ").slice(0, 4000)}\r\n${lines.join("")}\r\n` +
        `HTTP/1.1 401 ${all.join(" ").slice(0, 4000)}\r\n${lines.join("")}${location}` +
        `WWW-Authenticate: DPoP error="${all[0]}"\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n` +
        `0\r\n${all.map((piece) => `X-Late: ${encodeURIComponent(piece)}\r\n`).join("")}\r\n`,
    );
  });
  joined = await startJoined({
    destination: { attachments: [kind.attach] },
    limits: { headFields: 1000, trailerFields: 1000 },
    ports: (line) => ({
      leases: {
        ...line.leases,
        lease: (permit) =>
          Lease.grant({
            id: "lease-1",
            credential: "api",
            material: kind.material,
            scope: { tenant: "t", session: "s", host: permit.authority.host, port: permit.authority.port },
            grantedAtMs: 0,
            expiresAtMs: line.clock.monotonicMs() + 60_000,
            maxUses: null,
            resourceRef: "ref",
          }),
        reject: () => false,
      },
    }),
  });
  guest = await openGuest(joined.port);
}

test.each(KINDS)("$name", async (kind) => {
  await start(kind);
  const { type, body } = kind.sent;
  const authority = `api.test:${upstream.port}`;
  guest.send(
    `POST http://${authority}/v1?q=1 HTTP/1.1\r\nHost: ${authority}\r\nTE: trailers\r\nConnection: TE\r\n` +
      `Content-Type: ${type}\r\nX-Seen: the guest says this itself\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await guest.until(/\r\n0\r\n[^]*\r\n\r\n$/);
  await eventually(() => joined.records.length === 1, "the record");
  expect(joined.records[0]).toMatchObject({ outcome: "completed", status: 401, injected: true });
  const heard = upstream.received.join("");
  expect(heard).not.toContain(STAND_IN);
  // What the guest said itself comes back: the upstream does give back what it is sent.
  expect(guest.text).toContain("X-Back-raw: X-Seen: the guest says this itself");
  expect(guest.text).toContain("X-Back-hex: ");
  const account = JSON.stringify(joined.records);
  for (const secret of kind.secrets) {
    for (const [name, spell] of Object.entries(SPELLINGS)) {
      expect([name, guest.text.includes(spell(secret)), account.includes(spell(secret))]).toEqual([name, false, false]);
    }
  }
  if (kind.once === null) return;
  const once = kind.once.exec(heard)?.[1] ?? "";
  expect(once.length).toBeGreaterThan(40);
  for (const name of OF_ONCE) {
    const spelling = SPELLINGS[name](once);
    expect([name, guest.text.toLowerCase().includes(spelling.toLowerCase())]).toEqual([name, false]);
    expect(account).not.toContain(spelling);
  }
});
