import type { Socket } from "node:net";
import { BULK_BYTES } from "../wire/fixtures.ts";

const BLOCK = Buffer.alloc(65_536, "postern ");

/** Writes 100 MB as fast as the other side takes them. */
export function sendBulk(socket: Socket): void {
  let left = BULK_BYTES;
  const pump = (): void => {
    while (left > 0) {
      const block = left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left);
      left -= block.length;
      if (!socket.write(block)) {
        if (left > 0) socket.once("drain", pump);
        return;
      }
    }
  };
  pump();
}
