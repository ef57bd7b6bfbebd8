import { afterEach, describe, expect, test } from "vitest";
import { openGuest, type RawGuest } from "../hostile/raw-guest.ts";
import { eventually, type Joined, type Scripted, startJoined, startScripted, TOKEN } from "./support/joined.ts";

/** Trailers over HTTP/1.1: of any name, announced or not, but for those that a trailer may not be (RFC 9110 §6.5.1). */

const PASSED = "My-Own: 1\r\nX-Sum: 7\r\nMY-OWN: 2\r\ngrpc-status: 0\r\n";
const FORBIDDEN =
  "Content-Length: 4\r\nTransfer-Encoding: chunked\r\nHost: other.test\r\nAuthorization: Bearer mine\r\n" +
  "Content-Encoding: gzip\r\nIf-Match: *\r\nForwarded: for=1\r\nProxy-Authorization: x\r\nSet-Cookie: a=b\r\n";

let joined: Joined;
let upstream: Scripted;
let guest: RawGuest;

afterEach(async () => {
  guest.destroy();
  await joined.stop();
  await upstream.close();
  expect(joined.faults).toEqual([]);
});

async function start(serve: Parameters<typeof startScripted>[0]): Promise<void> {
  upstream = await startScripted(serve);
  joined = await startJoined();
  guest = await openGuest(joined.port);
}

describe.each(["", "Trailer: My-Own\r\n"])("with %j in the head", (announced) => {
  test("of a request", async () => {
    await start((socket, text) => text.endsWith("\r\n\r\n") && socket.write("HTTP/1.1 204 OK\r\n\r\n"));
    const authority = `api.test:${upstream.port}`;
    guest.send(
      `POST http://${authority}/ HTTP/1.1\r\nHost: ${authority}\r\nTransfer-Encoding: chunked\r\n${announced}\r\n`,
    );
    guest.send(`2\r\nok\r\n0\r\n${FORBIDDEN}${PASSED}\r\n`);
    await guest.until(/^HTTP\/1\.1 204 /);
    expect(upstream.received[0]?.split("\r\n0\r\n")[1]).toBe(`${PASSED}\r\n`);
  });

  test("of an answer", async () => {
    const head = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n${announced}\r\n`;
    await start((socket) => socket.write(`${head}2\r\nok\r\n0\r\n${FORBIDDEN}${PASSED}X-Echo: ${TOKEN}\r\n\r\n`));
    const authority = `api.test:${upstream.port}`;
    guest.send(`GET http://${authority}/ HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    await guest.until(/\r\n0\r\n[^]*\r\n\r\n$/);
    const [, trailers = ""] = guest.text.split("\r\n0\r\n");
    expect(trailers.slice(0, PASSED.length)).toBe(PASSED);
    // What was attached comes back in none of them.
    expect(trailers).not.toContain(TOKEN);
    await eventually(() => joined.records.length === 1, "the record");
    expect(joined.records[0]).toMatchObject({ outcome: "completed", masked: 1 });
  });
});
