import { canonicalName } from "../core/authority.ts";

/** What the edge reads of a TLS hello that it does not end itself. */
export interface ClientHello {
  readonly done: true;
  /** Lower-case host name of the server_name extension, or `null` when there is none. */
  readonly serverName: string | null;
  /** Protocol names in the client's order (Latin-1), empty without the extension. */
  readonly alpn: readonly string[];
  /** An encrypted hello rides along: the real server name may be another one. Browsers send it as a decoy as well. */
  readonly hasEch: boolean;
  /** What follows may be data already (0-RTT), which whoever recorded it can send to the server once more. */
  readonly hasEarlyData: boolean;
  /**
   * The client speaks TLS 1.3: the server may ask for a second hello, which it reads in the clear as well (RFC 8446 §4.1.4).
   * To one that does not, no server may answer so (§4.2.1), and every later hello of TLS 1.2 (renegotiation) is under keys that
   * are not here.
   */
  readonly mayBeRetried: boolean;
  /** How long it is, record headers included. */
  readonly bytes: number;
}

export type ClientHelloResult = ClientHello | "need more" | "not a client hello";

/** Record headers included. Hellos with post-quantum key shares are below 2 KiB. */
export const CLIENT_HELLO_LIMIT_BYTES = 16_384;

/**
 * Reads a ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2) for pass-through: whose bytes go on unchanged, so that what is
 * read here must be what every server reads. Anything that two parsers could read differently is refused: more than one
 * server name, an extension twice, lengths that do not add up, names that are no plain LDH host names.
 * @param bytes everything that came so far, from the first byte on, in whatever pieces of TCP or of TLS records; what
 *   follows the hello is not looked at
 * @returns the hello; `"need more"` while it is not whole; or `"not a client hello"`, which no further bytes change
 */
export function parseClientHello(bytes: Uint8Array): ClientHelloResult {
  const whole = handshakeMessage(bytes.subarray(0, CLIENT_HELLO_LIMIT_BYTES));
  if (whole === null) return "not a client hello";
  if (whole === "need more") return bytes.length < CLIENT_HELLO_LIMIT_BYTES ? whole : "not a client hello";
  return readHello(whole.body, whole.bytes) ?? "not a client hello";
}

const RECORD_HEADER_BYTES = 5;
const RECORD_LIMIT_BYTES = 16_384;
const CONTENT_HANDSHAKE = 22;
const HANDSHAKE_HEADER_BYTES = 4;
const HANDSHAKE_CLIENT_HELLO = 1;

interface WholeMessage {
  readonly body: Uint8Array;
  /** Of the records that it came in. */
  readonly bytes: number;
}

/**
 * Joins the fragments of the first handshake message (RFC 8446 §5.1). It is measured first and copied only once it is
 * whole, so that a hello that drips in byte by byte costs a walk over record headers each time and no copy.
 * @returns the ClientHello, or `null` when it is something else
 */
function handshakeMessage(bytes: Uint8Array): WholeMessage | "need more" | null {
  const header: number[] = [];
  const fragments: Uint8Array[] = [];
  let have = 0;
  for (let at = 0; at < bytes.length;) {
    const length = recordLength(bytes, at);
    if (length === null) return null;
    if (length === "need more") return length;
    const fragment = bytes.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + length);
    for (let i = 0; i < fragment.length && header.length < HANDSHAKE_HEADER_BYTES; i++)
      header.push(fragment[i] as number);
    fragments.push(fragment);
    have += fragment.length;
    const size = messageSize(header);
    if (size === null) return null;
    if (size !== "need more" && have >= size) {
      // Nothing may share the record with the hello: the server's keys change after it (RFC 8446 §5.1), and in TLS 1.2 the
      // client has nothing to say before the server has spoken. Its end must be the record's announced end, too.
      const announced = have - fragment.length + length;
      if (announced !== size) return null;
      return { body: join(fragments, size), bytes: at + RECORD_HEADER_BYTES + length };
    }
    at += RECORD_HEADER_BYTES + length;
  }
  return "need more";
}

/** @returns length of the record's fragment as its header tells */
function recordLength(bytes: Uint8Array, at: number): number | "need more" | null {
  const type = bytes[at];
  const major = bytes[at + 1];
  const minor = bytes[at + 2];
  // Judged byte by byte, so that a foreign protocol is told at once and not waited for.
  if (type !== CONTENT_HANDSHAKE || (major ?? 3) !== 3 || (minor ?? 0) > 4) return null;
  if (at + RECORD_HEADER_BYTES > bytes.length) return "need more";
  const length = ((bytes[at + 3] as number) << 8) | (bytes[at + 4] as number);
  // RFC 8446 §5.1: no empty fragments of handshake messages, none above 2^14.
  return length === 0 || length > RECORD_LIMIT_BYTES ? null : length;
}

/** @param header the first bytes of the message, at most four. @returns size of the whole message, its header included */
function messageSize(header: readonly number[]): number | "need more" | null {
  const [type, high, middle, low] = header;
  if ((type ?? HANDSHAKE_CLIENT_HELLO) !== HANDSHAKE_CLIENT_HELLO || (high ?? 0) !== 0) return null;
  if (middle === undefined || low === undefined) return "need more";
  const size = HANDSHAKE_HEADER_BYTES + ((middle << 8) | low);
  return size > CLIENT_HELLO_LIMIT_BYTES ? null : size;
}

function join(fragments: readonly Uint8Array[], size: number): Uint8Array {
  const message = new Uint8Array(size);
  let at = 0;
  for (const fragment of fragments) {
    message.set(fragment, at);
    at += fragment.length;
  }
  return message.subarray(HANDSHAKE_HEADER_BYTES);
}

const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;
/** RFC 8446 §4.2.10: only ever in the first hello of a connection. */
const EXTENSION_EARLY_DATA = 42;
const EXTENSION_SUPPORTED_VERSIONS = 43;
/** encrypted_client_hello, and the draft before it that encrypted the name alone (ESNI). */
const EXTENSION_ECH = 0xfe0d;
const EXTENSION_ESNI = 0xffce;

function readHello(body: Uint8Array, bytes: number): ClientHello | null {
  const hello = new Reader(body);
  const version = hello.number(2);
  hello.take(32); // random
  const sessionId = hello.vector(1, 0, 32);
  const suites = hello.vector(2, 2, 65_534);
  hello.vector(1, 1, 255); // compression methods
  if (version === null || version < 0x0301 || version > 0x0303 || sessionId === null || suites === null) return null;
  if (suites.left % 2 !== 0) return null;
  // TLS 1.2 clients may leave the whole block out (RFC 5246 §7.4.1.2).
  const extensions = hello.isAtEnd ? new Reader(new Uint8Array(0)) : hello.vector(2, 0, 65_535);
  if (extensions === null || !hello.isAtEnd) return null;
  const found = readExtensions(extensions);
  return found === null ? null : { done: true, ...found, bytes };
}

function readExtensions(extensions: Reader): Omit<ClientHello, "done" | "bytes"> | null {
  const seen = new Set<number>();
  let serverName: string | null = null;
  let alpn: readonly string[] = [];
  let mayBeRetried = false;
  while (!extensions.isAtEnd) {
    const type = extensions.number(2);
    const data = extensions.vector(2, 0, 65_535);
    // RFC 8446 §4.2: not more than one extension of a type. One server would take the first name, another the last.
    if (type === null || data === null || seen.has(type)) return null;
    seen.add(type);
    if (type === EXTENSION_SERVER_NAME) {
      serverName = readServerName(data);
      if (serverName === null) return null;
    } else if (type === EXTENSION_ALPN) {
      const names = readAlpn(data);
      if (names === null) return null;
      alpn = names;
    } else if (type === EXTENSION_SUPPORTED_VERSIONS) {
      const versions = readVersions(data);
      if (versions === null) return null;
      // Drafts and what comes after 1.3 have numbers of their own.
      mayBeRetried = versions.some((version) => version < 0x0300 || version > 0x0303);
    }
  }
  const hasEch = seen.has(EXTENSION_ECH) || seen.has(EXTENSION_ESNI);
  return { serverName, alpn, hasEch, hasEarlyData: seen.has(EXTENSION_EARLY_DATA), mayBeRetried };
}

/** RFC 6066 §3: a list of typed names. Exactly one is taken, of type host_name, a plain lower- or upper-case DNS name. */
function readServerName(data: Reader): string | null {
  const list = data.vector(2, 1, 65_535);
  if (list === null || !data.isAtEnd) return null;
  const type = list.number(1);
  const name = list.vector(2, 1, 65_535);
  if (type !== 0 || name === null || !list.isAtEnd) return null;
  // canonicalName refuses NUL, a trailing dot, IP literals, everything that is not LDH or underscore.
  return canonicalName(name.text());
}

/** RFC 7301 §3.1 */
function readAlpn(data: Reader): string[] | null {
  const list = data.vector(2, 2, 65_535);
  if (list === null || !data.isAtEnd) return null;
  const names: string[] = [];
  while (!list.isAtEnd) {
    const name = list.vector(1, 1, 255);
    if (name === null) return null;
    names.push(name.text());
  }
  return names;
}

/** RFC 8446 §4.2.1 */
function readVersions(data: Reader): number[] | null {
  const list = data.vector(1, 2, 254);
  if (list === null || !data.isAtEnd || list.left % 2 !== 0) return null;
  const versions: number[] = [];
  while (!list.isAtEnd) versions.push(list.number(2) as number);
  return versions;
}

/** Reads forward; once a read does not fit, it and every later one is `null`. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #failed = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return !this.#failed && this.#at === this.#bytes.length;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  take(length: number): Uint8Array | null {
    if (this.#failed || length > this.left) {
      this.#failed = true;
      return null;
    }
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** Big-endian, `size` bytes. */
  number(size: number): number | null {
    const bytes = this.take(size);
    return bytes === null ? null : bytes.reduce((value, byte) => value * 256 + byte, 0);
  }

  /** `opaque<least..most>` behind a length of `size` bytes (RFC 8446 §3.4). */
  vector(size: number, least: number, most: number): Reader | null {
    const length = this.number(size);
    if (length === null || length < least || length > most) {
      this.#failed = true;
      return null;
    }
    const bytes = this.take(length);
    return bytes === null ? null : new Reader(bytes);
  }

  text(): string {
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length).toString("latin1");
  }
}
