import { afterAll, beforeAll, expect, test } from "vitest";
import { headers, PREFACE, settings } from "../guest/support/h2-frames.ts";
import { openSecure } from "../guest/support/h2-guest.ts";
import { eventually } from "../line/support/joined.ts";
import { openTunnel } from "./raw-guest.ts";
import { Attacker, startTarget, type Target } from "./support/h2-attacker.ts";

/** How HTTP/2 begins: by ALPN and the whole preface, and in no other way. */

const PROTOCOL_ERROR = 1;

let target: Target;

beforeAll(async () => {
  target = await startTarget({ timeouts: { guestIdleMs: 1000, requestHeadMs: 1000 } });
});

afterAll(async () => {
  await target.close();
  expect(target.joined.faults).toEqual([]);
  await eventually(() => target.joined.sweep.size === 0, "the end of every deadline");
});

test("a preface broken in any byte ends the connection", async () => {
  const good = Buffer.concat([Buffer.from(PREFACE), settings()]);
  for (let i = 0; i < PREFACE.length; i++) {
    const broken = Buffer.concat([good, headers(1, target.request())]);
    broken[i] = (broken[i] as number) ^ 1;
    const guest = await target.attack({ preface: broken });
    await guest.ended();
    expect(guest.body(1)).toBe("");
  }
  expect(await target.heard()).toBe("");
});

test("a preface without the SETTINGS that belong to it", async () => {
  const guest = await target.attack({ preface: Buffer.from(PREFACE) });
  guest.send(headers(1, target.request()));
  await guest.ended();
  expect(guest.reader.codes().get(0)).toBe(PROTOCOL_ERROR);
  expect(await target.heard()).toBe("");
});

test("a preface that comes byte by byte is the same", async () => {
  const guest = await target.attack({ preface: null });
  for (const byte of Buffer.concat([Buffer.from(PREFACE), settings(), headers(1, target.request())])) {
    await new Promise((resolve) => guest.socket.write(Buffer.from([byte]), resolve));
  }
  await guest.answered(1);
  expect(guest.body(1)).toBe("ok");
  guest.socket.destroy();
  await target.heard();
});

test("no preface: the connection ends when its time is up", async () => {
  const guest = await target.attack({ preface: null });
  await guest.ended();
});

test("HTTP/1.1 where h2 was agreed on", async () => {
  const guest = await target.attack({ preface: Buffer.from(`GET / HTTP/1.1\r\nHost: ${target.authority}\r\n\r\n`) });
  await guest.ended();
  expect(await target.heard()).toBe("");
});

test.each([
  [
    "the upgrade of HTTP/1.1",
    "GET / HTTP/1.1\r\nHost: {A}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
  ],
  ["a second preface behind a request", `GET / HTTP/1.1\r\nHost: {A}\r\n\r\n${PREFACE}`],
])("h2 inside HTTP/1.1 by %s: never spoken", async (_name, text) => {
  const guest = await openTunnel(target.joined.port, target.authority, "api.test");
  guest.send(text.replaceAll("{A}", target.authority));
  await guest.until(/\r\n\r\nok/);
  expect(guest.text).toMatch(/^HTTP\/1\.1 200 /);
  expect(guest.text).not.toMatch(/101|h2c/);
  guest.destroy();
  expect(await target.heard()).not.toMatch(/upgrade|http2-settings|PRI /i);
});

test("h2 without ALPN is refused", async () => {
  const attacker = new Attacker(await openSecure(target.joined.port, target.authority, []));
  attacker.send(headers(1, target.request()));
  await attacker.ended();
  expect(await target.heard()).toBe("");
});
