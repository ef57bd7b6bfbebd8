import type { Socket } from "node:net";
import { Denial } from "../core/denial.ts";
import { gather } from "./gather.ts";

/**
 * The first bytes that come on a paused socket, which is paused again. They stay in it.
 * @returns `null` when the guest closed without sending any
 * @throws Denial `request_timeout`
 */
export function awaitFirstBytes(socket: Socket, timeoutMs: number): Promise<Buffer | null> {
  return gather<Buffer | null>(
    socket,
    timeoutMs,
    (bytes) => ({ answer: bytes, rest: bytes }),
    (cut) => {
      if (cut === "late") throw new Denial("request_timeout", { cause: "nothing came through the tunnel in time" });
      socket.destroy();
      return null;
    },
  );
}
