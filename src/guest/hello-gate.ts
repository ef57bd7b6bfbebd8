import type { Authority } from "../core/authority.ts";
import { Denial } from "../core/denial.ts";
import type { ExchangeRecord } from "../core/record.ts";
import type { RawStream } from "../core/wire.ts";
import { type ClientHello, parseClientHello } from "./client-hello.ts";
import { type Cut, type Found, gather } from "./gather.ts";
import { type ServerAnswer, ServerAnswerReader } from "./server-answer.ts";

/**
 * Lets a pass-through tunnel begin only with TLS hellos that name the tunnel's authority. A server that speaks TLS 1.3 may ask
 * for a second hello (HelloRetryRequest, RFC 8446 §4.1.4), and many take the name of that one: until it is known whether it
 * does, nothing further of the guest goes on, which has nothing to say before (early data is refused). The second hello is held to
 * what the first was; there is no third. What passed meanwhile is counted in the record; the rest is left in the streams, byte
 * for byte.
 *
 * How long the server may take is watched where the tunnel came in: its silence and its life are bounded.
 * @param guest paused
 * @param upstream of which nothing was read yet
 * @param timeoutMs for each of the hellos
 * @throws Denial `request_timeout`, `tunnel_unsupported`, `sni_missing`, `sni_mismatch`, `ech_refused`,
 *   `early_data_refused`; before a byte of the hello that it is about went on
 */
export async function passHellos(
  guest: RawStream,
  upstream: RawStream,
  authority: Authority,
  record: ExchangeRecord,
  timeoutMs: number,
): Promise<void> {
  const first = await gather(guest, timeoutMs, (bytes) => readFirst(bytes, authority), cutShort);
  // Nothing follows in the clear: all of it is still in the socket.
  if (first === null) return;
  record.bytesFromGuest += first.length;
  upstream.write(first);
  if ((await serverAnswer(guest, upstream, record)) === "other") return;
  // What asks for the second hello may come in pieces, and the guest says nothing before it has all of them.
  const stops = [handOn(guest, upstream, record), whenOver([upstream], () => guest.end())];
  try {
    await gather(guest, timeoutMs, (bytes) => readSecond(bytes, authority), cutShort);
  } finally {
    for (const stop of stops) stop();
  }
}

/** @returns the hello, taken out of the stream, where a second one may follow it */
function readFirst(bytes: Buffer, authority: Authority): Found<Buffer | null> | null {
  const hello = helloIn(bytes, authority);
  if (hello === null) return null;
  if (!hello.mayBeRetried) return { answer: null, rest: bytes };
  return { answer: bytes.subarray(0, hello.bytes), rest: bytes.subarray(hello.bytes) };
}

/** All of it stays in the stream. */
function readSecond(bytes: Buffer, authority: Authority): Found<null> | null {
  const hello = helloIn(bytes.subarray(dummyBytes(bytes)), authority);
  return hello === null ? null : { answer: null, rest: bytes };
}

const DUMMY_BYTES = 6;

/**
 * Clients write one record of type change_cipher_spec before their second hello, which servers drop (RFC 8446 §5, appendix D.4).
 * @returns its length, as far as it has come; 0 for anything else
 */
function dummyBytes(bytes: Buffer): number {
  const isDummy = [0x14, 3, null, 0, 1, 1].every(
    (byte, at) => at >= bytes.length || byte === null || byte === bytes[at],
  );
  return isDummy ? Math.min(bytes.length, DUMMY_BYTES) : 0;
}

/** @returns `null` while it is not whole */
function helloIn(bytes: Buffer, authority: Authority): ClientHello | null {
  const hello = parseClientHello(bytes);
  if (hello === "need more") return null;
  if (hello === "not a client hello") throw new Denial("tunnel_unsupported", { cause: "not a TLS hello" });
  if (hello.hasEch) throw new Denial("ech_refused");
  if (hello.serverName === null) {
    if (authority.ip === null) throw new Denial("sni_missing");
  } else if (hello.serverName !== authority.host) throw new Denial("sni_mismatch");
  // RFC 8446 §8: it has no protection against replay, and whether the server adds one cannot be seen from here.
  if (hello.hasEarlyData) throw new Denial("early_data_refused");
  return hello;
}

function cutShort(cut: Cut): never {
  if (cut === "late") throw new Denial("request_timeout", { cause: "no TLS hello in time" });
  throw new Denial("tunnel_unsupported", { cause: "closed before the TLS hello was whole" });
}

/** Hands the guest what the server says. @param heard told of it as well @returns stops that */
function handOn(
  guest: RawStream,
  upstream: RawStream,
  record: ExchangeRecord,
  heard: (segment: Buffer) => void = () => undefined,
): () => void {
  const onData = (segment: Buffer): void => {
    record.bytesToGuest += segment.length;
    if (!guest.write(segment)) upstream.pause();
    heard(segment);
  };
  const onDrain = (): void => void upstream.resume();
  upstream.on("data", onData);
  guest.on("drain", onDrain);
  upstream.resume();
  return () => {
    upstream.pause();
    upstream.off("data", onData);
    guest.off("drain", onDrain);
  };
}

/** Tells when one of the sides has nothing more to say; at once where it has not. @returns stops that */
function whenOver(sides: readonly RawStream[], onOver: () => void): () => void {
  for (const side of sides) {
    side.on("end", onOver);
    side.on("close", onOver);
  }
  // What happened before is told by no event any more.
  if (sides.some((side) => side.readableEnded || side.destroyed)) onOver();
  return () => {
    for (const side of sides) {
      side.off("end", onOver);
      side.off("close", onOver);
    }
  };
}

/**
 * Hands the guest what the server says until that tells how it answers. When either side has nothing more to say there is nothing
 * more to hold.
 */
async function serverAnswer(guest: RawStream, upstream: RawStream, record: ExchangeRecord): Promise<ServerAnswer> {
  const reader = new ServerAnswerReader();
  const { promise, resolve } = Promise.withResolvers<ServerAnswer>();
  const stops = [
    handOn(guest, upstream, record, (segment) => {
      const answer = reader.take(segment);
      if (answer === null) return;
      // Whoever comes next reads what follows.
      upstream.pause();
      resolve(answer);
    }),
    whenOver([guest, upstream], () => resolve("other")),
  ];
  const answer = await promise;
  for (const stop of stops) stop();
  return answer;
}
