import { once } from "node:events";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type House, startHouse, TOKEN, WAYS } from "./support/house.ts";
import { patternBytes } from "./support/pattern.ts";
import { valuesOf } from "./support/recording.ts";
import { openWs, openedWs, WS_WAYS, wsClosed, wsMessage, wsMethod, wsUpstream } from "./support/ws-guest.ts";

/** `ws`, as programs use it: after the handshake the edge is a pipe, and the handshake carries the credential. */

let house: House;

beforeAll(async () => {
  house = await startHouse({ webSocketsOverHttp2: true });
});

afterAll(() => house?.stop());

beforeEach(() => house.reset());

describe.each(WS_WAYS)("%s", (how) => {
  test("echoes text and binary; the handshake carried the credential", async () => {
    const socket = await openedWs(house, how);
    socket.send("h\u00e9llo");
    expect((await wsMessage(socket)).toString()).toBe("h\u00e9llo");
    socket.send(Buffer.from([0, 255, 13, 10]));
    expect(await wsMessage(socket)).toEqual(Buffer.from([0, 255, 13, 10]));
    socket.terminate();
    const [seen] = wsUpstream(house, how).requests;
    expect(seen).toMatchObject({ method: wsMethod(how), url: "/ws", credential: true });
    expect(valuesOf(seen!, "authorization")).toEqual([`Bearer ${TOKEN}`]);
    expect(valuesOf(seen!, "sec-websocket-version")).toEqual(["13"]);
  });

  test("ping and pong", async () => {
    const socket = await openedWs(house, how);
    socket.ping("are you there");
    const [payload] = (await once(socket, "pong")) as [Buffer];
    expect(payload.toString()).toBe("are you there");
    socket.terminate();
  });

  test("a frame of a megabyte, compressed and not", async () => {
    const socket = await openedWs(house, how);
    expect(socket.extensions).toContain("permessage-deflate");
    const body = patternBytes(0, 1 << 20);
    for (const compress of [true, false]) {
      socket.send(body, { compress });
      expect((await wsMessage(socket)).equals(body)).toBe(true);
    }
    socket.terminate();
  });

  test("the sub-protocol and the close code are kept", async () => {
    const socket = await openedWs(house, how, "/ws", ["chat.v2", "chat.v1"]);
    expect(socket.protocol).toBe("chat.v2");
    socket.send("close 4321");
    expect(await wsClosed(socket)).toEqual([4321, "asked to"]);
  });

  test("a refusal keeps its status, fields and body", async () => {
    const socket = await openWs(house, how, "/ws-refuse");
    const [, response] = (await once(socket, "unexpected-response")) as [
      unknown,
      AsyncIterable<Buffer> & { statusCode: number; headers: Record<string, string> },
    ];
    expect(response.statusCode).toBe(403);
    expect(response.headers).toMatchObject({ "x-why": "test" });
    expect(response.headers["x-deny-reason"]).toBeUndefined();
    const body: Buffer[] = [];
    for await (const chunk of response) body.push(chunk);
    expect(Buffer.concat(body).toString()).toBe("not\n");
    socket.on("error", () => undefined);
    socket.terminate();
  });

  test("messages both ways at once", async () => {
    const socket = await openedWs(house, how);
    let received = 0;
    const all = new Promise<void>((done) => {
      socket.on("message", () => ++received === 500 && done());
    });
    for (let i = 0; i < 500; i++) socket.send(`message ${i} ${"x".repeat(1000)}`);
    await all;
    socket.close(1000);
    const [code] = (await once(socket, "close")) as [number];
    expect(code).toBe(1000);
  });
});

describe.each(WAYS)("%s", (way) => {
  test("an offer of h2c is dropped, and the request goes on without it", async () => {
    const offer = ["-H", "Connection: Upgrade, HTTP2-Settings", "-H", "Upgrade: h2c", "-H", "HTTP2-Settings: AAMAAABk"];
    const result = await house.curl(way, "/inspect", ...offer);
    const seen = JSON.parse(result.stdout) as { rawHeaders: string[] };
    const names = seen.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
    expect(names).not.toEqual(expect.arrayContaining(["upgrade"]));
    expect(names).not.toEqual(expect.arrayContaining(["http2-settings"]));
    expect(house.upstream(way).credentialless()).toBe(0);
  });
});
