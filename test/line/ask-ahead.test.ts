import { mkdtemp, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { LeaseKeeper } from "../../src/custody/keeper.ts";
import { FakeCustody } from "../custody/support/fake-custody.ts";
import { grantOf } from "../custody/support/permits.ts";
import { makeCa, type TestLeaf } from "../house/support/certificates.ts";
import { openGuest, type RawGuest } from "../hostile/raw-guest.ts";
import {
  eventually,
  type Joined,
  type JoinedOptions,
  type Scripted,
  startJoined,
  startScripted,
} from "./support/joined.ts";

/** What a CONNECT asks ahead: address and lease, and nothing that an upstream could see. */

let directory: string;
let leaf: TestLeaf;
let joined: Joined;
let upstream: Scripted;
let guest: RawGuest;
/** How often a lease was asked for ahead. */
let asked: number;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-ahead-"));
  leaf = await (await makeCa(directory)).issue(["api.test"]);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

afterEach(async () => {
  guest.destroy();
  await joined.stop();
  await upstream.close();
  expect(joined.faults).toEqual([]);
});

async function connect(options: JoinedOptions, serve: (socket: Socket) => void = () => undefined): Promise<void> {
  asked = 0;
  upstream = await startScripted(serve);
  joined = await startJoined({ leaf, ...options });
  guest = await openGuest(joined.port);
  guest.send(`CONNECT api.test:${upstream.port} HTTP/1.1\r\n\r\n`);
  await guest.until(/^HTTP\/1\.1 200 [^]*\r\n\r\n$/);
}

/** Lease ports that count what is asked of them. */
function counting(answer: () => Promise<void> = async () => undefined): Pick<JoinedOptions, "ports"> {
  return {
    ports: ({ leases }) => ({
      leases: {
        ...leases,
        fetchAhead: () => {
          asked++;
          return answer();
        },
        lease: (permit) => {
          // What custody does not answer ahead it does not answer later.
          const held = leases.lease(permit);
          return answer().then(() => held);
        },
      },
    }),
  };
}

describe("a CONNECT", () => {
  test("asks for a lease before any request, and dials nobody", async () => {
    await connect(counting());
    await eventually(() => asked === 1, "the question");
    expect(joined.leases).toHaveLength(0);
    expect(upstream.sockets).toHaveLength(0);
  });

  test("asks for nothing under a name that the allow-list does not spell", async () => {
    const ahead = counting().ports as NonNullable<JoinedOptions["ports"]>;
    await connect({
      ports: (line) => ({
        ...ahead(line),
        policy: {
          admit: (...args) => line.policy.admit(...args),
          decide: (...args) => line.policy.decide(...args),
          spells: () => false,
        },
      }),
    });
    guest.destroy();
    await eventually(() => joined.listener.openConnections === 0, "the end of the tunnel");
    expect(asked).toBe(0);
  });

  test("asks for none where the destination has no credential", async () => {
    await connect({ destination: { credential: null, attachments: [] }, ...counting() });
    guest.destroy();
    await eventually(() => joined.listener.openConnections === 0, "the end of the tunnel");
    expect(asked).toBe(0);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Denial("custody_unavailable");
      },
    ],
    ["rejects", () => Promise.reject(new Denial("custody_unavailable"))],
  ] as const)("stands when custody %s: it is the request that is refused", async (_name, answer) => {
    await connect(counting(answer));
    await eventually(() => asked === 1, "the question");
    guest.send(`GET / HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
    await eventually(() => joined.records.length === 2, "both records");
    expect(joined.records).toMatchObject([
      { kind: "connect", outcome: "completed", denial: null },
      { kind: "http", outcome: "denied", denial: "custody_unavailable" },
    ]);
    expect(upstream.sockets).toHaveLength(0);
  });
});

describe("a lease of one use", () => {
  let custody: FakeCustody;
  let keeper: LeaseKeeper;

  afterEach(() => keeper.close());

  async function tunnelTo(serve: (socket: Socket) => void): Promise<void> {
    custody = new FakeCustody();
    custody.behave = (request) => grantOf(request, { maxUses: 1 });
    const clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };
    keeper = new LeaseKeeper({ custodies: new Map([["main", custody]]), clock, random: () => 0.5, tickMs: 0 });
    await connect({ ports: () => ({ leases: keeper }) }, serve);
    await eventually(() => custody.grants.length === 1, "the lease");
  }

  test("that was asked ahead serves the first request of the tunnel", async () => {
    await tunnelTo((socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    guest.send(`GET / HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
    await guest.until(/ok$/);
    await eventually(() => joined.records.length === 2, "both records");
    expect(joined.records).toMatchObject([{ kind: "connect" }, { kind: "http", lease: custody.grants[0]?.leaseId }]);
    expect(custody.requests).toHaveLength(1);
  });

  test("is not used up by tunnels in which nothing is sent", async () => {
    await tunnelTo(() => undefined);
    for (let i = 0; i < 5; i++) {
      const idle = await openGuest(joined.port);
      idle.send(`CONNECT api.test:${upstream.port} HTTP/1.1\r\n\r\n`);
      await idle.until(/^HTTP\/1\.1 200 [^]*\r\n\r\n$/);
      idle.destroy();
    }
    await eventually(() => joined.listener.openConnections === 1, "the end of the tunnels");
    expect(custody.requests).toHaveLength(1);
  });
});
