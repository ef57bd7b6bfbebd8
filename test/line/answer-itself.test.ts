import { afterEach, describe, expect, test } from "vitest";
import { ByteBudget } from "../../src/core/byte-budget.ts";
import { END_HEADERS, frame, headers, TYPE } from "../guest/support/h2-frames.ts";
import { openGuest, type RawGuest } from "../hostile/raw-guest.ts";
import { type Field, startTarget, type Target } from "../hostile/support/h2-attacker.ts";
import { eventually } from "./support/joined.ts";

/** What guests may try at an endpoint that the edge answers itself. */

const TOKEN = "postern-stand-in-7d2f";
const FORM = "grant_type=client_credentials";

let target: Target;
let guest: RawGuest;
let budget: ByteBudget;

afterEach(async () => {
  guest?.destroy();
  await target.close();
  expect(target.upstream.sockets).toHaveLength(0);
  expect(target.joined.leases).toEqual([]);
  expect(target.joined.faults).toEqual([]);
  expect(budget.heldBytes).toBe(0);
});

async function start(as: "oauth2_token" | "registry_token" = "oauth2_token"): Promise<void> {
  budget = new ByteBudget(1_000_000);
  target = await startTarget({
    timeouts: { bodyIdleMs: 100 },
    destination: { credential: null, attachments: [], synthetic: { as, token: TOKEN, expiresInSeconds: 60 } },
    ports: () => ({ heldBodies: budget }),
  });
  guest = await openGuest(target.joined.port);
}

const head = (method: string, ...lines: string[]): string =>
  `${method} http://${target.authority}/token HTTP/1.1\r\nHost: ${target.authority}\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
const TYPE_LINE = "Content-Type: application/x-www-form-urlencoded";

describe("over HTTP/1.1", () => {
  test("requests in one segment get an answer each, and nothing of a body is read as a request", async () => {
    await start();
    const inner = head("POST", TYPE_LINE, `Content-Length: ${FORM.length}`) + FORM;
    guest.send(`${head("POST", TYPE_LINE, `Content-Length: ${inner.length}`)}${inner}${inner}`);
    await guest.until(/HTTP[^]*HTTP[^]*\}$/);
    await eventually(() => target.joined.records.length === 2, "both records");
    expect(target.joined.records.map(({ status }) => status)).toEqual([400, 200]);
  });

  test.each([
    ["nothing", ""],
    ["a part", FORM.slice(0, 5)],
  ])("a guest that asks for leave and then sends %s is late", async (_name, part) => {
    await start();
    guest.send(head("POST", TYPE_LINE, "Content-Length: 29", "Expect: 100-continue") + part);
    await guest.until(/x-deny-reason: request_timeout/);
    expect(guest.text).not.toContain(TOKEN);
  });

  test("nothing that a guest says ends a field or a body of the answer", async () => {
    await start();
    const body = `${FORM}&scope=${encodeURIComponent('"}\r\n\r\nHTTP/1.1 200 OK\r\nX-Mine: 1\r\n\r\n')}`;
    guest.send(head("POST", TYPE_LINE, `Content-Length: ${body.length}`) + body);
    await guest.until(/\}$/);
    expect(guest.text.match(/\r\n\r\n/g)).toHaveLength(1);
    const [, answer = ""] = guest.text.split("\r\n\r\n");
    expect(Number(/Content-Length: (\d+)/.exec(guest.text)?.[1])).toBe(answer.length);
    expect(JSON.parse(answer)).toMatchObject({ access_token: TOKEN });
  });

  test("a WebSocket is refused", async () => {
    await start("registry_token");
    guest.send(head("GET", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="));
    await guest.until(/^HTTP\/1\.1 501 [^]*x-deny-reason: upgrade_unsupported/);
    expect(guest.text).not.toContain(TOKEN);
  });
});

describe("over HTTP/2", () => {
  const asked = (method: string, ...more: Field[]): Field[] => [...target.request("/token", method), ...more];
  const type: Field = ["content-type", "application/x-www-form-urlencoded"];

  test("a body of another length than was said is none", async () => {
    await start();
    const attacker = await target.attack();
    attacker.send(headers(1, asked("POST", type, ["content-length", "5"]), END_HEADERS));
    attacker.send(frame(TYPE.data, 1, 1, Buffer.from(FORM)));
    await attacker.answered(1);
    expect(attacker.body(1)).not.toContain(TOKEN);
  });

  test("an extended CONNECT is refused: 200 would say that it is open", async () => {
    await start("registry_token");
    const attacker = await target.attack();
    const fields = asked("CONNECT", ["sec-websocket-version", "13"]);
    fields.splice(1, 0, [":protocol", "websocket"]);
    attacker.send(headers(1, fields, END_HEADERS));
    await attacker.answered(1);
    expect(attacker.body(1)).toContain("upgrade_unsupported");
    expect(attacker.body(1)).not.toContain(TOKEN);
  });

  test("a guest that resets in the middle leaves nothing behind", async () => {
    await start();
    const attacker = await target.attack();
    attacker.send(headers(1, asked("POST", type), END_HEADERS), frame(TYPE.data, 0, 1, Buffer.from(FORM)));
    await eventually(() => budget.heldBytes > 0, "the first bytes");
    attacker.send(frame(TYPE.reset, 0, 1, Buffer.from([0, 0, 0, 8])));
    await eventually(() => budget.heldBytes === 0, "the end of them");
    await eventually(() => target.joined.records.some(({ outcome }) => outcome === "guest_aborted"), "the record");
  });
});
