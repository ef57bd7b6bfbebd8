import type { Socket } from "node:net";
import { Denial } from "../core/denial.ts";

/**
 * The first bytes that come on a paused socket, which is paused again.
 * @returns `null` when the guest closed without sending any
 * @throws Denial `request_timeout`
 */
export function awaitFirstBytes(socket: Socket, timeoutMs: number): Promise<Buffer | null> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(timer);
      socket.off("data", onData);
      socket.off("end", onEnd);
      socket.off("close", onEnd);
    };
    const onData = (segment: Buffer): void => {
      socket.pause();
      settle();
      resolve(segment);
    };
    const onEnd = (): void => {
      settle();
      socket.destroy();
      resolve(null);
    };
    const timer = setTimeout(() => {
      settle();
      reject(new Denial("request_timeout", { cause: "nothing came through the tunnel in time" }));
    }, timeoutMs);
    socket.on("data", onData);
    socket.on("end", onEnd);
    socket.on("close", onEnd);
    socket.resume();
  });
}
