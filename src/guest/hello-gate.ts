import type { Socket } from "node:net";
import type { Authority } from "../core/authority.ts";
import { Denial } from "../core/denial.ts";
import { type ClientHello, parseClientHello } from "./client-hello.ts";

/**
 * Lets a pass-through tunnel begin only with a TLS hello that names the tunnel's authority. The hello stays in the socket, to
 * go upstream byte for byte.
 * @param socket paused
 * @throws Denial `request_timeout`, `tunnel_unsupported`, `sni_missing`, `sni_mismatch`, `ech_refused`,
 *   `early_data_refused`
 */
export async function readClientHello(socket: Socket, authority: Authority, timeoutMs: number): Promise<void> {
  const { hello, bytes } = await gather(socket, timeoutMs);
  socket.unshift(bytes);
  if (hello.hasEch) throw new Denial("ech_refused");
  if (hello.serverName === null) {
    if (authority.ip === null) throw new Denial("sni_missing");
  } else if (hello.serverName !== authority.host) throw new Denial("sni_mismatch");
  // RFC 8446 §8: it has no protection against replay, and whether the server adds one cannot be seen from here.
  if (hello.hasEarlyData) throw new Denial("early_data_refused");
}

function gather(socket: Socket, timeoutMs: number): Promise<{ readonly hello: ClientHello; readonly bytes: Buffer }> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0);
    const settle = (): void => {
      clearTimeout(timer);
      socket.pause();
      socket.off("data", onData);
      socket.off("end", onEnd);
      socket.off("close", onEnd);
    };
    const fail = (denial: Denial): void => {
      settle();
      reject(denial);
    };
    const onData = (segment: Buffer): void => {
      bytes = bytes.length === 0 ? segment : Buffer.concat([bytes, segment]);
      const hello = parseClientHello(bytes);
      if (hello === "need more") return;
      if (hello === "not a client hello") fail(new Denial("tunnel_unsupported", { cause: "not a TLS hello" }));
      else {
        settle();
        resolve({ hello, bytes });
      }
    };
    const onEnd = (): void =>
      fail(new Denial("tunnel_unsupported", { cause: "closed before the TLS hello was whole" }));
    const timer = setTimeout(() => fail(new Denial("request_timeout", { cause: "no TLS hello in time" })), timeoutMs);
    socket.on("data", onData);
    socket.on("end", onEnd);
    socket.on("close", onEnd);
    socket.resume();
  });
}
