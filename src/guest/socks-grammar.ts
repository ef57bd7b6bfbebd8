import { Authority } from "../core/authority.ts";
import { formatIp } from "../core/ip.ts";

/**
 * The messages of a SOCKS5 client (RFC 1928 §3 and §4, RFC 1929 §2) as pure functions over the bytes that came so far: `null`
 * says that more are needed, a fault that no further bytes would mend it. Nothing here throws.
 */

/** RFC 1928 §6. */
export const SOCKS_REPLY = {
  succeeded: 0x00,
  generalFailure: 0x01,
  notAllowed: 0x02,
  hostUnreachable: 0x04,
  connectionRefused: 0x05,
  commandUnsupported: 0x07,
  addressTypeUnsupported: 0x08,
} as const;

export type SocksReply = (typeof SOCKS_REPLY)[keyof typeof SOCKS_REPLY];

/** Why a message is not taken, for operators, and the reply code for the guest where the message has one. */
export interface SocksFault {
  readonly fault: string;
  readonly code: SocksReply;
  /** Well-formed, but nothing that the edge carries. */
  readonly isUnsupported: boolean;
}

export interface Greeting {
  /** Bytes of the message. */
  readonly bytes: number;
  readonly methods: Uint8Array;
}

const VERSION = 0x05;

/** `VER NMETHODS METHODS` */
export function readGreeting(bytes: Buffer): Greeting | SocksFault | null {
  if (bytes.length > 0 && bytes[0] !== VERSION) return malformed("not a SOCKS5 greeting");
  if (bytes.length < 2) return null;
  const end = 2 + (bytes[1] as number);
  return bytes.length < end ? null : { bytes: end, methods: bytes.subarray(2, end) };
}

export interface Login {
  readonly bytes: number;
  /** User, colon, password: what `Basic` is the base64 of (RFC 7617 §2). */
  readonly userAndPassword: Buffer;
}

const LOGIN_VERSION = 0x01;
const COLON = 0x3a;

/** `VER ULEN UNAME PLEN PASSWD`; empty ones occur, tokens stand in either. */
export function readLogin(bytes: Buffer): Login | SocksFault | null {
  if (bytes.length > 0 && bytes[0] !== LOGIN_VERSION) return malformed("not a user and password of SOCKS5");
  if (bytes.length < 2) return null;
  const userEnd = 2 + (bytes[1] as number);
  const user = bytes.subarray(2, userEnd);
  // The first colon would end it for everybody who reads it later.
  if (user.includes(COLON)) return malformed("a colon in the user");
  if (bytes.length <= userEnd) return null;
  const end = userEnd + 1 + (bytes[userEnd] as number);
  if (bytes.length < end) return null;
  const userAndPassword = Buffer.concat([user, Buffer.from([COLON]), bytes.subarray(userEnd + 1, end)]);
  return { bytes: end, userAndPassword };
}

export interface ConnectWish {
  readonly bytes: number;
  readonly authority: Authority;
}

const CONNECT = 0x01;
const COMMANDS: Readonly<Record<number, string>> = { 2: "BIND", 3: "UDP ASSOCIATE" };
const IPV4 = 0x01;
const NAME = 0x03;
const IPV6 = 0x04;

/** `VER CMD RSV ATYP DST.ADDR DST.PORT`: judged as soon as it can be, so that no half of a bad one is waited for. */
export function readConnect(bytes: Buffer): ConnectWish | SocksFault | null {
  const [version, command, reserved, type, length] = bytes;
  if (version === undefined) return null;
  if (version !== VERSION) return malformed("not a SOCKS5 request");
  if (command === undefined) return null;
  if (command !== CONNECT) {
    const fault = `command ${COMMANDS[command] ?? command}`;
    return { fault, code: SOCKS_REPLY.commandUnsupported, isUnsupported: true };
  }
  if (reserved === undefined) return null;
  if (reserved !== 0) return malformed("the reserved byte is set");
  if (type === undefined) return null;
  if (type !== IPV4 && type !== NAME && type !== IPV6) {
    return { fault: `address type ${type}`, code: SOCKS_REPLY.addressTypeUnsupported, isUnsupported: false };
  }
  if (type === NAME && length === undefined) return null;
  const start = type === NAME ? 5 : 4;
  const addressEnd = start + (type === NAME ? (length as number) : type === IPV4 ? 4 : 16);
  if (bytes.length < addressEnd + 2) return null;
  const port = bytes.readUInt16BE(addressEnd);
  const authority = authorityOf(type, bytes.subarray(start, addressEnd), port);
  if (authority === null) return malformed("the address is no canonical name or address with a port");
  return { bytes: addressEnd + 2, authority };
}

/** One spelling for one place, as for CONNECT; an address that comes as a name is how a rule for names would be passed by. */
function authorityOf(type: number, address: Buffer, port: number): Authority | null {
  if (type === IPV4) return Authority.parse(`${formatIp(address)}:${port}`, null);
  if (type === IPV6) return Authority.parse(`[${formatIp(address)}]:${port}`, null);
  const authority = Authority.parse(`${address.toString("latin1")}:${port}`, null);
  return authority !== null && authority.ip === null ? authority : null;
}

function malformed(fault: string): SocksFault {
  return { fault, code: SOCKS_REPLY.generalFailure, isUnsupported: false };
}
