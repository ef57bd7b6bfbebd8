import { deniedHost } from "../wire/fixtures.ts";
import { askConnect, openTcp, startTls } from "./connect.ts";
import { Loops } from "./loops.ts";
import type { Route } from "./route.ts";
import { type Tally, tallyWindow } from "./window.ts";

/**
 * CONNECTs to a name that is not on the allow-list, each on a new connection. A contender refuses at the CONNECT, or it
 * answers 200, ends TLS under a minted leaf and refuses inside: both count as one denial.
 */
export interface DenialsJob {
  readonly kind: "denials";
  readonly route: Route;
  readonly upstreamPid: number;
  readonly concurrency: number;
  readonly warmMs: number;
  readonly windowMs: number;
}

/** Few names, so that a contender that mints for a refusal does it with a warm leaf. */
const NAMES = 4;

export async function denials(job: DenialsJob): Promise<Tally> {
  const loops = new Loops(job.concurrency, (loop) => oneDenial(job.route, deniedHost(loop % NAMES)));
  try {
    return await Promise.race([tallyWindow(job.route, job.upstreamPid, job, () => loops.count), loops.failure]);
  } finally {
    await loops.stop();
  }
}

async function oneDenial(route: Route, host: string): Promise<void> {
  const socket = await openTcp(route, route.upstream.tlsPort);
  try {
    const authority = `${host}:${route.upstream.tlsPort}`;
    const status = await askConnect(socket, authority);
    if (status === 403) return;
    if (status !== 200) throw new Error(`a CONNECT that has to be denied was answered with ${status}`);
    await deniedInside(route, socket, host, authority);
  } finally {
    socket.destroy();
  }
}

async function deniedInside(
  route: Route,
  socket: Awaited<ReturnType<typeof openTcp>>,
  host: string,
  authority: string,
): Promise<void> {
  const inside = await startTls(socket, route.trust, host);
  const answer = new Promise<string>((resolve, reject) => {
    inside.once("data", (chunk: Buffer) => resolve(chunk.toString("latin1", 0, 64)));
    inside.once("error", reject);
    inside.once("close", () => reject(new Error("a denied tunnel was closed without an answer")));
  });
  inside.write(`GET /json HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  const start = await answer;
  inside.destroy();
  if (!start.startsWith("HTTP/1.1 403 ")) throw new Error(`denied tunnel: ${start.split("\r\n")[0]}`);
}
