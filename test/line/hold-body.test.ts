import type { Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { ByteBudget } from "../../src/core/byte-budget.ts";
import type { AttachPort } from "../../src/core/ports.ts";
import { WholeBody } from "../../src/core/whole-body.ts";
import type { OutboundRequest } from "../../src/core/wire.ts";
import { openGuest, type RawGuest } from "../hostile/raw-guest.ts";
import {
  eventually,
  type Joined,
  type JoinedOptions,
  type Scripted,
  startJoined,
  startScripted,
} from "./support/joined.ts";

/** Attachments that ask for the whole body, and what the line makes of what they put in its place. */

let joined: Joined;
let upstream: Scripted;
let guest: RawGuest;
let budget: ByteBudget;
/** What the attachment saw of each body. */
let seen: string[];
let heard: string;

const MOST_BYTES = 64;
const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

afterEach(async () => {
  guest.destroy();
  await joined.stop();
  await upstream.close();
  expect(joined.faults).toEqual([]);
  expect(budget.heldBytes).toBe(0);
});

type Change = (port: AttachPort, request: OutboundRequest) => void | Promise<void>;

async function start(
  change: Change = () => undefined,
  serve: (socket: Socket, text: string) => void = (socket, text) => {
    if (text.includes("\r\n\r\n")) socket.write(ANSWER);
  },
  most = 1024,
  timeouts: JoinedOptions["timeouts"] = {},
): Promise<void> {
  seen = [];
  heard = "";
  budget = new ByteBudget(most);
  upstream = await startScripted((socket, text) => {
    heard = text;
    serve(socket, text);
  });
  joined = await startJoined({
    timeouts,
    ports: (line) => ({
      heldBodies: budget,
      attach: {
        ...line.attach,
        demands: () => ({ body: true, identity: false, answers: false }),
        wholeBodyBytes: () => MOST_BYTES,
        attach(permit, lease, head, request, nowMs) {
          if (request.body instanceof WholeBody) seen.push(request.body.bytes.toString());
          const changed = change(line.attach, request);
          const injected = (): ReturnType<AttachPort["attach"]> =>
            line.attach.attach(permit, lease, head, request, nowMs);
          return changed instanceof Promise ? changed.then(injected) : injected();
        },
      },
    }),
  });
  guest = await openGuest(joined.port);
}

const head = (...lines: string[]): string =>
  `POST http://api.test:${upstream.port}/v1 HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;

describe("a body that is held whole", () => {
  test("goes out as it came, with its length", async () => {
    await start();
    guest.send(head("Content-Length: 5"));
    guest.send("he");
    guest.send("llo");
    await guest.until(/ok$/);
    expect(seen).toEqual(["hello"]);
    await eventually(() => /Content-Length: 5\r\n[^]*\r\nhello$/.test(heard), "the request");
  });

  test("in chunks is told by its length; trailers keep it in chunks", async () => {
    await start();
    guest.send(`${head("Transfer-Encoding: chunked")}2\r\nab\r\n1\r\nc\r\n0\r\n\r\n`);
    await guest.until(/ok$/);
    await eventually(() => /Content-Length: 3\r\n[^]*\r\nabc$/.test(heard), "the request");
    expect(heard).not.toMatch(/transfer-encoding/i);
    guest.send(`${head("Transfer-Encoding: chunked", "Trailer: X-Sum")}2\r\nab\r\n0\r\nX-Sum: 7\r\n\r\n`);
    await guest.until(/ok[^]*ok$/);
    await eventually(() => heard.endsWith("0\r\nX-Sum: 7\r\n\r\n"), "the trailer");
    expect(seen).toEqual(["abc", "ab"]);
  });

  test("may be replaced: the head says the new length", async () => {
    await start((_port, request) => {
      request.body = (request.body as WholeBody).with(Buffer.from("longer than before"));
    });
    guest.send(`${head("Content-Length: 2")}ab`);
    await guest.until(/ok$/);
    expect(heard.match(/content-length: \d+/gi)).toEqual(["Content-Length: 18"]);
    await eventually(() => heard.endsWith("\r\n\r\nlonger than before"), "the request");
  });

  test("is asked for where the guest waits for leave to send it", async () => {
    await start();
    guest.send(head("Content-Length: 5", "Expect: 100-continue"));
    await guest.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    expect(upstream.sockets).toHaveLength(0);
    guest.send("hello");
    await guest.until(/ok$/);
    expect(heard).not.toMatch(/expect/i);
    await eventually(() => heard.endsWith("\r\n\r\nhello"), "the request");
  });

  test("of no bytes is none, and the head stays as it is", async () => {
    await start();
    guest.send(head("Content-Length: 0"));
    await guest.until(/ok$/);
    guest.send(head().replace("POST", "GET"));
    await guest.until(/ok[^]*ok$/);
    expect(seen).toEqual([]);
    expect(heard.match(/content-length: \d+/gi)).toEqual(["Content-Length: 0"]);
  });
});

describe("what is refused, before the upstream hears anything", () => {
  test.each([
    ["a length above the limit, unread", (): string => head("Content-Length: 65"), "body_too_large", 413],
    [
      "chunks above the limit",
      (): string => `${head("Transfer-Encoding: chunked")}40\r\n${"x".repeat(64)}\r\n1\r\nx\r\n0\r\n\r\n`,
      "body_too_large",
      413,
    ],
    ["a chunk that is none", (): string => `${head("Transfer-Encoding: chunked")}zz\r\n`, "request_malformed", 400],
  ] as const)("%s", async (_name, request, code, status) => {
    await start();
    guest.send(request());
    await guest.until(new RegExp(`^HTTP/1\\.1 ${status} [^]*x-deny-reason: ${code}`));
    expect(upstream.sockets).toHaveLength(0);
    await eventually(() => joined.records.length === 1, "the record");
    expect(joined.records[0]).toMatchObject({ denial: code, injected: false });
  });

  test("more than all guests may have held at a time; what was held is given back", async () => {
    await start(undefined, undefined, 64);
    guest.send(`${head("Content-Length: 30")}${"x".repeat(30)}`);
    await guest.until(/^HTTP\/1\.1 503 [^]*x-deny-reason: body_buffer_full/);
    expect(upstream.sockets).toHaveLength(0);
  });

  test.each([
    ["nothing", ""],
    ["a part, with the head", "part"],
  ])("a guest that was given leave to send and sends %s", async (_name, part) => {
    await start(undefined, undefined, 1024, { bodyIdleMs: 100 });
    guest.send(head("Content-Length: 20", "Expect: 100-continue") + part);
    await guest.until(/HTTP\/1\.1 408 [^]*x-deny-reason: request_timeout/);
    expect(guest.text).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
    expect(upstream.sockets).toHaveLength(0);
  });

  test("a guest that leaves in the middle: nothing is held any more", async () => {
    await start();
    guest.send(`${head("Content-Length: 20")}part`);
    await eventually(() => budget.heldBytes > 0, "the first bytes");
    guest.destroy();
    await eventually(() => joined.records.length === 1, "the record");
    expect(joined.records[0]).toMatchObject({ outcome: "guest_aborted" });
    expect(upstream.sockets).toHaveLength(0);
  });
});

describe("an attachment that is waited for", () => {
  test("is sent once it is there", async () => {
    await start(() => new Promise((resolve) => setTimeout(resolve, 20)));
    guest.send(`${head("Content-Length: 2")}ab`);
    await guest.until(/ok$/);
    await eventually(() => /Authorization: Bearer /.test(heard), "the request");
  });

  test("goes nowhere when the lease dies meanwhile", async () => {
    await start(async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      for (const lease of joined.leases) lease.revoke();
    });
    guest.send(`${head("Content-Length: 2")}ab`);
    await guest.until(/x-deny-reason: lease_unusable/);
    expect(heard).toBe("");
  });

  test("goes nowhere when the guest leaves meanwhile", async () => {
    let done = false;
    await start(async () => {
      guest.destroy();
      await eventually(() => joined.listener.openConnections === 0, "the end of the guest");
      done = true;
    });
    guest.send(`${head("Content-Length: 2")}ab`);
    await eventually(() => done && joined.records.length === 1, "the record");
    expect(heard).toBe("");
    expect(joined.records[0]).toMatchObject({ outcome: "guest_aborted", injected: false });
  });
});

describe("a challenge", () => {
  test("is met once with the same lease, also for a body that is held", async () => {
    seen = [];
    budget = new ByteBudget(1024);
    upstream = await startScripted((socket, text, index) => {
      if (text.endsWith("hello"))
        socket.write(index === 0 ? "HTTP/1.1 401 No\r\nNonce: n1\r\nContent-Length: 0\r\n\r\n" : ANSWER);
    });
    joined = await startJoined({
      ports: (line) => ({
        heldBodies: budget,
        attach: {
          ...line.attach,
          demands: () => ({ body: true, identity: false, answers: true }),
          wholeBodyBytes: () => MOST_BYTES,
          observe: (_permit, _lease, answer) => answer.status === 401 && answer.fields.has("nonce"),
        },
        leases: {
          ...line.leases,
          reject: () => {
            throw new Error("the lease is not what the upstream refused");
          },
        },
      }),
    });
    guest = await openGuest(joined.port);
    guest.send(`${head("Content-Length: 5")}hello`);
    await guest.until(/ok$/);
    expect(upstream.received.map((text) => text.match(/hello$/))).toHaveLength(2);
    await eventually(() => joined.records.length === 1, "the record");
    expect(joined.records[0]).toMatchObject({ status: 200, retried: true });
  });
});
