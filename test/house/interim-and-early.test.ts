import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { denialIn } from "../hostile/raw-guest.ts";
import { CLIENT_WAYS, type House, OVER_HTTP2, startHouse, WAYS } from "./support/house.ts";
import { patternBytes } from "./support/pattern.ts";

/** Answers that come in parts, ahead of the request's end, or not to their own end. */

let house: House;
let file = "";

beforeAll(async () => {
  house = await startHouse();
  file = join(house.directory, "large.bin");
  await writeFile(file, patternBytes(0, 20_000_000));
});

afterAll(() => house?.stop());

beforeEach(() => house.reset());

describe.each(WAYS)("%s", (way) => {
  test("102 and 103 reach the guest ahead of the answer, their fields with them", async () => {
    const guest = await house.raw(way);
    guest.request("GET", "/interim", ["Connection: close"]);
    const text = await guest.ended();
    guest.destroy();
    expect(text.match(/^HTTP\/1\.1 \d+/gm)).toEqual(["HTTP/1.1 102", "HTTP/1.1 103", "HTTP/1.1 200"]);
    expect(text).toContain("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n");
  });

  test("an HTTP/1.0 guest is spared the interim answers", async () => {
    const guest = await house.raw(way);
    const { port } = house.upstream(way);
    const front = way === WAYS[0] ? "" : `http://api.test:${port}`;
    guest.send(`GET ${front}/interim HTTP/1.0\r\nHost: api.test:${port}\r\n\r\n`);
    const text = await guest.ended();
    guest.destroy();
    expect(text.match(/^HTTP\/1\.1 \d+/gm)).toEqual(["HTTP/1.1 200"]);
  });

  test("100 is the upstream's word: no byte of the body is asked for before", async () => {
    const guest = await house.raw(way);
    guest.request("POST", "/expect/accept", ["Expect: 100-continue", "Content-Length: 4", "Connection: close"]);
    expect(await guest.until(/\r\n\r\n/)).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    expect(house.upstream(way).requests[0]).toMatchObject({ bodyBytes: 0, body: "open" });
    guest.send("body");
    expect(await guest.ended()).toMatch(/\r\n\r\nHTTP\/1\.1 200 [\s\S]*"bytes":4/);
    guest.destroy();
  });

  test("an expectation without content is answered, and the connection goes on", async () => {
    const guest = await house.raw(way);
    guest.request("POST", "/expect/accept", ["Expect: 100-continue", "Content-Length: 0"]);
    expect(await guest.until(/"bytes":0[^]*\n$/)).toMatch(/^(?:HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 200 /);
    guest.request("GET", "/hello", ["Connection: close"]);
    expect(await guest.ended()).toContain('"url":"/hello"');
    guest.destroy();
  });

  test("a refused expectation ends without the body, and the connection with it", async () => {
    const guest = await house.raw(way);
    guest.request("POST", "/expect/refuse", ["Expect: 100-continue", "Content-Length: 4"]);
    const text = await guest.ended();
    guest.destroy();
    expect(text).toMatch(/^HTTP\/1\.1 417 [\s\S]*\r\nConnection: close\r\n[\s\S]*refused\n$/);
    expect(house.upstream(way).requests[0]).toMatchObject({ bodyBytes: 0 });
  });

  test("a guest that reads only once it has sent everything gets that answer, too", async () => {
    const guest = await house.raw(way);
    const body = patternBytes(0, 20_000_000);
    guest.socket.pause();
    guest.request("POST", "/early", [`Content-Length: ${body.length}`]);
    await new Promise<void>((done, fail) => {
      guest.socket.write(body, (error) => (error ? fail(error) : done()));
    });
    guest.socket.resume();
    expect(await guest.ended()).toMatch(/^HTTP\/1\.1 413 [\s\S]*\r\nConnection: close\r\n[\s\S]*too large\n$/);
    guest.destroy();
  });
});

describe.each(CLIENT_WAYS)("curl %s", (way) => {
  test("an answer in the middle of an upload", async () => {
    const result = await house.curl(way, "/early", "-H", "Expect:", "-T", file);
    expect(result).toMatchObject({ code: 0, stdout: "too large\n" });
    expect(house.upstream(way).requests[0]?.body).not.toBe("complete");
  });

  test("an upstream that answers early and resets: its answer, which came ahead of the reset", async () => {
    for (let i = 0; i < 5; i++) {
      const result = await house.curl(way, "/early?close=1", "-H", "Expect:", "-T", file);
      expect(result).toMatchObject({ code: 0, stdout: "too large\n" });
    }
  });

  test.each(["/reset?bytes=100000&after=50000", "/reset?chunked=1&after=50000", "/reset?after=0"])(
    "an upstream that resets: %s is a failure for curl, never an end",
    async (path) => {
      const result = await house.curl(way, path, "-o", "/dev/null", "-w", "%{http_code}");
      // 18: partial file, 56: connection reset; over TLS either, by which is noticed first. 92: the stream was reset.
      expect(way === OVER_HTTP2 ? [92] : [18, 56]).toContain(result.code);
      expect(result.stdout).toBe("200");
    },
  );

  // HTTP/2 has no such clients.
  if (way !== OVER_HTTP2) {
    test("nor for an HTTP/1.0 client, to which the end of the connection is the end of the answer", async () => {
      const result = await house.curl(way, "/reset?chunked=1&after=50000", "--http1.0", "-o", "/dev/null");
      expect(result.code).toBe(56);
    });
  }

  test("an upstream that says nothing at all", async () => {
    const result = await house.curl(way, "/reset?after=nothing", "-D", "-");
    expect(denialIn(result.stdout)).toBe("upstream_unreachable");
    expect(house.upstream(way).requests).toHaveLength(1);
  });

  test("the edge has survived it all", async () => {
    expect((await house.curl(way, "/hello", "-w", "%{http_code}", "-o", "/dev/null")).stdout).toBe("200");
  });
});
