import type { Socket } from "node:net";
import { DOWNLOAD_BYTE, helloLength } from "../wire/opaque.ts";
import { sendBulk } from "./send-bulk.ts";

/** Plain bytes behind a TLS hello: each `DOWNLOAD_BYTE` that follows it is answered with 100 MB. */
export function serveOpaque(socket: Socket): void {
  let held: Buffer = Buffer.alloc(0);
  let passedHello = false;
  socket.on("data", (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    if (!passedHello) {
      const length = helloLength(held);
      if (length === null || held.length < length) return;
      passedHello = true;
      held = held.subarray(length);
    }
    for (const byte of held) {
      if (byte === DOWNLOAD_BYTE) sendBulk(socket);
      else socket.destroy(); // a contender that changed the bytes fails its sample
    }
    held = Buffer.alloc(0);
  });
  socket.on("error", () => socket.destroy());
}
