import type { Socket } from "node:net";
import { Denial } from "../core/denial.ts";
import { type OutboundHead } from "../core/exchange.ts";
import { Http1Error } from "../http1/grammar.ts";
import { type HeadLimits, scanResponseHead } from "../http1/head.ts";
import { requestHeadText } from "../http1/writer.ts";

export interface ConnectLimits extends HeadLimits {
  /** 1xx answers before the final one. */
  readonly interimResponses: number;
}

/** What a parent said to a CONNECT. */
export interface ConnectAnswer {
  readonly status: number;
  /** Bytes that came behind the head: of a 2xx they are the tunnel's. */
  readonly rest: Buffer;
}

/** A parent has little to say: whatever a config lets an upstream's head have, its own is no larger than this, bytes. */
const MOST_HEAD_BYTES = 16_384;

/**
 * Sends a CONNECT and reads its answer. A 2xx has no body, whatever its fields say (RFC 9110 §9.3.6): nothing but its status is
 * looked at. The reason phrase and the fields are the parent's to choose, and go nowhere.
 * @param socket connected to the parent; afterwards nobody reads it and it is paused
 * @param head `target` is what the parent is to connect to; with its own authorization, where it wants one
 * @throws Denial `upstream_unreachable`, `upstream_timeout`, `upstream_protocol`; the socket is destroyed then
 */
export function connectThrough(
  socket: Socket,
  head: OutboundHead,
  limits: ConnectLimits,
  timeoutMs: number,
): Promise<ConnectAnswer> {
  const answer = Promise.withResolvers<ConnectAnswer>();
  const reader = new ConnectReader(limits);
  const settle = (): void => {
    clearTimeout(timer);
    socket.off("data", onData);
    socket.off("end", onEnd);
    socket.off("error", onError);
    socket.off("close", onClose);
  };
  const fail = (denial: Denial): void => {
    settle();
    socket.destroy();
    answer.reject(denial);
  };
  const onData = (segment: Buffer): void => {
    try {
      const read = reader.push(segment);
      if (read === null) return;
      settle();
      socket.pause();
      answer.resolve(read);
    } catch (thrown) {
      fail(thrown instanceof Http1Error ? new Denial("upstream_protocol", { cause: thrown }) : Denial.from(thrown));
    }
  };
  const unreachable = (cause: unknown): void => fail(new Denial("upstream_unreachable", { cause }));
  const onEnd = (): void => unreachable("it closed before it had answered CONNECT");
  const onError = (error: Error): void => unreachable(error);
  const onClose = onEnd;
  const timer = setTimeout(
    () => fail(new Denial("upstream_timeout", { cause: "it did not answer CONNECT in time" })),
    timeoutMs,
  );
  socket.on("data", onData);
  socket.on("end", onEnd);
  socket.on("error", onError);
  socket.on("close", onClose);
  // Gone while a lease was waited for: nothing would tell any more.
  if (socket.destroyed) onClose();
  else socket.write(requestHeadText(head.method, head.target, head.fields, ""), "latin1");
  return answer.promise;
}

/** Takes the answer to one CONNECT apart. */
class ConnectReader {
  readonly #limits: ConnectLimits;
  #pending: Buffer | null = null;
  #interims = 0;

  constructor(limits: ConnectLimits) {
    this.#limits = { ...limits, headBytes: Math.min(limits.headBytes, MOST_HEAD_BYTES) };
  }

  /** @returns `null` while there is no final answer yet. @throws Http1Error */
  push(segment: Buffer): ConnectAnswer | null {
    let rest = this.#pending === null ? segment : Buffer.concat([this.#pending, segment]);
    this.#pending = null;
    for (;;) {
      const head = scanResponseHead(rest, this.#limits);
      if (head === null) {
        this.#pending = rest;
        return null;
      }
      rest = rest.subarray(head.bytes);
      if (head.status >= 200) return { status: head.status, rest };
      // RFC 9110 §15.2.2: nobody asked for another protocol.
      if (head.status === 101) throw new Http1Error("upgrade");
      if (++this.#interims > this.#limits.interimResponses) throw new Http1Error("interim_count");
    }
  }
}
