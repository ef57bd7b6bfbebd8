import { getJson, openSession } from "./http2.ts";
import type { Route } from "./route.ts";

/** One question after the other on one HTTP/2 connection. */
export interface Http2LatencyJob {
  readonly kind: "http2-latency";
  readonly route: Route;
  readonly host: string;
  /** Port of the upstream that is asked for. */
  readonly port: number;
  readonly count: number;
}

/** @returns milliseconds from question to last byte, an answer each. @throws Error where HTTP/2 is not chosen */
export async function http2Latency({ route, host, port, count }: Http2LatencyJob): Promise<number[]> {
  const opened = await openSession(route, host, port);
  if (opened === null) throw new Error("HTTP/2 was not chosen");
  const { session, broken } = opened;
  const taken: number[] = [];
  try {
    while (taken.length < count) {
      const startedMs = performance.now();
      await Promise.race([getJson(session, route), broken]);
      taken.push(performance.now() - startedMs);
    }
  } finally {
    session.destroy();
  }
  return taken;
}
