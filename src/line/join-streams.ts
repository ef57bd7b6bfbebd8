import type { ExchangeRecord } from "../core/record.ts";
import { countSegment } from "../core/segment-memory.ts";
import type { RawStream } from "../core/wire.ts";

/** How long an upstream may take what a guest had said to its end before it left, `ms`: nobody else watches it any more. */
const LEFT_MS = 60_000;

/**
 * Two raw streams joined byte-exactly until both are closed; back-pressure and half-close pass through. One that breaks ends the
 * other at once; one that closes after it had said everything lets the other be handed all of it. Never rejects: how it ended is
 * in the record.
 * @param guest the side that counts as `bytesFromGuest`; what it does with its time is watched where it came in
 * @param leftMs how long the upstream may go on taking what a guest that is gone has left for it
 */
export function joinStreams(
  guest: RawStream,
  upstream: RawStream,
  record: ExchangeRecord,
  leftMs = LEFT_MS,
): Promise<void> {
  return new Promise((resolve) => {
    const onGone = (): void => {
      if (guest.destroyed && upstream.destroyed) resolve();
    };
    oneWay(guest, upstream, onGone, (bytes) => {
      record.bytesFromGuest += bytes;
    });
    oneWay(upstream, guest, onGone, (bytes) => {
      record.bytesToGuest += bytes;
    });
    const onGuestGone = (): void => {
      if (upstream.destroyed) return;
      const timer = setTimeout(() => upstream.destroy(), leftMs).unref();
      upstream.on("close", () => clearTimeout(timer));
    };
    if (guest.destroyed) onGuestGone();
    else guest.on("close", onGuestGone);
  });
}

function oneWay(from: RawStream, to: RawStream, onGone: () => void, count: (bytes: number) => void): void {
  let ended = false;
  const onEnd = (): void => {
    ended = true;
    to.end();
    if (from.destroyed) destroyOnceFinished(to);
  };
  const onClose = (): void => {
    if (ended) destroyOnceFinished(to);
    else to.destroy();
    onGone();
  };
  from.on("data", (chunk: Buffer) => {
    countSegment(chunk.length);
    // Nobody is there to take it; read on, so that no reset overtakes what this side is still being handed.
    if (to.destroyed) return;
    count(chunk.length);
    if (!to.write(chunk)) from.pause();
  });
  to.on("drain", () => from.resume());
  from.on("end", onEnd);
  // `close` follows every error; what there is to do is done there.
  from.on("error", () => undefined);
  from.on("close", onClose);
  // What happened before the streams were joined is told by no event any more.
  if (from.readableEnded) onEnd();
  if (from.destroyed) onClose();
  else from.resume();
}

function destroyOnceFinished(stream: RawStream): void {
  if (stream.writableFinished) stream.destroy();
  else {
    stream.once("finish", () => stream.destroy());
    stream.resume();
  }
}
