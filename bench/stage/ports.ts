import { type AddressInfo, connect, createServer } from "node:net";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

/** A loopback port that was free a moment ago, for programs that cannot be told "any". */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/**
 * Waits until something listens on `port`.
 * @throws Error after `deadlineMs`, or as soon as `hasEnded` says that nothing ever will
 */
export async function untilListening(port: number, deadlineMs: number, hasEnded: () => boolean): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!(await accepts(port))) {
    if (hasEnded()) throw new Error("it ended before it listened");
    if (performance.now() > endMs) throw new Error(`it did not listen within ${deadlineMs} ms`);
    await sleep(25);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
