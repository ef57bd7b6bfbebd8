import type { Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { denialIn, openGuest, type RawGuest } from "../hostile/raw-guest.ts";
import {
  eventually,
  type Joined,
  type JoinedOptions,
  type Scripted,
  startJoined,
  startScripted,
  TOKEN,
} from "./support/joined.ts";

/** The send and relay stages when a port fails them, or the guest or the connection goes away while one is waited for. */

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

const UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const SWITCHED = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** An account whose admission waits, from the second exchange on, until it is told to go on. */
function strictAccount(): {
  readonly ports: NonNullable<JoinedOptions["ports"]>;
  readonly waiting: () => boolean;
  readonly go: () => void;
} {
  let admitted = 0;
  let go: (() => void) | null = null;
  return {
    waiting: () => go !== null,
    go: () => go?.(),
    ports: ({ account }) => ({
      account: {
        close: (record) => account.close(record),
        admit: () =>
          ++admitted === 1
            ? undefined
            : new Promise<void>((resolve) => {
                go = resolve;
              }),
      },
    }),
  };
}

describe("while the account is waited for", () => {
  test("a guest that goes away sends nothing any more", async () => {
    const account = strictAccount();
    await start((socket) => socket.write(OK), account);
    guest.send(request("GET", "/first"));
    await guest.until(/ok$/);
    guest.send(request("GET", "/endless"));
    await eventually(account.waiting, "the wait");
    guest.destroy();
    await eventually(() => joined.listener.openConnections === 0, "the guest's end");
    account.go();
    await eventually(() => joined.records.length === 2, "the record");
    expect(joined.records[1]).toMatchObject({ outcome: "guest_aborted", injected: false });
    expect(upstream.received.join("")).not.toContain("/endless");
  });

  test("a connection that closes costs the exchange nothing: no byte was sent", async () => {
    const account = strictAccount();
    await start((socket) => socket.write(OK), { ...account, maxUses: 1 });
    guest.send(request("GET", "/first"));
    await guest.until(/ok$/);
    guest.send(request("POST", "/second", "Content-Length: 4\r\n", "body"));
    await eventually(account.waiting, "the wait");
    (upstream.sockets[0] as Socket).destroy();
    await eventually(() => joined.open() === 0, "the connection's end");
    account.go();
    await eventually(() => account.waiting(), "the second wait");
    await new Promise((resolve) => setTimeout(resolve, 50));
    account.go();
    await guest.until(/ok[^]*ok$/);
    expect(upstream.received[1]).toMatch(new RegExp(`^POST /second [^]*Bearer ${TOKEN}[^]*\r\n\r\nbody$`));
    expect(joined.records[1]).toMatchObject({ outcome: "completed", status: 200, retried: true });
    // The use that nothing was sent with was given back: the lease has its one use still when the request is sent again.
    expect(joined.leases.filter((lease) => lease.isUsedUp)).toHaveLength(2);
  });
});

test("a lease that is revoked while the account is waited for is not sent: another one is asked for", async () => {
  const account = strictAccount();
  await start((socket) => socket.write(OK), account);
  guest.send(request("GET", "/first"));
  await guest.until(/ok$/);
  guest.send(request("GET", "/second"));
  await eventually(account.waiting, "the wait");
  const asked = joined.leases.length;
  joined.leases.at(-1)?.revoke();
  account.go();
  await eventually(() => joined.leases.length > asked, "another lease");
  const going = setInterval(account.go, 5);
  await guest.until(/ok[^]*ok$/).finally(() => clearInterval(going));
  expect(joined.records[1]).toMatchObject({ outcome: "completed", status: 200, retried: true });
  expect(upstream.received.join("").match(/GET \/second/g)).toHaveLength(1);
});

describe("a response guard that fails", () => {
  const failing =
    (part: "head" | "trailers"): NonNullable<JoinedOptions["ports"]> =>
    ({ guard }) => ({
      guard: {
        maskText: (...args) => guard.maskText(...args),
        maskFields(injected, fields) {
          if ((part === "trailers") === fields.has("x-sum")) throw new Error("the guard broke");
          return guard.maskFields(injected, fields);
        },
      },
    });

  test("in the head: the guest is refused, the upstream connection ended", async () => {
    await start((socket) => socket.write(OK), { ports: failing("head") });
    guest.send(request("GET", "/"));
    expect(denialIn(await guest.until(/\}\n$/))).toBe("internal");
    await eventually(() => joined.open() === 0, "the upstream's end");
    expect(joined.records).toMatchObject([{ denial: "internal", outcome: "denied" }]);
  });

  test("in the trailers: the answer is broken off, nothing hangs", async () => {
    await start(
      (socket) =>
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", () =>
          setTimeout(() => socket.write("0\r\nX-Sum: 1\r\n\r\n"), 50),
        ),
      { ports: failing("trailers") },
    );
    guest.send(request("GET", "/"));
    expect(await guest.ended()).not.toMatch(/\r\n0\r\n/);
    await eventually(() => joined.open() === 0, "the upstream's end");
    expect(joined.records).toMatchObject([{ outcome: "upstream_aborted" }]);
  });

  test("in a switch of protocols: the guest is refused", async () => {
    await start(
      (socket) => socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
      { ports: failing("head") },
    );
    guest.send(request("GET", "/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    expect(denialIn(await guest.until(/\}\n$/))).toBe("internal");
    await eventually(() => joined.open() === 0, "the upstream's end");
    await eventually(() => upstream.sockets[0]?.destroyed === true, "the upstream's end");
    expect(joined.records).toMatchObject([{ denial: "internal" }]);
  });
});

describe("an upstream that answers 401", () => {
  const rejecting = (hasFresh: boolean): JoinedOptions => ({
    ports: ({ leases }) => ({
      leases: {
        fetchAhead: (permit) => leases.fetchAhead(permit),
        lease: (permit) => leases.lease(permit),
        reject: () => hasFresh,
      },
    }),
  });
  const UNAUTHORIZED = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno";

  test("is asked once more when there is a fresh lease", async () => {
    await start((socket, _text, index) => socket.write(index === 0 ? UNAUTHORIZED : OK), rejecting(true));
    guest.send(request("GET", "/"));
    expect(await guest.until(/(ok|no)$/)).toMatch(/^HTTP\/1\.1 200 /);
    await eventually(() => joined.records.length === 1, "the record");
    expect(joined.records).toMatchObject([{ status: 200, retried: true }]);
    expect(joined.leases).toHaveLength(2);
  });

  test.each([
    ["DELETE", "", OK],
    ["PUT", "Content-Length: 0\r\n", OK],
  ])("is asked once more for a %s without content, whether it says so or not (%j)", async (method, fields, answer) => {
    await start((socket, _text, index) => socket.write(index === 0 ? UNAUTHORIZED : answer), rejecting(true));
    guest.send(request(method, "/", fields));
    expect(await guest.until(/(ok|no)$/)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("is asked once more for an upgrade, too", async () => {
    await start((socket, _text, index) => socket.write(index === 0 ? UNAUTHORIZED : SWITCHED), rejecting(true));
    guest.send(request("GET", "/ws", UPGRADE));
    expect(await guest.until(/(\r\n\r\n|no)$/)).toMatch(/^HTTP\/1\.1 101 /);
    guest.destroy();
    await eventually(() => joined.records.length === 1, "the record");
    expect(joined.records).toMatchObject([{ kind: "upgrade", status: 101, retried: true }]);
  });

  test("is asked nothing twice when the lease stays: its 401 goes to the guest", async () => {
    await start((socket) => socket.write(UNAUTHORIZED), rejecting(false));
    guest.send(request("GET", "/"));
    expect(await guest.until(/no$/)).toMatch(/^HTTP\/1\.1 401 /);
    await eventually(() => joined.records.length === 1, "the record");
    expect(joined.records).toMatchObject([{ status: 401, retried: false, outcome: "completed" }]);
    expect(upstream.received).toHaveLength(1);
    expect(upstream.received[0]?.match(/GET \//g)).toHaveLength(1);
  });
});

describe("a kept connection that closes before a byte of the answer", () => {
  test.each([
    ["a request", "GET", "", OK],
    ["a request that says that it has no content", "PUT", "Content-Length: 0\r\n", OK],
    ["an upgrade", "GET", UPGRADE, SWITCHED],
    ["an upgrade that says so", "GET", `${UPGRADE}Content-Length: 0\r\n`, SWITCHED],
  ])("costs %s nothing: it may be sent twice", async (_name, method, fields, answer) => {
    await start((socket, text, index) => {
      if (!text.includes("/second")) socket.write(OK);
      else if (index === 0) socket.destroy();
      else socket.write(answer);
    });
    guest.send(request("GET", "/first"));
    await guest.until(/ok$/);
    guest.send(request(method, "/second", fields));
    await guest.until(/ok[^]*(ok|\r\n\r\n|\}\n)$/);
    expect(denialIn(guest.text)).toBeNull();
    expect(upstream.received).toHaveLength(2);
    for (const text of upstream.received) {
      expect(text).toContain(`${method} /second `);
      expect(text.includes("Content-Length: 0\r\n")).toBe(fields.includes("Content-Length"));
    }
    guest.destroy();
    await eventually(() => joined.records.length === 2, "the record");
    expect(joined.records[1]).toMatchObject({ retried: true, denial: null });
  });
});

test("a port that throws what is no denial refuses one exchange and no other", async () => {
  let failures = 0;
  await start((socket) => socket.write(OK), {
    ports: ({ leases }) => ({
      leases: {
        reject: (lease) => leases.reject(lease),
        fetchAhead: (permit) => leases.fetchAhead(permit),
        lease(permit) {
          if (failures++ === 0) throw new TypeError("broken");
          if (failures === 2) throw new Denial("custody_unavailable");
          return leases.lease(permit);
        },
      },
    }),
  });
  guest.send(request("GET", "/") + request("GET", "/") + request("GET", "/"));
  const text = await guest.until(/ok$/);
  expect(text.match(/^HTTP\/1\.1 \d+/gm)).toEqual(["HTTP/1.1 500", "HTTP/1.1 503", "HTTP/1.1 200"]);
  expect(text).not.toContain("broken");
});
