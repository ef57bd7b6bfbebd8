import { describe, expect, it } from "vitest";
import { EVENT_BYTES, eventText, sentMsOf } from "../../bench/wire/events.ts";
import { GRPC_MESSAGE } from "../../bench/wire/grpc.ts";
import { clientHello, helloLength } from "../../bench/wire/opaque.ts";
import { acceptOf, ClientFrames, FRAME_TO_CLIENT, FRAME_TO_SERVER, MESSAGE_BYTES } from "../../bench/wire/websocket.ts";
import { parseClientHello } from "../../src/guest/client-hello.ts";

describe("the bench's WebSocket frames", () => {
  function readInPieces(bytes: Buffer, size: number): { readonly payloads: string[]; readonly closes: number } {
    const payloads: string[] = [];
    let closes = 0;
    const frames = new ClientFrames(
      (payload) => payloads.push(payload.toString("latin1")),
      () => closes++,
    );
    for (let at = 0; at < bytes.length; at += size) frames.push(Buffer.from(bytes.subarray(at, at + size)));
    return { payloads, closes };
  }
  const message = FRAME_TO_CLIENT.toString("latin1", 2);
  const close = Buffer.of(0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xe8 ^ 2);

  for (const size of [1, 3, 70, 1000]) {
    it(`are taken apart and unmasked, in pieces of ${size}`, () => {
      const read = readInPieces(Buffer.concat([FRAME_TO_SERVER, FRAME_TO_SERVER, close]), size);
      expect(read).toEqual({ payloads: [message, message], closes: 1 });
    });
  }

  it("are unmasked as in RFC 6455 §5.7", () => {
    const hello = Buffer.of(0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58);
    expect(readInPieces(hello, 1000).payloads).toEqual(["Hello"]);
  });

  it("hold a message of the length that is told", () => {
    expect(message).toHaveLength(MESSAGE_BYTES);
  });

  it("are refused without a mask, when long, and of another kind", () => {
    expect(() => readInPieces(FRAME_TO_CLIENT, 1000)).toThrow("without a mask");
    expect(() => readInPieces(Buffer.of(0x82, 0xfe, 0, 200), 1000)).toThrow("longer");
    expect(() => readInPieces(Buffer.of(0x8f, 0x80, 0, 0, 0, 0), 1000)).toThrow("begins with");
  });

  it("are agreed on as in RFC 6455 §1.3", () => {
    expect(acceptOf("dGhlIHNhbXBsZSBub25jZQ==")).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  });
});

describe("the bench's events", () => {
  it("tell when they were sent, at one length", () => {
    for (const sentMs of [0, 12.5, 987_654_321.125]) {
      expect(eventText(sentMs)).toHaveLength(EVENT_BYTES);
      expect(sentMsOf(eventText(sentMs))).toBe(sentMs);
    }
  });

  it("are refused when a byte is missing or another stands there", () => {
    expect(() => sentMsOf(eventText(1).slice(1))).toThrow("not an event");
    expect(() => sentMsOf(eventText(1).replace("1.", "x."))).toThrow("not an event");
  });
});

describe("what the bench sends to a destination that is not looked into", () => {
  it("begins with a hello that names the host and ends where its header tells", async () => {
    const hello = await clientHello("opaque.bench.test");
    expect(helloLength(hello)).toBe(hello.length);
    expect(helloLength(hello.subarray(0, 4))).toBeNull();
    expect(parseClientHello(hello)).toMatchObject({
      serverName: "opaque.bench.test",
      hasEch: false,
      mayBeRetried: false,
    });
  });
});

describe("the bench's gRPC message", () => {
  it("stands behind the prefix that tells its length", () => {
    expect(GRPC_MESSAGE[0]).toBe(0);
    expect(GRPC_MESSAGE.readUInt32BE(1)).toBe(GRPC_MESSAGE.length - 5);
  });
});
