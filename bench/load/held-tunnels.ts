import { Caller, requestBytes } from "./caller.ts";
import { openTunnel } from "./connect.ts";
import type { Route } from "./route.ts";

/** Tunnels that made one request and then stay open and silent. */
export interface HoldJob {
  readonly kind: "hold";
  readonly route: Route;
  readonly host: string;
  readonly count: number;
}
export interface ReleaseJob {
  readonly kind: "release";
}

const OPENING_AT_ONCE = 16;

const held: Caller[] = [];

/** @returns how many are open now */
export async function holdTunnels({ route, host, count }: HoldJob): Promise<number> {
  const request = requestBytes(route, host);
  let started = 0;
  const open = async (): Promise<void> => {
    while (started < count) {
      started++;
      const caller = new Caller(await openTunnel(route, host));
      held.push(caller);
      await caller.ask(request);
    }
  };
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, open));
  return held.length;
}

/** Hangs up. @returns how many were still open: a contender that closed some held fewer than it seemed to */
export function releaseTunnels(): number {
  const open = held.filter((caller) => !caller.socket.destroyed).length;
  for (const caller of held.splice(0)) caller.close();
  return open;
}
