import type { Socket } from "node:net";
import { Denial } from "../core/denial.ts";
import { type IpRange, ipRangeContains, isV4Mapped, parseIp } from "../core/ip.ts";
import { type Cut, type Found, gather } from "./gather.ts";
import { beginsProxyHeader, readProxyHeader } from "./proxy-header.ts";

/** From whom a listener takes the PROXY protocol: ranges of addresses, or whoever can open its socket file. */
export type ProxySenders = "unix" | readonly IpRange[];

/**
 * Reads the header that every connection of such a listener begins with, so that nobody can leave it out or make it up. What
 * follows it stays in the socket, which is paused.
 * @param peer who is connected, as the socket says
 * @param timeoutMs for the whole header
 * @returns the guest's address; `null` when the connection ended before a byte came, as those of simple checks do
 * @throws Denial `proxy_protocol_invalid`
 */
export async function readAnnouncedGuest(
  socket: Socket,
  peer: string,
  senders: ProxySenders,
  timeoutMs: number,
): Promise<string | null> {
  if (!isSender(peer, senders)) throw invalid(`${peer} is not in proxy_protocol.from`);
  const announced = await gather<Announced | null>(socket, timeoutMs, readWhole, cutShort);
  return announced === null ? null : (announced.source ?? peer);
}

function isSender(peer: string, senders: ProxySenders): boolean {
  if (senders === "unix") return true;
  const address = parseIp(peer);
  if (address === null) return false;
  // A listener on `::` sees IPv4 peers as `::ffff:192.0.2.7`.
  const plain = isV4Mapped(address) ? address.subarray(12) : address;
  return senders.some((range) => ipRangeContains(range, plain));
}

interface Announced {
  readonly source: string | null;
}

function readWhole(bytes: Buffer): Found<Announced> | null {
  const header = readProxyHeader(bytes);
  if (header === null) return null;
  if ("problem" in header) throw invalid(header.problem);
  const rest = bytes.subarray(header.bytes);
  if (beginsProxyHeader(rest)) throw invalid("a header within a header");
  return { answer: { source: header.source }, rest };
}

function cutShort(cut: Cut, hasBytes: boolean): null {
  if (!hasBytes) return null;
  throw invalid(cut === "late" ? "no whole header in time" : "closed in the middle of the header");
}

function invalid(why: string): Denial {
  return new Denial("proxy_protocol_invalid", { cause: `PROXY protocol: ${why}` });
}
