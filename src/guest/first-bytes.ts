import type { Socket } from "node:net";
import { Denial } from "../core/denial.ts";
import { gather } from "./gather.ts";

/**
 * The first bytes that come on a paused socket, which is paused again: as many as tell what is spoken. They stay in it.
 * @returns `null` when the guest closed before
 * @throws Denial `request_timeout`
 */
export function awaitFirstBytes(socket: Socket, timeoutMs: number): Promise<Buffer | null> {
  return gather<Buffer | null>(
    socket,
    timeoutMs,
    (bytes) => (mayBePreface(bytes) ? null : { answer: bytes, rest: bytes }),
    (cut, hasBytes) => {
      if (cut === "late") {
        const cause = hasBytes
          ? "too little came through the tunnel in time"
          : "nothing came through the tunnel in time";
        throw new Denial("request_timeout", { cause });
      }
      socket.destroy();
      return null;
    },
  );
}

/** RFC 9113 §3.4: prior-knowledge HTTP/2 begins with a line that looks like a request. */
const PREFACE = "PRI ";

export function isHttp2Preface(first: Buffer): boolean {
  return first.toString("latin1", 0, PREFACE.length) === PREFACE;
}

/** Not yet told from the method of a request. */
function mayBePreface(bytes: Buffer): boolean {
  return bytes.length < PREFACE.length && PREFACE.startsWith(bytes.toString("latin1"));
}
