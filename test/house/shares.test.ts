import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { guestOn, openGuest, type RawGuest } from "../hostile/raw-guest.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** Two sandboxes, each with a listener of its own: what one of them does to an upstream does not shut the other out. */

const CONNECTIONS = 8;

let edge: Edge;
let upstream: Upstream;
let directory = "";
const guests: RawGuest[] = [];

beforeAll(async () => {
  upstream = await startUpstream();
  directory = await mkdtemp(join(tmpdir(), "postern-shares-"));
  const session = { mode: "listener", tenant: "acme", id: "other" };
  edge = await startEdge({
    hosts: { "api.test": ["127.0.0.1"] },
    listeners: [{ name: "own", address: `unix:${join(directory, "own.sock")}`, session }],
    destinations: [destinationFor(upstream, "api.test")],
    config: {
      limits: { upstream_connections_per_destination: CONNECTIONS },
      timeouts: { upstream_connect_ms: 5000, body_idle_ms: 60_000 },
    },
  });
});

afterAll(async () => {
  for (const guest of guests) guest.destroy();
  await edge?.stop();
  await upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

test("a session that holds all the connections that it can get leaves some to another", async () => {
  const authority = `api.test:${upstream.port}`;
  const url = `http://${authority}`;
  for (let i = 0; i < CONNECTIONS; i++) {
    const greedy = await openGuest(edge.proxyPort);
    guests.push(greedy);
    greedy.send(`POST ${url}/upload HTTP/1.1\r\nHost: ${authority}\r\nContent-Length: 1000\r\n\r\nx`);
  }
  await expect.poll(() => edge.metrics()).toMatch(/^postern_upstream_connections\S* 6$/m);
  const other = guestOn(connect(join(directory, "own.sock")));
  guests.push(other);
  other.send(`GET ${url}/range HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  expect(await other.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200 /);
});
