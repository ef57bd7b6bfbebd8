import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
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

async function connect(options: JoinedOptions): Promise<void> {
  upstream = await startScripted(() => undefined);
  joined = await startJoined({ leaf, ...options });
  guest = await openGuest(joined.port);
  guest.send(`CONNECT api.test:${upstream.port} HTTP/1.1\r\n\r\n`);
  await guest.until(/^HTTP\/1\.1 200 [^]*\r\n\r\n$/);
}

describe("a CONNECT", () => {
  test("asks for a lease before any request, and dials nobody", async () => {
    await connect({});
    await eventually(() => joined.leases.length === 1, "the lease");
    expect(upstream.sockets).toHaveLength(0);
  });

  test("asks for none where the destination has no credential", async () => {
    let asked = 0;
    await connect({
      destination: { credential: null, attachments: [] },
      ports: ({ leases }) => ({
        leases: {
          fetchAhead: (permit) => {
            asked++;
            return leases.fetchAhead(permit);
          },
          lease: (permit) => leases.lease(permit),
          reject: (lease) => leases.reject(lease),
        },
      }),
    });
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
  ] as const)("stands when custody %s: it is the request that is refused", async (_name, lease) => {
    let asked = 0;
    await connect({
      ports: ({ leases }) => ({
        leases: {
          fetchAhead: () => {
            asked++;
            return lease();
          },
          lease,
          reject: (held) => leases.reject(held),
        },
      }),
    });
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
