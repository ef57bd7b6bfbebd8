import type { Socket } from "node:net";
import type { Authority } from "../core/authority.ts";
import { Denial } from "../core/denial.ts";
import { type ClientHello, parseClientHello } from "./client-hello.ts";
import { type Cut, type Found, gather } from "./gather.ts";

/**
 * Lets a pass-through tunnel begin only with a TLS hello that names the tunnel's authority. The hello stays in the socket, to
 * go upstream byte for byte.
 * @param socket paused
 * @throws Denial `request_timeout`, `tunnel_unsupported`, `sni_missing`, `sni_mismatch`, `ech_refused`,
 *   `early_data_refused`
 */
export async function readClientHello(socket: Socket, authority: Authority, timeoutMs: number): Promise<void> {
  const hello = await gather(socket, timeoutMs, readWhole, cutShort);
  if (hello.hasEch) throw new Denial("ech_refused");
  if (hello.serverName === null) {
    if (authority.ip === null) throw new Denial("sni_missing");
  } else if (hello.serverName !== authority.host) throw new Denial("sni_mismatch");
  // RFC 8446 §8: it has no protection against replay, and whether the server adds one cannot be seen from here.
  if (hello.hasEarlyData) throw new Denial("early_data_refused");
}

function readWhole(bytes: Buffer): Found<ClientHello> | null {
  const hello = parseClientHello(bytes);
  if (hello === "need more") return null;
  if (hello === "not a client hello") throw new Denial("tunnel_unsupported", { cause: "not a TLS hello" });
  return { answer: hello, rest: bytes };
}

function cutShort(cut: Cut): never {
  if (cut === "late") throw new Denial("request_timeout", { cause: "no TLS hello in time" });
  throw new Denial("tunnel_unsupported", { cause: "closed before the TLS hello was whole" });
}
