import { afterEach, describe, expect, test } from "vitest";
import { CertificateRefused, LeaseGone } from "../../src/core/lease-denials.ts";
import type { Lease } from "../../src/core/exchange.ts";
import { Secret } from "../../src/core/secret.ts";
import type { ConnectWant, UpstreamChannel } from "../../src/core/wire.ts";
import { denialIn, openGuest, type RawGuest } from "../hostile/raw-guest.ts";
import { eventually, type Joined, type Scripted, startJoined, startScripted } from "./support/joined.ts";

/** What the line makes of leases that are presented as certificates: the connection itself is authorized by them. */

let joined: Joined;
let upstream: Scripted;
let guest: RawGuest;
let wants: ConnectWant[];
let rejected: Lease[];

const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

afterEach(async () => {
  guest.destroy();
  await joined.stop();
  await upstream.close();
  expect(joined.faults).toEqual([]);
});

/**
 * @param meets called after each connect, may throw
 * @param through what is had in place of the channel
 */
async function start(
  meets: (attempt: number, lease: Lease) => void,
  through: (channel: UpstreamChannel) => UpstreamChannel = (channel) => channel,
): Promise<void> {
  wants = [];
  rejected = [];
  upstream = await startScripted((socket, text) => {
    if (text.includes("\r\n\r\n")) socket.write(ANSWER);
  });
  joined = await startJoined({
    ports: (line) => ({
      attach: {
        ...line.attach,
        demands: () => ({ body: false, identity: true, answers: false }),
        identity: (_permit, lease) => ({
          key: lease.id,
          chain: "",
          privateKey: Secret.of("key"),
          grantedAtMs: lease.grantedAtMs,
          isLive: () => true,
        }),
      },
      leases: {
        ...line.leases,
        reject: (lease) => {
          rejected.push(lease);
          return true;
        },
      },
      upstream: {
        ...line.upstream,
        async connect(permit, pinned, want): Promise<UpstreamChannel> {
          wants.push(want);
          const channel = await line.upstream.connect(permit, pinned, { ...want, identity: null });
          try {
            meets(wants.length, joined.leases.at(-1) as Lease);
            return through(channel);
          } catch (thrown) {
            channel.release();
            throw thrown;
          }
        },
      },
    }),
  });
  guest = await openGuest(joined.port);
}

function ask(method = "GET"): void {
  const host = `api.test:${upstream.port}`;
  guest.send(`${method} http://${host}/v1 HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 0\r\n\r\n`);
}

const refusal = async (): Promise<string | null> => denialIn(await guest.until(/x-deny-reason: [^]*\r\n\r\n/i));

describe.each(["GET", "POST"])("%s", (method) => {
  test("a lease that ends while a connection is waited for: another lease, on a connection of its own", async () => {
    await start((attempt) => {
      if (attempt === 1) throw new LeaseGone("test");
    });
    ask(method);
    await guest.until(/ok$/);
    expect(wants.map(({ identity, fresh }) => [identity?.key, fresh])).toEqual([
      ["lease-0", false],
      ["lease-1", true],
    ]);
    expect(rejected).toEqual([]);
  });

  test("one that ends so twice, as of a custody that is started anew and then cannot tell what it has revoked", async () => {
    await start((attempt) => {
      if (attempt <= 2) throw new LeaseGone("test");
    });
    ask(method);
    await guest.until(/ok$/);
    expect(wants.map(({ identity }) => identity?.key)).toEqual(["lease-0", "lease-1", "lease-2"]);
  });

  test("a lease that is dead once the connection is there: nothing is sent on it", async () => {
    await start((attempt, lease) => {
      if (attempt === 1) lease.revoke();
    });
    ask(method);
    await guest.until(/ok$/);
    expect(wants.map(({ identity }) => identity?.key)).toEqual(["lease-0", "lease-1"]);
    expect(joined.records.at(-1)).toMatchObject({ lease: "lease-1", retried: true });
  });
});

test("leases that end again and again: refused", async () => {
  await start(() => {
    throw new LeaseGone("test");
  });
  ask();
  expect(await refusal()).toBe("lease_unusable");
  expect(wants).toHaveLength(3);
});

test("a certificate that is refused is leased anew for the next exchange, and this one is not tried again", async () => {
  await start(() => {
    throw new CertificateRefused("alert");
  });
  ask();
  expect(await refusal()).toBe("upstream_tls_invalid");
  expect(wants).toHaveLength(1);
  await eventually(() => rejected.length === 1, "the end of the lease");
  expect(upstream.received.join("")).toBe("");
});

test("the same where the refusal comes once the request has left", async () => {
  await start(
    () => undefined,
    (channel) => ({
      address: channel.address,
      reused: false,
      tellsUntouched: false,
      send(_head, _request, sink) {
        channel.release();
        setImmediate(() => sink.failed(new CertificateRefused("alert"), "perhaps_done", null));
        return true;
      },
      resume: () => undefined,
      abort: () => undefined,
      release: () => undefined,
    }),
  );
  ask();
  expect(await refusal()).toBe("upstream_tls_invalid");
  expect([wants.length, rejected.length]).toEqual([1, 1]);
});
