import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openGuest } from "../hostile/raw-guest.ts";
import { type House, startHouse, WAYS } from "./support/house.ts";

/** Several requests on one connection of a guest: in order, one at a time, whatever came ahead. */

let house: House;

beforeAll(async () => {
  house = await startHouse();
});

afterAll(() => house?.stop());

beforeEach(() => house.reset());

describe.each(WAYS)("%s", (way) => {
  test("pipelined requests are answered in order", async () => {
    const guest = await house.raw(way);
    guest.socket.cork();
    for (let i = 0; i < 10; i++) guest.request("GET", `/inspect?i=${i}`);
    guest.request("POST", "/echo", ["Content-Length: 5"], "hello");
    guest.request("POST", "/echo", ["Transfer-Encoding: chunked"], "5\r\nworld\r\n0\r\n\r\n");
    guest.request("GET", "/inspect?i=last", ["Connection: close"]);
    guest.socket.uncork();
    const text = await guest.ended();
    guest.destroy();
    expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(13);
    const answers = [...text.matchAll(/"url":"\/inspect\?i=([^"]*)"|\r\n\r\n(hello|world)/g)];
    expect(answers.map((match) => match[1] ?? match[2])).toEqual([
      ...Array.from("0123456789"),
      "hello",
      "world",
      "last",
    ]);
    expect(house.upstream(way).requests.map(({ method }) => method)).toEqual([
      ...Array.from({ length: 10 }, () => "GET"),
      "POST",
      "POST",
      "GET",
    ]);
    expect(house.upstream(way).credentialless()).toBe(0);
  });

  test("a slow answer holds back the one behind it", async () => {
    const guest = await house.raw(way);
    guest.request("GET", "/slow?ms=100");
    guest.request("GET", "/hello", ["Connection: close"]);
    const text = await guest.ended();
    guest.destroy();
    expect(text.indexOf("slow\n")).toBeGreaterThan(0);
    expect(text.indexOf("slow\n")).toBeLessThan(text.indexOf('"url":"/hello"'));
  });

  test("one connection of the guest is one connection upstream", async () => {
    const guest = await house.raw(way);
    for (let i = 0; i < 5; i++) {
      guest.request("GET", `/hello?i=${i}`);
      await guest.until(new RegExp(`"url":"/hello\\?i=${i}"[^]*\n$`));
    }
    guest.destroy();
    expect(new Set(house.upstream(way).requests.map(({ connection }) => connection)).size).toBe(1);
  });

  test("HTTP/1.0 ends with its answer", async () => {
    const { port } = house.upstream(way);
    const front = way === WAYS[0] ? "" : `http://api.test:${port}`;
    const head = `GET ${front}/hello HTTP/1.0\r\nHost: api.test:${port}\r\n\r\n`;
    const closing = await house.raw(way);
    closing.send(head);
    expect(await closing.ended()).toMatch(/^HTTP\/1\.1 200 [\s\S]*\r\nConnection: close\r\n/);
    closing.destroy();
  });

  test("a request in drips of one byte", async () => {
    const guest = await house.raw(way);
    const { port } = house.upstream(way);
    const front = way === WAYS[0] ? "" : `http://api.test:${port}`;
    const message = `POST ${front}/echo HTTP/1.1\r\nHost: api.test:${port}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n`;
    for (const byte of message) {
      guest.send(byte);
      await new Promise((done) => setImmediate(done));
    }
    expect(await guest.until(/abc$/)).toMatch(/^HTTP\/1\.1 200 /);
    guest.destroy();
  });
});

test("a guest over TCP that closes its sending side still gets its answer", async () => {
  const guest = await openGuest(house.edge.proxyPort);
  const { port } = house.upstream(WAYS[1]);
  guest.socket.end(`GET http://api.test:${port}/slow?ms=50 HTTP/1.1\r\nHost: api.test:${port}\r\n\r\n`);
  expect(await guest.ended()).toMatch(/^HTTP\/1\.1 200 [\s\S]*slow\n$/);
  guest.destroy();
});

test("CONNECT as HTTP/1.0 without Host, the hello sent ahead of the answer", async () => {
  const guest = await openGuest(house.edge.proxyPort);
  const { port } = house.upstream(WAYS[0]);
  guest.send(`CONNECT api.test:${port} HTTP/1.0\r\n\r\n`);
  expect(await guest.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.[01] 200 [^\r]*\r\n\r\n$/);
  guest.destroy();
});
