import { mkdtemp, rm } from "node:fs/promises";
import type { ClientHttp2Session } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { makeCa, type TestLeaf } from "../../house/support/certificates.ts";
import {
  eventually,
  type Joined,
  type JoinedOptions,
  type Scripted,
  startJoined,
  startScripted,
} from "../../line/support/joined.ts";
import { openHttp2 } from "./h2-guest.ts";

/** A guest that speaks HTTP/2 in a tunnel, the joined edge, and a scripted HTTP/1.1 upstream: one of each a test. */
export interface Http2House {
  readonly joined: Joined;
  readonly upstream: Scripted;
  readonly session: ClientHttp2Session;
  /** Of the tunnel. */
  readonly authority: string;
}

/** Hooks the set-up and the checks at the end into the file's tests. @returns starts the house of one test */
export function http2House(): (
  serve: Parameters<typeof startScripted>[0],
  options?: JoinedOptions,
  onEnd?: Parameters<typeof startScripted>[1],
) => Promise<Http2House> {
  let directory = "";
  let leaf: TestLeaf;
  let house: Http2House | null = null;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "postern-http2-"));
    leaf = await (await makeCa(directory)).issue(["api.test"]);
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));
  afterEach(async () => {
    if (house === null) return;
    const { joined, upstream, session } = house;
    house = null;
    session.destroy();
    await joined.stop();
    await upstream.close();
    expect(joined.faults).toEqual([]);
    await eventually(() => joined.sweep.size === 0, "the end of every deadline");
  });
  return async (serve, options, onEnd) => {
    const upstream = await startScripted(serve, onEnd);
    const joined = await startJoined({ leaf, ...options });
    const authority = `api.test:${upstream.port}`;
    const session = await openHttp2(joined.port, authority);
    house = { joined, upstream, session, authority };
    return house;
  };
}
