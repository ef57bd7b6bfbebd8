import type { ExchangeRecord } from "../core/record.ts";
import type { RawStream } from "../core/wire.ts";

/**
 * Two raw streams joined byte-exactly until both directions have ended or either one broke; back-pressure and half-close
 * pass through. Never rejects: how it ended is in the record.
 * @param guest the side that counts as `bytesFromGuest`
 */
export function joinStreams(guest: RawStream, upstream: RawStream, record: ExchangeRecord): Promise<void> {
  return new Promise((resolve) => {
    let open = 2;
    let over = false;
    const finish = (): void => {
      if (over) return;
      over = true;
      guest.destroy();
      upstream.destroy();
      resolve();
    };
    const oneWay = (from: RawStream, to: RawStream, count: (bytes: number) => void): void => {
      from.on("data", (chunk: Buffer) => {
        count(chunk.length);
        if (!to.write(chunk)) from.pause();
      });
      to.on("drain", () => from.resume());
      from.on("end", () => {
        // FIN passes on by itself; the other direction may go on (half-close).
        if (--open === 0) to.end(finish);
        else to.end();
      });
      from.on("error", finish);
      from.on("close", finish);
    };
    oneWay(guest, upstream, (bytes) => {
      record.bytesFromGuest += bytes;
    });
    oneWay(upstream, guest, (bytes) => {
      record.bytesToGuest += bytes;
    });
    guest.resume();
    upstream.resume();
  });
}
