import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { FrameReader } from "../../guest/support/h2-frames.ts";
import { openSecure } from "../../guest/support/h2-guest.ts";
import type { Field } from "./h2-attacker.ts";
import { type Flood, type FloodName, FLOODS } from "./h2-floods.ts";

/** A thread that floods an edge: in a thread of its own, so that what it costs is not laid to the edge's charge. */

export interface FloodOrder {
  readonly port: number;
  readonly authority: string;
  readonly name: FloodName;
  /** Connections, one after the other. */
  readonly rounds: number;
}

/** What one connection came to. */
export interface FloodEnd {
  /** The edge ended it within the attacker's patience. */
  readonly closed: boolean;
  /** Code of GOAWAY, or -1: one that was on its way may be lost with the connection. */
  readonly goaway: number;
  /** Codes of resets, each once. */
  readonly resets: readonly number[];
}

const PATIENCE_MS = 20_000;

const order = workerData as FloodOrder;
const ends: FloodEnd[] = [];
for (let round = 0; round < order.rounds; round++) ends.push(await flood(FLOODS[order.name]));
parentPort?.postMessage(ends, []);

async function flood({ opening, batches, batch, pauseMs }: Flood): Promise<FloodEnd> {
  const socket = await openSecure(order.port, order.authority);
  const reader = new FrameReader(socket);
  const closed = new Promise<void>((resolve) => {
    socket.once("end", resolve);
    socket.once("close", resolve);
  });
  socket.write(opening(request));
  for (let i = 0; i < batches && !reader.closed; i++) {
    const taken = new Promise<void>((resolve) => socket.write(batch(i, request), () => resolve()));
    await Promise.race([taken, closed]);
    if (pauseMs > 0) await sleep(pauseMs);
  }
  const isCut = await Promise.race([closed.then(() => true), sleep(PATIENCE_MS, false, { ref: false })]);
  socket.destroy();
  const codes = reader.codes();
  const resets = [...codes].filter(([stream]) => stream !== 0).map(([, code]) => code);
  return { closed: isCut, goaway: codes.get(0) ?? -1, resets: [...new Set(resets)] };
}

function request(path: string, method = "GET"): Field[] {
  return [
    [":method", method],
    [":scheme", "https"],
    [":path", path],
    [":authority", order.authority],
  ];
}
