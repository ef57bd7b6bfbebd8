import { parseIpv4, parseIpv6, formatIp } from "../core/ip.ts";
import { NO_HEADER, readVersion2, startsVersion2 } from "./proxy-header-v2.ts";

/**
 * The header with which a balancer announces whose connection it passes on (PROXY protocol 1 and 2 of HAProxy), as a pure
 * function over the bytes that came so far. Nothing is guessed and nothing repaired: what does not fit is a problem.
 */
export type ProxyHeader =
  /** Not whole yet; further bytes may still spoil it. */
  | null
  | { readonly problem: string }
  | {
      /** Bytes of the header; what follows belongs to the guest. */
      readonly bytes: number;
      /** Canonical address of the guest, `unix` for one behind a socket file, `null` when the balancer speaks for itself. */
      readonly source: string | null;
    };

export function readProxyHeader(bytes: Buffer): ProxyHeader {
  const first = bytes[0];
  if (first === undefined) return null;
  return first === VERSION_1_FIRST ? readVersion1(bytes) : readVersion2(bytes);
}

/** Whether the guest's own bytes begin with a header again: who nests them hopes that somebody believes the inner one. */
export function beginsProxyHeader(bytes: Buffer): boolean {
  return bytes.toString("latin1", 0, START_1.length) === START_1 || startsVersion2(bytes);
}

const START_1 = "PROXY ";
const VERSION_1_FIRST = 0x50;
/** Terminator included. */
const MOST_BYTES_1 = 107;
const CR = 0x0d;
const LF = 0x0a;

/** `PROXY TCP4 192.0.2.7 198.51.100.1 56324 443` CRLF */
function readVersion1(bytes: Buffer): ProxyHeader {
  const start = bytes.toString("latin1", 0, START_1.length);
  if (!START_1.startsWith(start)) return { problem: NO_HEADER };
  const end = bytes.subarray(0, MOST_BYTES_1).findIndex((byte) => byte === CR || byte === LF);
  if (end < 0) return bytes.length < MOST_BYTES_1 ? null : { problem: "version 1: no end within 107 bytes" };
  if (bytes[end] === LF) return { problem: "version 1: a line feed alone" };
  const after = bytes[end + 1];
  if (after === undefined) return end + 1 < MOST_BYTES_1 ? null : { problem: "version 1: no end within 107 bytes" };
  if (after !== LF) return { problem: "version 1: a carriage return alone" };
  if (end + 2 > MOST_BYTES_1) return { problem: "version 1: no end within 107 bytes" };
  const words = bytes.toString("latin1", START_1.length, end).split(" ");
  // HAProxy says so of its own checks and of what it does not know: either way nobody's guest.
  if (words[0] === "UNKNOWN") return { problem: "version 1: UNKNOWN names no guest: use version 2 for checks" };
  const source = sourceOf(words);
  return source === null
    ? { problem: "version 1: no source and destination of one family" }
    : { bytes: end + 2, source };
}

function sourceOf([family, source = "", destination = "", sourcePort = "", port = "", ...more]: string[]):
  | string
  | null {
  const parse = family === "TCP4" ? parseIpv4 : family === "TCP6" ? parseIpv6 : null;
  if (parse === null || more.length > 0 || !isPort(sourcePort) || !isPort(port)) return null;
  const address = parse(source);
  return address === null || parse(destination) === null ? null : formatIp(address);
}

/** 0 to 65535 without leading zeros. */
function isPort(text: string): boolean {
  return /^(?:0|[1-9][0-9]{0,4})$/.test(text) && Number(text) <= 65_535;
}
