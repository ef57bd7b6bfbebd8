import type { Socket } from "node:net";
import { Denial } from "../core/denial.ts";
import { type IpBytes, type IpRange, ipRangeContains, parseIp } from "../core/ip.ts";
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
  const gathered = await gather(socket, timeoutMs);
  if (gathered === null) return null;
  const { rest, source } = gathered;
  if (beginsProxyHeader(rest)) throw invalid("a header within a header");
  if (rest.length > 0) socket.unshift(rest);
  return source ?? peer;
}

function isSender(peer: string, senders: ProxySenders): boolean {
  if (senders === "unix") return true;
  const address = parseIp(peer);
  if (address === null) return false;
  const plain = withoutMapping(address);
  return senders.some((range) => ipRangeContains(range, plain));
}

/** A listener on `::` sees IPv4 peers as `::ffff:192.0.2.7`. */
function withoutMapping(address: IpBytes): IpBytes {
  const isMapped =
    address.length === 16 &&
    address.subarray(0, 10).every((byte) => byte === 0) &&
    address[10] === 0xff &&
    address[11] === 0xff;
  return isMapped ? address.subarray(12) : address;
}

interface Gathered {
  readonly source: string | null;
  readonly rest: Buffer;
}

function gather(socket: Socket, timeoutMs: number): Promise<Gathered | null> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0);
    const settle = (): void => {
      clearTimeout(timer);
      socket.pause();
      socket.off("data", onData);
      socket.off("end", onEnd);
      socket.off("close", onEnd);
    };
    const over = (why: string): void => {
      settle();
      if (bytes.length === 0) resolve(null);
      else reject(invalid(why));
    };
    const onData = (segment: Buffer): void => {
      bytes = bytes.length === 0 ? segment : Buffer.concat([bytes, segment]);
      const header = readProxyHeader(bytes);
      if (header === null) return;
      settle();
      if ("problem" in header) reject(invalid(header.problem));
      else resolve({ source: header.source, rest: bytes.subarray(header.bytes) });
    };
    const onEnd = (): void => over("closed in the middle of the header");
    const timer = setTimeout(() => over("no whole header in time"), timeoutMs);
    socket.on("data", onData);
    socket.on("end", onEnd);
    socket.on("close", onEnd);
    socket.resume();
  });
}

function invalid(why: string): Denial {
  return new Denial("proxy_protocol_invalid", { cause: `PROXY protocol: ${why}` });
}
