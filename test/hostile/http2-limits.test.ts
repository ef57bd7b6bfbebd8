import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  block,
  END_HEADERS,
  frame,
  headers,
  inFrames,
  PREFACE,
  reset,
  settings,
  TYPE,
} from "../guest/support/h2-frames.ts";
import { eventually } from "../line/support/joined.ts";
import { type Field, startTarget, type Target, TOO_MANY } from "./support/h2-attacker.ts";

/** What a guest, or an upstream, may make the edge keep: header blocks, HPACK tables, control frames, answers nobody reads. */

const CANCEL = 8;
const COMPRESSION_ERROR = 9;
const ENHANCE_YOUR_CALM = 11;

let target: Target;
let answer: string;

beforeAll(async () => {
  target = await startTarget({ timeouts: { requestHeadMs: 300, bodyIdleMs: 1000 } }, (socket, received) => {
    if (!received.endsWith("\r\n\r\n")) return;
    socket.write(received.lastIndexOf("GET /marker-") > received.lastIndexOf(" / HTTP/1.1") ? OK : answer);
  });
});

afterAll(async () => {
  await target.close();
  expect(target.joined.faults).toEqual([]);
  await eventually(() => target.joined.sweep.size === 0, "the end of every deadline");
});

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const lastDenial = (): string | null => target.joined.records.findLast(({ denial }) => denial !== null)?.denial ?? null;

/** Literal field that goes into the table of the other side (RFC 7541 §6.2.1); the newest entry has the index 62. */
const indexed = (field: Field): Buffer => Buffer.concat([Buffer.from([0x40]), block([field]).subarray(1)]);
const newest = (times: number): Buffer => Buffer.alloc(times, 0x80 | 62);

describe("header blocks", () => {
  test.each<[string, () => Buffer]>([
    [
      "long values",
      () => block([...target.request(), ...Array.from({ length: 5 }, (_, i): Field => [`x-${i}`, "a".repeat(15_000)])]),
    ],
    ["one long value", () => block([...target.request(), ["x", "a".repeat(65_400)]])],
    [
      "one long entry of the table, named again and again",
      () => Buffer.concat([block(target.request()), indexed(["x", "a".repeat(3900)]), newest(200)]),
    ],
  ])("beyond the limit in bytes are refused although SETTINGS were never acknowledged: %s", async (_name, make) => {
    const guest = await target.attack();
    guest.send(...inFrames(1, make()));
    await guest.answered(1);
    expect(guest.body(1)).toContain('"code":"header_limit"');
    expect(lastDenial()).toBe("header_limit");
    guest.socket.destroy();
    expect(await target.heard()).toBe("");
  });

  test("a table entry named thousands of times is not even unfolded", async () => {
    const guest = await target.attack();
    const bomb = Buffer.concat([block(target.request()), indexed(["x", "a".repeat(3900)]), newest(100_000)]);
    guest.send(...inFrames(1, bomb));
    await guest.answered(1);
    expect(guest.reader.codes().get(1) ?? guest.reader.codes().get(0)).toBe(ENHANCE_YOUR_CALM);
    guest.socket.destroy();
    expect(await target.heard()).toBe("");
  });

  test("what one guest put into its table no other guest can name", async () => {
    answer = OK;
    const rich = await target.attack();
    rich.send(...inFrames(1, Buffer.concat([block(target.request()), indexed(["x-secret", "of the first guest"])])));
    await rich.answered(1);
    rich.send(...inFrames(3, Buffer.concat([block(target.request()), newest(1)])));
    await rich.answered(3);
    expect((await target.heard()).match(/^x-secret: of the first guest$/gm)).toHaveLength(2);
    const poor = await target.attack();
    poor.send(...inFrames(1, Buffer.concat([block(target.request()), newest(1)])));
    await poor.ended();
    expect(poor.reader.codes().get(0)).toBe(COMPRESSION_ERROR);
    rich.socket.destroy();
    expect(await target.heard()).toBe("");
  });
});

describe("an answer's head as large as may be", () => {
  test.each([
    ["one field", 1, 65_400],
    ["many fields", 250, 245],
    ["a hundred fields", 100, 640],
  ])("%s: it arrives, and the connection goes on", async (_name, count, length) => {
    const lines = Array.from({ length: count }, (_, i) => `x-${i}: ${"{".repeat(length)}\r\n`).join("");
    answer = `HTTP/1.1 200 OK\r\n${lines}Content-Length: 2\r\n\r\nok`;
    const guest = await target.attack();
    guest.send(headers(1, target.request()));
    await guest.answered(1);
    expect(guest.body(1)).toBe("ok");
    answer = OK;
    guest.send(headers(3, target.request()));
    await guest.answered(3);
    expect(guest.body(3)).toBe("ok");
    expect([...guest.reader.codes()]).toEqual([]);
    guest.socket.destroy();
    await target.heard();
  });
});

/** @param before records that there were: CONNECT and the violation follow them */
async function expectViolation(before: number): Promise<void> {
  await eventually(() => target.joined.records.length > before + 1, "the record");
  expect(target.joined.records.slice(before).map(({ denial }) => denial)).toEqual([null, "http2_violation"]);
  await target.heard();
}

describe("control frames without end", () => {
  const ping = frame(TYPE.ping, 0, 0, Buffer.alloc(8));

  test.each([
    ["PING", ping],
    ["SETTINGS", settings(4, 65_535)],
    ["empty SETTINGS", settings()],
    ["both by turns", Buffer.concat([ping, settings()])],
  ])("%s: the connection ends, with a code and a record", async (_name, one) => {
    const before = target.joined.records.length;
    const guest = await target.attack();
    await guest.flood(Buffer.concat(Array.from({ length: 500 }, () => one)));
    await expectViolation(before);
  });

  test("a guest that asks for something in between is served", async () => {
    answer = OK;
    const guest = await target.attack();
    for (let stream = 1; stream < 20; stream += 2) {
      guest.send(...Array.from({ length: 200 }, () => ping), headers(stream, target.request()));
      await guest.answered(stream);
      expect(guest.body(stream)).toBe("ok");
    }
    guest.socket.destroy();
    await target.heard();
  });
});

describe("heads beyond every limit", () => {
  test("without end: the connection ends, with a code and a record", async () => {
    const before = target.joined.records.length;
    const guest = await target.attack();
    for (let stream = 1; !guest.reader.closed; stream += 2) {
      guest.send(headers(stream, [...target.request(), ...TOO_MANY]));
      if (stream % 40 === 1) await sleep(5);
    }
    await expectViolation(before);
  });

  test("a guest that leaves out every other number is served", async () => {
    answer = OK;
    const guest = await target.attack();
    const last = 1 + 4 * 150;
    for (let stream = 1; stream <= last; stream += 4) {
      if (stream === last) await target.joined.passed(500);
      guest.send(headers(stream, target.request()));
      await guest.answered(stream);
    }
    expect(guest.body(last)).toBe("ok");
    guest.socket.destroy();
    await target.heard();
  });
});

test("an answer that nobody reads is given up, while the request goes on for ever", async () => {
  answer = `HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n${"x".repeat(5000)}`;
  const guest = await target.attack({ preface: Buffer.concat([Buffer.from(PREFACE), settings(4, 0)]) });
  guest.send(headers(1, target.request("/", "POST"), END_HEADERS));
  // A stream that stays open keeps the connection from being idle.
  guest.send(headers(3, [...target.request("/", "POST"), ["content-length", "9"]], END_HEADERS));
  await eventually(() => guest.reader.codes().has(1), "the reset of what nobody reads");
  expect(guest.reader.codes().get(1)).toBe(CANCEL);
  guest.send(reset(3, CANCEL));
  guest.socket.destroy();
  await target.heard();
});
