import type { Socket } from "node:net";
import { BULK_BYTES } from "../wire/fixtures.ts";
import { clientHello, DOWNLOAD_BYTE } from "../wire/opaque.ts";
import { openBytes } from "./connect.ts";
import type { Route } from "./route.ts";
import { type Tally, tallyWork } from "./window.ts";

/** 100 MB of plain bytes behind a TLS hello, `times` times on one connection, after once that is not counted. */
export interface OpaqueJob {
  readonly kind: "opaque";
  readonly route: Route;
  readonly upstreamPid: number;
  readonly host: string;
  readonly times: number;
}

export async function opaque(job: OpaqueJob): Promise<Tally> {
  const hello = await clientHello(job.host);
  const socket = await openBytes(job.route, job.host, job.route.upstream.opaquePort);
  try {
    socket.write(hello);
    await download(socket);
    return await tallyWork(job.route, job.upstreamPid, async () => {
      for (let i = 0; i < job.times; i++) await download(socket);
      return job.times * BULK_BYTES;
    });
  } finally {
    socket.destroy();
  }
}

function download(socket: Socket): Promise<void> {
  let received = 0;
  return new Promise((resolve, reject) => {
    const settle = (error: Error | null): void => {
      socket.off("data", onData);
      socket.off("error", settle);
      socket.off("close", onClose);
      if (error === null) resolve();
      else reject(error);
    };
    const onData = (chunk: Buffer): void => {
      received += chunk.length;
      if (received > BULK_BYTES) settle(new Error(`${received} bytes came instead of ${BULK_BYTES}`));
      else if (received === BULK_BYTES) settle(null);
    };
    const onClose = (): void => settle(new Error(`the connection was closed after ${received} bytes`));
    socket.on("data", onData);
    socket.on("error", settle);
    socket.on("close", onClose);
    socket.write(Buffer.of(DOWNLOAD_BYTE));
  });
}
