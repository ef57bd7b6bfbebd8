import { createHash } from "node:crypto";
import { constants, type ClientHttp2Session, type ClientHttp2Stream, type OutgoingHttpHeaders } from "node:http2";
import { describe, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { eventually, standstill, TOKEN } from "../line/support/joined.ts";
import { answerOf, ask } from "./support/h2-guest.ts";
import { http2House } from "./support/http2-house.ts";

/** WebSocket over HTTP/2 (RFC 8441) in front of an upstream that knows the upgrade of HTTP/1.1 alone. */

const start = http2House();

const CONNECT = {
  ":method": "CONNECT",
  ":protocol": "websocket",
  ":path": "/chat?room=1",
  "sec-websocket-version": "13",
};

function acceptFor(received: string): string {
  const key = /^Sec-WebSocket-Key: (.*)\r$/im.exec(received)?.[1] ?? "";
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

function switching(received: string, accept = acceptFor(received)): string {
  return (
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
    `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n`
  );
}

function open(session: ClientHttp2Session, headers: OutgoingHttpHeaders = {}): ClientHttp2Stream {
  const stream = session.request({ ...CONNECT, ...headers }, { endStream: false });
  stream.on("error", () => undefined);
  return stream;
}

const status = (stream: ClientHttp2Stream): Promise<number> =>
  new Promise((resolve) => stream.once("response", (headers) => resolve(Number(headers[":status"]))));

/** A client that closes its side once it was answered. */
function closing(stream: ClientHttp2Stream): ClientHttp2Stream {
  return stream.once("response", () => stream.end());
}

describe("an extended CONNECT", () => {
  test("is the GET that it stands for, with a key of the edge and the credential; bytes pass both ways", async () => {
    const { session, upstream, joined, authority } = await start(
      (socket, received) => {
        if (received.endsWith("\r\n\r\n")) socket.write(`${switching(received)}hello`);
        else socket.write(received.slice(received.indexOf("\r\n\r\n") + 4).slice(-4));
      },
      {},
      () => undefined,
    );
    expect(session.remoteSettings.enableConnectProtocol).toBe(true);
    const stream = open(session, { "sec-websocket-extensions": "permessage-deflate" });
    let text = "";
    stream.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
    });
    expect(await status(stream)).toBe(200);
    expect(stream.sentHeaders[":protocol"]).toBe("websocket");
    stream.write("ping");
    await eventually(() => text === "helloping", "both parts");
    const [received = ""] = upstream.received;
    expect(received).toMatch(/^GET \/chat\?room=1 HTTP\/1\.1\r\n/);
    expect(received).toContain(`Host: ${authority}\r\n`);
    expect(received).toContain(`Authorization: Bearer ${TOKEN}\r\n`);
    expect(received).toContain("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    expect(received.match(/sec-websocket-key/gi)).toHaveLength(1);
    expect(received).toContain("sec-websocket-extensions: permessage-deflate\r\n");
    stream.end();
    await eventually(() => upstream.sockets[0]?.readableEnded === true, "the half-close");
    upstream.sockets[0]?.end("bye!");
    await eventually(() => text === "hellopingbye!", "what came after the half-close");
    await eventually(() => joined.records.length === 2, "the record");
    expect(joined.records[1]).toMatchObject({ kind: "upgrade", method: "GET", path: "/chat", status: 101 });
    expect(joined.records[1]).toMatchObject({ outcome: "completed", bytesFromGuest: 4, bytesToGuest: 13 });
  });

  test("keeps sub-protocol and extensions of the answer, and nothing of the handshake of HTTP/1.1", async () => {
    const { session } = await start((socket, received) => void socket.write(switching(received)));
    const stream = open(session);
    const fields = await new Promise<object>((resolve) => stream.once("response", resolve));
    expect(fields).toMatchObject({ ":status": 200, "sec-websocket-protocol": "chat" });
    expect(Object.keys(fields)).toEqual([":status", "sec-websocket-protocol"]);
    stream.close(constants.NGHTTP2_CANCEL);
  });

  test("with a key of the guest's own keeps it, and its answer: some clients want it here, too", async () => {
    const { session, upstream } = await start((socket, received) => void socket.write(switching(received)));
    const stream = open(session, { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" });
    const fields = await new Promise<object>((resolve) => stream.once("response", resolve));
    expect(fields).toMatchObject({ "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" });
    expect(upstream.received[0]?.match(/sec-websocket-key: .*/gi)).toEqual([
      "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ]);
    stream.close(constants.NGHTTP2_CANCEL);
  });

  test("with two keys is refused", async () => {
    const { session, upstream, authority } = await start(() => undefined);
    const key = ["sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="];
    const head = [":authority", authority, ":scheme", "https", ...Object.entries(CONNECT).flat(), ...key, ...key];
    const answer = await answerOf(closing(session.request(head, { endStream: false })));
    expect(answer.status).toBe(400);
    expect(upstream.received).toEqual([]);
  });

  test("that the upstream does not accept by the key is refused, and no byte flows", async () => {
    const { session, upstream, joined } = await start((socket, received) => {
      socket.write(`${switching(received, "bm90IHRoZSBrZXk=")}smuggled`);
    });
    const answer = await answerOf(open(session));
    expect(answer).toMatchObject({ status: 502 });
    expect(answer.fields.get("x-deny-reason")).toBe("upstream_protocol");
    expect(answer.body.toString()).not.toContain("smuggled");
    await eventually(() => upstream.sockets[0]?.destroyed === true, "the end of the connection");
    expect(joined.records[1]).toMatchObject({ denial: "upstream_protocol" });
  });

  test("that the upstream answers otherwise gets that answer", async () => {
    const { session } = await start((socket) => {
      socket.write("HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nnope");
    });
    const answer = await answerOf(open(session));
    expect(answer.status).toBe(403);
    expect(answer.body.toString()).toBe("nope");
  });

  test("that the upstream answers with success, as any other request, is no WebSocket", async () => {
    const { session, joined } = await start((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nno frame");
    });
    const answer = await answerOf(open(session));
    expect(answer).toMatchObject({ status: 502 });
    expect(answer.fields.get("x-deny-reason")).toBe("upstream_protocol");
    expect(joined.records[1]).toMatchObject({ denial: "upstream_protocol" });
  });

  test("bytes that come ahead of the answer wait for it, and go nowhere when it is a refusal", async () => {
    const { session, upstream } = await start((socket) => {
      socket.write("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    });
    const stream = open(session);
    stream.write("early bytes");
    expect((await answerOf(stream)).status).toBe(403);
    expect(upstream.received[0]).toMatch(/\r\n\r\n$/);
  });

  test.each(["connect-udp", "connect-ip", "h2c", "WebSocket"])("for %s is refused by name", async (protocol) => {
    const { session, upstream } = await start(() => undefined);
    const answer = await answerOf(closing(open(session, { ":protocol": protocol })));
    expect(answer.status).toBe(501);
    expect(answer.fields.get("x-deny-reason")).toBe("upgrade_unsupported");
    expect(upstream.received).toEqual([]);
  });

  test("is refused by a status, whatever its content type says: 200 would say that it is open (RFC 8441 §5)", async () => {
    const { session } = await start(() => undefined, {
      ports: ({ policy }) => ({
        policy: {
          ...policy,
          decide: () => {
            throw new Denial("path_not_allowed");
          },
        },
      }),
    });
    const answer = await answerOf(closing(open(session, { "content-type": "application/grpc", te: "trailers" })));
    expect([answer.status, answer.fields.get("x-deny-reason")]).toEqual([403, "path_not_allowed"]);
  });

  test("a plain CONNECT is a tunnel in a tunnel: refused", async () => {
    const { session, upstream } = await start(() => undefined);
    const stream = session.request({ ":method": "CONNECT", ":authority": "other.test:443" }, { endStream: false });
    const answer = await answerOf(closing(stream));
    expect(answer.status).toBe(501);
    expect(answer.fields.get("x-deny-reason")).toBe("tunnel_unsupported");
    expect(upstream.received).toEqual([]);
  });
});

describe("the ends of a WebSocket over HTTP/2", () => {
  test("a reset of the guest ends the upstream's connection", async () => {
    const { session, upstream } = await start((socket, received) => void socket.write(switching(received)));
    const stream = open(session);
    await status(stream);
    stream.close(constants.NGHTTP2_CANCEL);
    await eventually(() => upstream.sockets[0]?.destroyed === true, "its end");
  });

  test("a reset of the upstream resets the stream, and not the connection", async () => {
    const { session, upstream } = await start((socket, received) => {
      if (received.startsWith("GET /chat")) socket.write(switching(received));
      else socket.write("HTTP/1.1 204 OK\r\n\r\n");
    });
    const stream = open(session);
    await status(stream);
    const over = new Promise((resolve) => stream.once("close", resolve));
    upstream.sockets[0]?.resetAndDestroy();
    await over;
    expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
    expect((await ask(session, { ":path": "/" })).status).toBe(204);
  });

  test("silence beyond the limit ends it", async () => {
    const options = { timeouts: { tunnelIdleMs: 80 } };
    const { session, upstream } = await start((socket, received) => void socket.write(switching(received)), options);
    const stream = open(session);
    await new Promise((resolve) => stream.once("close", resolve));
    await eventually(() => upstream.sockets[0]?.destroyed === true, "its end");
  });

  test("a guest that does not read holds the upstream back, and no other stream", async () => {
    let sent = 0;
    const { session } = await start((socket, received) => {
      if (!received.startsWith("GET /chat")) {
        socket.write("HTTP/1.1 204 OK\r\n\r\n");
        return;
      }
      if (sent > 0) return;
      socket.write(switching(received));
      const more = (): void => {
        for (; sent < 64 * 1024 * 1024 && !socket.destroyed; sent += 65_536) {
          if (!socket.write(Buffer.alloc(65_536))) {
            socket.once("drain", more);
            return;
          }
        }
      };
      more();
    });
    const stream = open(session);
    stream.pause();
    await status(stream);
    await standstill(() => sent, "a still upstream");
    expect(sent).toBeLessThan(32 * 1024 * 1024);
    expect((await ask(session, { ":path": "/" })).status).toBe(204);
    stream.close(constants.NGHTTP2_CANCEL);
  });
});
