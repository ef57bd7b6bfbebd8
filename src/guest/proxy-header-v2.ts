import { formatIp } from "../core/ip.ts";
import { crc32c } from "./crc32c.ts";
import type { ProxyHeader } from "./proxy-header.ts";

/** Version 2 of the PROXY protocol: signature, version and command, family, length, addresses, TLVs. */

export const NO_HEADER = "it begins with something else";

const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const FIXED_BYTES = 16;
/** The whole header. TLVs of clouds take a few dozen bytes, a certificate's subject a few hundred. */
const MOST_BYTES = 4096;
const LOCAL = 0x20;
const PROXY = 0x21;

/** Family and transport with the bytes of both addresses and ports. Datagrams do not come through a stream listener. */
const ADDRESS_BYTES: ReadonlyMap<number, number> = new Map([
  [0x11, 12],
  [0x21, 36],
  [0x31, 216],
]);

export function startsVersion2(bytes: Buffer): boolean {
  return bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE);
}

export function readVersion2(bytes: Buffer): ProxyHeader {
  const seen = Math.min(bytes.length, SIGNATURE.length);
  if (SIGNATURE.compare(bytes, 0, seen, 0, seen) !== 0) return { problem: NO_HEADER };
  const [command, family] = bytes.subarray(SIGNATURE.length);
  if (command === undefined) return null;
  if (command !== LOCAL && command !== PROXY) return { problem: `version 2: version and command 0x${hex(command)}` };
  if (family === undefined || bytes.length < FIXED_BYTES) return null;
  const end = FIXED_BYTES + bytes.readUInt16BE(14);
  if (end > MOST_BYTES) return { problem: `version 2: ${end} bytes are more than ${MOST_BYTES}` };
  // Its family and what follows mean nothing then (section 2.2), but have to come.
  if (command === LOCAL) return bytes.length < end ? null : { bytes: end, source: null };
  const addressBytes = ADDRESS_BYTES.get(family);
  if (addressBytes === undefined) return { problem: `version 2: family and transport 0x${hex(family)}` };
  if (end < FIXED_BYTES + addressBytes) return { problem: "version 2: too short for its addresses" };
  if (bytes.length < end) return null;
  const header = bytes.subarray(0, end);
  const problem = tlvProblem(header, FIXED_BYTES + addressBytes);
  return problem === null ? { bytes: end, source: sourceOf(header, family) } : { problem };
}

function sourceOf(header: Buffer, family: number): string {
  if (family === 0x31) return "unix";
  return formatIp(header.subarray(FIXED_BYTES, FIXED_BYTES + (family === 0x11 ? 4 : 16)));
}

const TLV_CRC32C = 0x03;

/** TLVs are not used, but have to add up; a checksum has to be right where there is one. */
function tlvProblem(header: Buffer, start: number): string | null {
  let at = start;
  while (at < header.length) {
    const valueAt = at + 3;
    if (valueAt > header.length) return "version 2: a cut TLV";
    const end = valueAt + header.readUInt16BE(at + 1);
    if (end > header.length) return "version 2: a TLV longer than the header";
    if (header[at] === TLV_CRC32C && !isChecksum(header, valueAt, end)) return "version 2: the checksum is not right";
    at = end;
  }
  return null;
}

/** Computed with its own four bytes as zeros. */
function isChecksum(header: Buffer, valueAt: number, end: number): boolean {
  if (end - valueAt !== 4) return false;
  const zeroed = Buffer.from(header);
  zeroed.fill(0, valueAt, end);
  return crc32c(zeroed) === header.readUInt32BE(valueAt);
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
