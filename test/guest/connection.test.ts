import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { openGuest, openTunnel, type RawGuest } from "../hostile/raw-guest.ts";
import { makeCa, type TestLeaf } from "../house/support/certificates.ts";
import {
  eventually,
  type Joined,
  type JoinedOptions,
  type Scripted,
  standstill,
  startJoined,
  startScripted,
} from "../line/support/joined.ts";

/** What a guest connection does at the moments when it, or the edge, ends early. */

let joined: Joined;
let upstream: Scripted;
let guest: RawGuest;

afterEach(async () => {
  guest.destroy();
  await joined.stop();
  await upstream.close();
  expect(joined.faults).toEqual([]);
});

async function start(serve: Parameters<typeof startScripted>[0], options: JoinedOptions = {}): Promise<void> {
  upstream = await startScripted(serve);
  joined = await startJoined(options);
  guest = await openGuest(joined.port);
}

const request = (method: string, path: string, fields = "", body = ""): string =>
  `${method} http://api.test:${upstream.port}${path} HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n${fields}\r\n${body}`;

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

describe("a guest that closes its sending side", () => {
  test("gets an answer to the end that began in time, however long it takes", async () => {
    await start(
      (socket) => {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1");
        "2345".split("").forEach((digit, i) => setTimeout(() => socket.write(digit), 200 * (i + 1)));
      },
      { timeouts: { halfCloseMs: 300 } },
    );
    guest.send(request("POST", "/stream", "Content-Length: 4\r\n", "body"));
    guest.socket.end();
    expect(await guest.ended()).toMatch(/\r\n\r\n12345$/);
    await eventually(() => joined.records.length === 1, "the record");
    expect(joined.records[0]).toMatchObject({ outcome: "completed", status: 200 });
  });

  test.each([
    ["while a stage of the line waits", 400],
    ["while the upstream is waited for", 0],
  ])("is not waited for for ever: %s", async (_name, leaseMs) => {
    await start(() => undefined, {
      timeouts: { halfCloseMs: 600 },
      ports: ({ leases }) => ({
        leases: {
          ...leases,
          lease: async (permit) => {
            await new Promise((resolve) => setTimeout(resolve, leaseMs));
            return leases.lease(permit);
          },
        },
      }),
    });
    guest.send(request("POST", "/hung", "Content-Length: 4\r\n", "body"));
    guest.socket.end();
    await guest.ended();
    await eventually(() => joined.records.length === 1, "the record");
    expect(joined.records[0]).toMatchObject({ outcome: "guest_aborted" });
    await eventually(() => joined.open() === 0, "the upstream's end");
  });

  test("gets the answers to everything that it had pipelined before", async () => {
    let answers = 0;
    await start((socket, text) => {
      const asked = text.split("\r\n\r\n").length - 1;
      for (; answers < asked; answers++) setTimeout(() => socket.write(OK), 50);
    });
    guest.send(request("GET", "/1") + request("GET", "/2") + request("GET", "/3") + "GET http://half");
    guest.socket.end();
    const text = await guest.ended();
    expect(text.split(OK).length - 1).toBe(3);
    await eventually(() => joined.records.length === 3, "three records");
    expect(joined.records.map(({ path }) => path)).toEqual(["/1", "/2", "/3"]);
  });

  test("and whose last pipelined request will never be whole is let go", async () => {
    await start((socket) => socket.write(OK));
    guest.send(request("GET", "/1") + request("POST", "/2", "Content-Length: 10\r\n", "half"));
    guest.socket.end();
    expect((await guest.ended()).split(OK).length - 1).toBe(1);
    await eventually(() => joined.records.length === 2, "two records");
    expect(joined.records[1]).toMatchObject({ path: "/2", outcome: "guest_aborted", injected: false });
    expect(upstream.received.join("")).not.toContain("POST");
  });
});

describe("a drain", () => {
  test("takes nothing of answers that are complete but not yet read", async () => {
    // One segment of the upstream's: the last one that is written ends its exchange.
    const bytes = 10_000;
    const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n${"x".repeat(bytes)}`;
    let answers = 0;
    await start(
      (socket, text) => {
        for (; answers < text.split("\r\n\r\n").length - 1; answers++) socket.write(answer);
      },
      { timeouts: { drainMs: 10_000 } },
    );
    guest.socket.pause();
    guest.send(Array.from({ length: 3000 }, (_, i) => request("GET", `/${i}`)).join(""));
    // The edge answers until nothing more goes into the sockets' buffers, then waits for the reader between two requests.
    await standstill(() => joined.records.length, "a full connection");
    expect(joined.records.length).toBeLessThan(3000);
    const drained = joined.drain();
    guest.socket.resume();
    const text = await guest.ended();
    guest.socket.end();
    await drained;
    expect(text.length).toBe(joined.records.length * answer.length);
  });

  test("has closed the record of every exchange that it cut, when it is over", async () => {
    let release: (() => void) | null = null;
    await start(() => undefined, {
      ports: ({ leases }) => ({
        leases: {
          ...leases,
          lease: (permit) =>
            permit.authority.port === upstream.port && release === null
              ? new Promise((resolve) => {
                  release = () => resolve(leases.lease(permit));
                  setTimeout(release, 900);
                })
              : leases.lease(permit),
        },
      }),
    });
    const second = await openGuest(joined.port);
    guest.send(request("GET", "/waits-for-its-lease"));
    second.send(request("GET", "/waits-for-its-answer"));
    await eventually(() => upstream.sockets.length === 1, "the second request");
    await joined.drain();
    expect(joined.records.map(({ path, outcome }) => `${path} ${outcome}`).toSorted()).toEqual([
      "/waits-for-its-answer edge_aborted",
      "/waits-for-its-lease edge_aborted",
    ]);
    second.destroy();
  });
});

describe("an answer that has been written, and that its guest has yet to read,", () => {
  let leaf: TestLeaf;

  beforeAll(async () => {
    const directory = await mkdtemp(join(tmpdir(), "postern-unread-"));
    leaf = await (await makeCa(directory)).issue(["api.test"]);
    await rm(directory, { recursive: true });
  });

  const BYTES = 10_000;
  const ANSWER = `HTTP/1.1 200 OK\r\nContent-Length: ${BYTES}\r\n\r\n${"x".repeat(BYTES)}`;

  /** A guest, in the clear or inside a tunnel with TLS, for whom as much has been written as the sockets take, and some more. */
  async function fill(through: "tcp" | "tls", timeouts: JoinedOptions["timeouts"]): Promise<void> {
    let answers = 0;
    await start(
      (socket, text) => {
        for (; answers < text.split("\r\n\r\n").length - 1; answers++) socket.write(ANSWER);
      },
      { timeouts: { bodyIdleMs: 60_000, drainMs: 60_000, guestIdleMs: 60_000, ...timeouts }, leaf },
    );
    if (through === "tls") {
      guest.destroy();
      guest = await openTunnel(joined.port, `api.test:${upstream.port}`, "api.test");
    }
    guest.socket.pause();
    const path = through === "tls" ? "" : `http://api.test:${upstream.port}`;
    guest.send(`GET ${path}/ HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`.repeat(3000));
    // The edge answers until nothing more goes into the sockets' buffers, then waits for the reader between two requests.
    await standstill(() => joined.records.length, "a full connection");
    expect(joined.records.length).toBeLessThan(3000);
  }

  const answered = (): number => joined.records.filter(({ kind }) => kind === "http").length;

  test.each(["tcp", "tls"] as const)(
    "is waited for longer than a guest that was told everything: %s",
    async (through) => {
      await fill(through, { requestHeadMs: 200, tunnelIdleMs: 60_000 });
      const drained = joined.drain();
      // Several times as long as what follows an answer that is read.
      await joined.passed(1000);
      guest.socket.resume();
      const text = await guest.ended();
      expect(text.length).toBe(answered() * ANSWER.length);
      guest.socket.end();
      await drained;
    },
  );

  test.each([
    ["once it stands still for too long", "tcp", { bodyIdleMs: 3000 }],
    ["once it stands still for too long", "tls", { bodyIdleMs: 3000 }],
    ["at the end of a drain", "tcp", { drainMs: 300 }],
    ["at the end of a drain", "tls", { drainMs: 300 }],
  ] as const)("is broken off, and does not look whole: %s, %s", async (_when, through, timeouts) => {
    await fill(through, timeouts);
    let error: Error | null = null;
    guest.socket.once("error", (thrown) => (error = thrown));
    const drained = joined.drain();
    await eventually(() => joined.listener.openConnections === 0, "the edge's end of the connection");
    guest.socket.resume();
    await guest.ended();
    expect(error).toMatchObject({ code: "ECONNRESET" });
    expect(guest.text.length).toBeLessThan(answered() * ANSWER.length);
    await drained;
  });
});

test("a guest that goes away in an upload whose answer has begun is the one who left", async () => {
  await start((socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"));
  guest.send(request("POST", "/early", "Content-Length: 10\r\n", "12345"));
  await guest.until(/12345$/);
  guest.destroy();
  await eventually(() => joined.records.length === 1, "the record");
  expect(joined.records[0]).toMatchObject({ outcome: "guest_aborted" });
});
