import { type Duplex, duplexPair } from "node:stream";
import * as fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { Authority } from "../../src/core/authority.ts";
import { Denial } from "../../src/core/denial.ts";
import type { ExchangeRecord } from "../../src/core/record.ts";
import { passHellos } from "../../src/guest/hello-gate.ts";
import { openRecord } from "../../src/guest/record.ts";
import { joinStreams } from "../../src/line/join-streams.ts";
import { inRecords, withExtension } from "../house/support/client-hello.ts";
import { clientHello } from "./support/hello.ts";
import { DUMMY, hello13, helloRetryRequest, serverHello, WARNING } from "./support/server-hello.ts";

/** The hellos of a pass-through tunnel between a guest and a server that the test plays. */

interface Tunnel {
  readonly guest: Duplex;
  readonly server: Duplex;
  /** What each of them has been handed, in hex. */
  readonly heard: { guest: string; server: string };
  readonly ends: { guest: boolean; server: boolean };
  readonly record: ExchangeRecord;
  /** How it ended: joined and closed, or refused. */
  readonly over: Promise<Denial | null>;
}

const AUTHORITY = Authority.parse("api.test:443", 443) as Authority;

function open(timeoutMs = 10_000): Tunnel {
  const [guest, guestEdge] = duplexPair();
  const [server, serverEdge] = duplexPair();
  const record = openRecord({ monotonicMs: () => 0, wallMs: () => 0 }, "id", "connect", "guests", "127.0.0.1");
  const heard = { guest: "", server: "" };
  const ends = { guest: false, server: false };
  for (const [name, side] of [
    ["guest", guest],
    ["server", server],
  ] as const) {
    side.on("data", (chunk: Buffer) => {
      heard[name] += chunk.toString("hex");
    });
    side.on("end", () => {
      ends[name] = true;
    });
    side.on("error", () => undefined);
  }
  const over = (async () => {
    try {
      await passHellos(guestEdge, serverEdge, AUTHORITY, record, timeoutMs);
    } catch (thrown) {
      for (const side of [guestEdge, serverEdge]) side.destroy();
      return Denial.from(thrown);
    }
    await joinStreams(guestEdge, serverEdge, record);
    return null;
  })();
  return { guest, server, heard, ends, record, over };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}

async function until(isDone: () => boolean): Promise<void> {
  for (let i = 0; i < 10_000 && !isDone(); i++) await turn();
  expect(isDone()).toBe(true);
}

/** Each segment in a turn of its own. */
async function say(side: Duplex, bytes: Buffer, sizes: readonly number[] = [bytes.length]): Promise<void> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const segment = bytes.subarray(at, at + (sizes[i % sizes.length] as number));
    side.write(segment);
    at += segment.length;
    await turn();
  }
}

async function close({ guest, server, over }: Tunnel): Promise<Denial | null> {
  guest.end();
  server.end();
  return await over;
}

const FIRST = hello13("api.test");
const SECOND = withExtension(FIRST, 0x5a5a, Buffer.from("a cookie"));
const LATER = Buffer.from("\x17\x03\x03\x00\x04anything");
const hex = (...parts: readonly Buffer[]): string => Buffer.concat(parts).toString("hex");

describe("a server that asks for a second hello", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 8 });

  test("gets it as it was sent, however all of it is cut, and whether it waits or is there already", async () => {
    const cases = fc.record({
      hasDummy: fc.boolean(),
      isEager: fc.boolean(),
      records: fc.tuple(sizes, sizes, sizes),
      segments: fc.tuple(sizes, sizes),
    });
    const run = fc.asyncProperty(cases, async ({ hasDummy, isEager, records, segments }) => {
      const first = inRecords(FIRST, records[0]);
      const second = Buffer.concat([hasDummy ? DUMMY : Buffer.alloc(0), inRecords(SECOND, records[1]), LATER]);
      const answer = Buffer.concat([inRecords(helloRetryRequest(), records[2]), DUMMY]);
      const tunnel = open();
      const { guest, server, heard, record } = tunnel;
      await say(guest, isEager ? Buffer.concat([first, second]) : first, segments[0]);
      await until(() => heard.server.length >= 2 * first.length);
      await turns(5);
      expect(heard.server).toBe(hex(first));
      await say(server, answer, segments[1]);
      if (!isEager) {
        // A client answers once all of the question is there.
        await until(() => heard.guest === hex(answer));
        expect(heard.server).toBe(hex(first));
        await say(guest, second, segments[0]);
      }
      await until(() => heard.server === hex(first, second) && heard.guest === hex(answer));
      await say(server, LATER);
      expect(await close(tunnel)).toBeNull();
      expect(heard).toEqual({ server: hex(first, second), guest: hex(answer, LATER) });
      expect(record).toMatchObject({
        bytesFromGuest: first.length + second.length,
        bytesToGuest: answer.length + LATER.length,
      });
    });
    await fc.assert(run, { numRuns: 100 });
  });

  test("and leaves is told to the guest at once", async () => {
    const tunnel = open();
    await say(tunnel.guest, FIRST);
    await until(() => tunnel.heard.server !== "");
    await say(tunnel.server, helloRetryRequest());
    tunnel.server.end();
    await until(() => tunnel.ends.guest);
    tunnel.guest.end();
    expect((await tunnel.over)?.code).toBe("tunnel_unsupported");
  });

  const none = Buffer.alloc(0);
  test.each<[string, Buffer, string]>([
    ["of another name", hello13("evil.test"), "sni_mismatch"],
    ["of another name behind a dummy", Buffer.concat([DUMMY, hello13("evil.test")]), "sni_mismatch"],
    ["of another name in many records", inRecords(hello13("evil.test"), [1, 2, 5]), "sni_mismatch"],
    ["of another name, of TLS 1.2", clientHello("evil.test"), "sni_mismatch"],
    ["without a name", withExtension(nameless(), 43, Buffer.of(2, 3, 4)), "sni_missing"],
    ["with an encrypted one inside", withExtension(FIRST, 0xfe0d, Buffer.alloc(100)), "ech_refused"],
    ["that announces early data", withExtension(FIRST, 42, none), "early_data_refused"],
    ["behind two dummies", Buffer.concat([DUMMY, DUMMY, SECOND]), "tunnel_unsupported"],
    [
      "behind another change_cipher_spec",
      Buffer.concat([Buffer.of(20, 3, 3, 0, 2, 1, 1), SECOND]),
      "tunnel_unsupported",
    ],
    ["behind an alert", Buffer.concat([WARNING, SECOND]), "tunnel_unsupported"],
    ["behind application data", Buffer.concat([LATER, SECOND]), "tunnel_unsupported"],
  ])("never hears of one %s", async (_name, second, code) => {
    for (const isEager of [false, true]) {
      const tunnel = open();
      const { guest, server, heard, record } = tunnel;
      await say(guest, isEager ? Buffer.concat([FIRST, second]) : FIRST);
      await until(() => heard.server !== "");
      await say(server, helloRetryRequest());
      if (!isEager) await say(guest, second);
      expect(await tunnel.over).toMatchObject({ code });
      await turns();
      expect(heard.server).toBe(hex(FIRST));
      expect(record).toMatchObject({ bytesFromGuest: FIRST.length, bytesToGuest: helloRetryRequest().length });
    }
  });

  test.each<[string, Buffer, boolean, string]>([
    ["says nothing more", none, false, "request_timeout"],
    ["stops in the middle of it", SECOND.subarray(0, 50), false, "request_timeout"],
    ["stops in the middle of the dummy", DUMMY.subarray(0, 3), false, "request_timeout"],
    ["closes", none, true, "tunnel_unsupported"],
    ["closes in the middle of it", SECOND.subarray(0, 50), true, "tunnel_unsupported"],
  ])("is not waited for without end when the guest %s", async (_name, second, ends, code) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const tunnel = open(100);
      await say(tunnel.guest, FIRST);
      await until(() => tunnel.heard.server !== "");
      await say(tunnel.server, helloRetryRequest());
      await say(tunnel.guest, second);
      await turns();
      if (ends) tunnel.guest.end();
      else vi.advanceTimersByTime(100);
      expect(await tunnel.over).toMatchObject({ code });
      expect(tunnel.heard.server).toBe(hex(FIRST));
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("what follows the hello waits for the server", () => {
  test.each<[string, Buffer]>([
    ["that takes it", serverHello(Buffer.alloc(32, 7))],
    ["that speaks no TLS", Buffer.from("220 hello\r\n")],
    ["that refuses, and goes on", Buffer.concat([WARNING, serverHello(Buffer.alloc(32, 7))])],
  ])("%s", async (_name, answer) => {
    const tunnel = open();
    const { guest, server, heard, record } = tunnel;
    await say(guest, Buffer.concat([FIRST, LATER]));
    await until(() => heard.server !== "");
    await turns();
    expect(heard.server).toBe(hex(FIRST));
    await say(server, answer);
    await until(() => heard.server === hex(FIRST, LATER) && heard.guest === hex(answer));
    expect(await close(tunnel)).toBeNull();
    expect(record).toMatchObject({ bytesFromGuest: FIRST.length + LATER.length, bytesToGuest: answer.length });
  });

  test("a warning reaches the guest while more is waited for", async () => {
    const tunnel = open();
    await say(tunnel.guest, FIRST);
    await until(() => tunnel.heard.server !== "");
    await say(tunnel.server, WARNING);
    await until(() => tunnel.heard.guest === hex(WARNING));
    tunnel.server.end();
    await until(() => tunnel.ends.guest);
    tunnel.guest.end();
    expect(await tunnel.over).toBeNull();
  });

  test("that says nothing and ends", async () => {
    const tunnel = open();
    await say(tunnel.guest, Buffer.concat([FIRST, LATER]));
    await until(() => tunnel.heard.server !== "");
    tunnel.server.end();
    await until(() => tunnel.ends.guest && tunnel.heard.server === hex(FIRST, LATER));
    tunnel.guest.end();
    expect(await tunnel.over).toBeNull();
  });

  test("an end behind it waits with it", async () => {
    const tunnel = open();
    await say(tunnel.guest, Buffer.concat([FIRST, LATER]));
    tunnel.guest.end();
    await until(() => tunnel.heard.server !== "");
    await turns();
    expect(tunnel.heard.server).toBe(hex(FIRST));
    await say(tunnel.server, serverHello(Buffer.alloc(32)));
    await until(() => tunnel.ends.server);
    expect(tunnel.heard.server).toBe(hex(FIRST, LATER));
    tunnel.server.end();
    expect(await tunnel.over).toBeNull();
  });

  test("a guest that is cut meanwhile ends both", async () => {
    const [guest, guestEdge] = duplexPair();
    const [server, serverEdge] = duplexPair();
    const record = openRecord({ monotonicMs: () => 0, wallMs: () => 0 }, "id", "connect", "guests", "127.0.0.1");
    guest.resume();
    server.resume();
    const passed = passHellos(guestEdge, serverEdge, AUTHORITY, record, 10_000);
    await say(guest, Buffer.concat([FIRST, LATER]));
    await turns();
    guestEdge.destroy();
    await passed;
    await joinStreams(guestEdge, serverEdge, record);
    expect(record.bytesFromGuest).toBe(FIRST.length);
  });
});

describe("nothing waits behind a hello of TLS 1.2, which cannot be retried", () => {
  test.each([
    ["without versions", clientHello("api.test")],
    ["with versions up to 1.2", hello13("api.test", "0303030203010300")],
  ])("%s", async (_name, hello) => {
    const tunnel = open();
    await say(tunnel.guest, Buffer.concat([hello, LATER]));
    await until(() => tunnel.heard.server === hex(hello, LATER));
    expect(await close(tunnel)).toBeNull();
  });
});

/** A hello that has other extensions alone. */
function nameless(): Buffer {
  const hello = clientHello("");
  // server_name becomes an extension that nobody knows: both have the same shape to whoever reads past it.
  hello.writeUInt16BE(0x6a6a, hello.length - 9);
  return hello;
}
