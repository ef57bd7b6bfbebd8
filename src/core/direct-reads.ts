import { countSegment } from "./segment-memory.ts";

/** What of a socket is needed here; net and TLS sockets are. */
interface PushedSocket {
  readonly readableFlowing: boolean | null;
  readonly readableLength: number;
  push(chunk: unknown): boolean;
  on(event: "data", listener: (segment: Buffer) => void): unknown;
  off(event: "data", listener: (segment: Buffer) => void): unknown;
}

/**
 * Hands the segments of a socket to one reader, past the stream's own bookkeeping. For each segment a stream emits an event,
 * queues a tick to see whether it should read more, and asks the handle to read, which it does already: some 4 % of what a
 * small exchange costs. Whatever is not plain flow (a paused socket, bytes that were put back, the end) takes the stream's own
 * way, and the reader gets it as `data`: the order of the bytes is the same.
 * @returns stops it: from then on the socket is as any other
 */
export function readDirectly(socket: PushedSocket, onSegment: (segment: Buffer) => void): () => void {
  const push = socket.push.bind(socket);
  const take = (segment: Buffer): void => {
    countSegment(segment.length);
    onSegment(segment);
  };
  // Named first: docs/decisions/0028-short-lives-die-young.md.
  const pushDirectly = (chunk: unknown): boolean => {
    const isFlow = socket.readableFlowing === true && socket.readableLength === 0;
    if (!isFlow || !Buffer.isBuffer(chunk)) return push(chunk);
    take(chunk);
    return true;
  };
  socket.push = pushDirectly;
  socket.on("data", take);
  return () => {
    socket.push = push;
    socket.off("data", take);
  };
}
