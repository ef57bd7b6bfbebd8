import { constants, setPriority } from "node:os";
import type { TLSSocket } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import { FrameReader } from "../../guest/support/h2-frames.ts";
import { openSecure } from "../../guest/support/h2-guest.ts";
import type { TestLeaf } from "../../house/support/certificates.ts";
import { startUpstream } from "../../house/support/upstream.ts";
import { type Flood, type FloodName, FLOODS, type Request } from "./h2-floods.ts";

/**
 * A process that floods an edge on the way to an upstream of its own, both behind whoever else wants the processor: what it costs to
 * start, to make frames and to answer them is not laid to the edge's charge. Argument: the upstream's certificate as JSON. It tells
 * the upstream's port, and then of each flood that it is ordered how that ended.
 */

export interface FloodOrder {
  readonly edgePort: number;
  readonly authority: string;
  readonly name: FloodName;
  /** Which guest floods. */
  readonly localAddress: string;
}

export type FlooderMessage = { readonly upstreamPort: number } | FloodEnd;

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
/** Whoever is behind everybody else on the processor may have been too slow for the edge to hear its CONNECT or its hello. */
const TRIES = 20;

// Whoever ordered floods is gone.
process.on("disconnect", () => process.exit(0));
setPriority(constants.priority.PRIORITY_LOW);
const upstream = await startUpstream({ tls: JSON.parse(process.argv[2] ?? "") as TestLeaf });
process.on("message", (order: FloodOrder) => void flood(order, FLOODS[order.name]).then(tell));
tell({ upstreamPort: upstream.port });

function tell(message: FlooderMessage): void {
  process.send?.(message);
}

async function flood(order: FloodOrder, { opening, batches, batch, pauseMs }: Flood): Promise<FloodEnd> {
  const request = requestTo(order.authority);
  const socket = await open(order);
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

async function open({ edgePort, authority, localAddress }: FloodOrder): Promise<TLSSocket> {
  for (let left = TRIES; ; left--) {
    try {
      return await openSecure(edgePort, authority, ["h2"], undefined, localAddress);
    } catch (thrown) {
      if (left === 0) throw thrown;
    }
  }
}

function requestTo(authority: string): Request {
  return (path, method = "GET") => [
    [":method", method],
    [":scheme", "https"],
    [":path", path],
    [":authority", authority],
  ];
}
