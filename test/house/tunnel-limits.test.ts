import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { WebSocket } from "ws";
import { denialIn, openGuest, type RawGuest } from "../hostile/raw-guest.ts";
import { helloFor } from "./support/client-hello.ts";
import { type House, startHouse } from "./support/house.ts";
import { startRawUpstream } from "./support/raw-upstream.ts";
import { openedWs, WS_WAYS, type WsWay, wsClosed, wsMessage } from "./support/ws-guest.ts";

/**
 * How long a tunnel may be silent, and how long it may last. Nothing here measures time: a tunnel that talks outlives a silent
 * one that was opened after it, and no tunnel outlives its limit.
 */

/** Far below what a test waits, far above what a busy machine is late by between two pings. */
const IDLE_MS = 3000;
const PING_MS = 50;

function startWith(timeouts: Readonly<Record<string, number>>): Promise<House> {
  return startHouse({
    webSocketsOverHttp2: true,
    others: async () => ({
      "echo.test": await startRawUpstream((socket, first) => {
        socket.write(`${first.length} bytes\n`);
        socket.on("data", (text) => socket.write(String(text), "latin1"));
      }),
      "mute.test": await startRawUpstream(() => undefined),
    }),
    passThrough: ["echo.test"],
    config: { timeouts },
  });
}

/** A pass-through tunnel whose upstream has answered the hello, and says back what follows. */
async function passThrough(house: House): Promise<RawGuest> {
  const authority = `echo.test:${house.others["echo.test"]?.port}`;
  const guest = await openGuest(house.edge.proxyPort);
  guest.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  await guest.until(/\r\n\r\n/);
  guest.send(await helloFor("echo.test"));
  await guest.until(/ bytes\n/);
  return guest;
}

/** What the audit says of the tunnels that have ended, in order. */
async function outcomes(house: House, kind: string): Promise<unknown[]> {
  return (await house.edge.audit())
    .filter((record) => record["kind"] === kind && record["upstream"] !== undefined)
    .map(({ outcome }) => outcome);
}

describe("silence", () => {
  let house: House;
  beforeAll(async () => {
    house = await startWith({ tunnel_idle_ms: IDLE_MS });
  });
  afterAll(() => house?.stop());

  test("of a pass-through tunnel is cut, a little traffic keeps one open", async () => {
    const talking = await passThrough(house);
    const pings = setInterval(() => talking.send("."), PING_MS);
    const silent = await passThrough(house);
    await silent.ended();
    await expect.poll(() => outcomes(house, "connect")).toEqual(["edge_aborted"]);
    clearInterval(pings);
    talking.send("still here\n");
    await talking.until(/still here\n$/);
    expect(talking.closed).toBe(false);
    talking.destroy();
    await expect.poll(() => outcomes(house, "connect")).toEqual(["edge_aborted", "completed"]);
  });

  test("of a WebSocket is cut; pings keep one open, whoever sends them", async () => {
    const talking = new Map<WsWay, WebSocket>();
    const pings = setInterval(() => talking.forEach((socket) => socket.ping()), PING_MS);
    await Promise.all(WS_WAYS.map(async (way) => talking.set(way, await openedWs(house, way))));
    const ends = await Promise.all(WS_WAYS.map(async (way) => wsClosed(await openedWs(house, way))));
    // No close frame: the edge does not speak in the upstream's name.
    expect(ends).toEqual(WS_WAYS.map(() => [1006, ""]));
    clearInterval(pings);
    for (const way of WS_WAYS) {
      const socket = talking.get(way) as WebSocket;
      socket.send("still here");
      expect((await wsMessage(socket)).toString()).toBe("still here");
      socket.close(1000);
      expect(await wsClosed(socket)).toEqual([1000, ""]);
    }
    const cut = WS_WAYS.map(() => "edge_aborted");
    await expect.poll(() => outcomes(house, "upgrade")).toEqual([...cut, ...WS_WAYS.map(() => "completed")]);
  });
});

describe("a whole life", () => {
  let house: House;
  beforeAll(async () => {
    house = await startWith({ tunnel_life_ms: 3000 });
  });
  afterAll(() => house?.stop());

  test("ends tunnels that talk all the time", async () => {
    const guest = await passThrough(house);
    const sockets: WebSocket[] = [];
    const pings = setInterval(() => {
      guest.send(".");
      for (const socket of sockets) if (socket.readyState === socket.OPEN) socket.ping();
    }, 20);
    const ends = await Promise.all(
      WS_WAYS.map(async (way) => {
        const socket = await openedWs(house, way);
        sockets.push(socket);
        return wsClosed(socket);
      }),
    );
    await guest.ended();
    clearInterval(pings);
    expect(ends).toEqual(WS_WAYS.map(() => [1006, ""]));
    await expect.poll(() => outcomes(house, "connect")).toEqual(["edge_aborted"]);
  });
});

describe("silence of everything but tunnels", () => {
  let house: House;
  beforeAll(async () => {
    house = await startWith({
      guest_idle_ms: IDLE_MS,
      body_idle_ms: IDLE_MS,
      upstream_head_ms: IDLE_MS,
      upstream_keepalive_ms: IDLE_MS,
    });
  });
  afterAll(() => house?.stop());

  test("is cut; a WebSocket that has been silent for longer is as it was", async () => {
    const sockets = await Promise.all(WS_WAYS.map((way) => openedWs(house, way)));
    const [asking, sending] = await Promise.all([house.rawTo("mute.test"), house.rawTo("mute.test")]);
    sending.request("POST", "/", ["Content-Length: 10"], "half");
    asking.request("GET", "/");
    expect(denialIn(await sending.ended())).toBe("request_timeout");
    // Two times in a row: the upstream was silent, and then the guest.
    expect(denialIn(await asking.ended())).toBe("upstream_timeout");
    expect(sockets.map(({ readyState }) => readyState)).toEqual(sockets.map(({ OPEN }) => OPEN));
    for (const socket of sockets) {
      socket.send("still here");
      expect((await wsMessage(socket)).toString()).toBe("still here");
      socket.close(1000);
      expect(await wsClosed(socket)).toEqual([1000, ""]);
    }
    await expect.poll(() => outcomes(house, "upgrade")).toEqual(WS_WAYS.map(() => "completed"));
  });
});
