import type { Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { RawWay } from "./support/house.ts";
import { denialIn } from "../hostile/raw-guest.ts";
import { type House, startHouse } from "./support/house.ts";
import { startRawUpstream } from "./support/raw-upstream.ts";

/**
 * Streams that are slow are not silent. Nothing here measures time: each one that trickles outlives a silent one that began
 * after it.
 */

/** Far below what a test waits, far above what a busy machine is late by between two drops. */
const BODY_IDLE_MS = 3000;
const DROP_MS = 50;

let house: House;
const arrived: Socket[] = [];
const drips: NodeJS.Timeout[] = [];

beforeAll(async () => {
  const respond = (socket: Socket): void => void arrived.push(socket);
  house = await startHouse({
    others: async (ca) => ({
      "raw.test": await startRawUpstream(respond, { tls: await ca.issue(["raw.test"]) }),
      "plain-raw.test": await startRawUpstream(respond),
    }),
    config: { timeouts: { body_idle_ms: BODY_IDLE_MS } },
  });
});

afterAll(() => house?.stop());

afterEach(() => {
  stopDripping();
  for (const socket of arrived.splice(0)) socket.destroy();
});

const CHUNKED = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const COMMENT = chunk(": still there\n\n");

/** @returns the guest and the upstream's end of its request */
async function ask(name: string, method: string, fields: readonly string[], body = ""): Promise<[RawWay, Socket]> {
  const before = arrived.length;
  const guest = await house.rawTo(name);
  guest.request(method, "/", fields, body);
  await expect.poll(() => arrived.length, { timeout: 20_000, interval: 5 }).toBe(before + 1);
  return [guest, arrived[before] as Socket];
}

function drip(drop: () => void): void {
  drips.push(setInterval(drop, DROP_MS));
}

function stopDripping(): void {
  for (const timer of drips.splice(0)) clearInterval(timer);
}

/** Begins an answer and says no more: cut once it has been silent for too long. */
async function outlastASilentOne(name: string): Promise<void> {
  const [guest, upstream] = await ask(name, "GET", []);
  upstream.write(CHUNKED + COMMENT);
  const text = await guest.ended();
  expect(text).toContain("still there");
  expect(text).not.toMatch(/\r\n0\r\n\r\n$/);
  stopDripping();
}

describe.each(["raw.test", "plain-raw.test"])("%s", (name) => {
  test("comments keep server-sent events alive, a byte now and then a download, and a long poll is waited for", async () => {
    const [poll, upstream] = await ask(name, "GET", []);
    const [events, source] = await ask(name, "GET", ["Accept: text/event-stream"]);
    source.write(CHUNKED);
    drip(() => source.write(COMMENT));
    const [download, slow] = await ask(name, "GET", []);
    let left = 10_000;
    slow.write(`HTTP/1.1 200 OK\r\nContent-Length: ${left}\r\n\r\n`);
    drip(() => left-- > 0 && slow.write("x"));
    await outlastASilentOne(name);
    source.write(`${chunk("data: at last\n\n")}0\r\n\r\n`);
    expect(await events.until(/\r\n0\r\n\r\n$/)).toContain("data: at last");
    slow.write("x".repeat(left));
    const text = await download.when(() => download.text.length >= download.text.indexOf("\r\n\r\n") + 4 + 10_000);
    expect(text).toMatch(/\r\n\r\nx{10000}$/);
    upstream.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nnews\n");
    expect(await poll.until(/news\n$/)).toMatch(/^HTTP\/1\.1 200 /);
    for (const guest of [events, download, poll]) guest.destroy();
  });

  test("a slow upload goes on; one that stops is answered 408", async () => {
    const [upload, upstream] = await ask(name, "POST", ["Transfer-Encoding: chunked"], chunk("first"));
    drip(() => upload.send(chunk(".")));
    const [stopped] = await ask(name, "POST", ["Transfer-Encoding: chunked"], chunk("first"));
    const refused = await stopped.ended();
    expect(denialIn(refused)).toBe("request_timeout");
    stopDripping();
    upload.send("0\r\n\r\n");
    upstream.write("HTTP/1.1 204 No Content\r\n\r\n");
    expect(await upload.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 204 /);
    for (const guest of [upload, stopped]) guest.destroy();
  });

  test("full duplex: while one side talks the other one may listen, however long", async () => {
    const [listening, talker] = await ask(name, "POST", ["Transfer-Encoding: chunked"], chunk("first"));
    talker.write(CHUNKED);
    drip(() => talker.write(COMMENT));
    await listening.until(/\r\n\r\n/);
    const [talking, listener] = await ask(name, "POST", ["Transfer-Encoding: chunked"], chunk("first"));
    drip(() => talking.send(chunk(".")));
    listener.write(CHUNKED);
    await talking.until(/\r\n\r\n/);
    await outlastASilentOne(name);
    for (const [guest, upstream] of [
      [listening, talker],
      [talking, listener],
    ] as const) {
      guest.send(`${chunk("last words")}0\r\n\r\n`);
      upstream.write(`${chunk("heard")}0\r\n\r\n`);
      expect(await guest.until(/\r\n0\r\n\r\n$/)).toContain("heard");
      guest.destroy();
    }
    const bodies = house.others[name]?.received.filter((text) => text.endsWith("last words\r\n0\r\n\r\n"));
    expect(bodies).toHaveLength(2);
  });
});
