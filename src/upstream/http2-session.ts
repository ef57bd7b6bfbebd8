import type { ClientHttp2Session, ClientHttp2Stream, ClientSessionRequestOptions } from "node:http2";
import type { Socket } from "node:net";
import type { Deadlined } from "../core/deadline.ts";
import { Denial } from "../core/denial.ts";
import type { Seat } from "../core/roster.ts";
import type { ConnectionContext } from "./connection.ts";
import type { Dialled } from "./dial.ts";
import { Http2Channel } from "./http2-channel.ts";
import type { FieldList } from "./http2-head.ts";
import { http2 } from "../http2/module.ts";
import { endSession, endSessionOutside, endStreamOutside, isEnded, outside } from "../http2/outside.ts";
import { sessionOptions, SESSION_WINDOW_BYTES } from "./http2-options.ts";
import { lostDenial } from "./http2-stream-end.ts";
import type { StreamOwner } from "./stream-owner.ts";

/** How long an ended session may take to say goodbye, `ms`. */
const GOODBYE_MS = 1000;
/** Streams of one session at once, whatever the upstream would take. */
const MOST_STREAMS = 100;
/**
 * Resets by this side, after which a session takes no new streams. Guests that give up share it with others, and upstreams end
 * sessions that reset a lot (CVE-2023-44487): a new one starts from nothing.
 */
const MOST_RESETS = 200;
/** gRPC servers end sessions that ask more often than every five minutes, `ms`, and have asked thus three times in one silence. */
const PING_EVERY_MS = 300_000;
const MOST_PINGS = 2;
/** Times of connecting that the answer may take: a PING stands in line behind the bodies that are being sent. */
const PING_PATIENCE = 3;
/** Stream ids are used up after 2^30 requests. */
const MOST_EXCHANGES = 2 ** 29;

export interface SessionContext extends Pick<ConnectionContext, "clock" | "sweep" | "timeouts" | "limits"> {
  readonly scheme: "http" | "https";
  /** A place is free, or no place will be: whoever waits should look again. */
  onChange(session: Http2Session): void;
  /** The connection is gone. */
  onClosed(session: Http2Session): void;
}

/** One HTTP/2 connection to an upstream, for many exchanges at once. */
export class Http2Session implements StreamOwner, Deadlined {
  readonly address: string;
  readonly scheme: "http" | "https";
  deadlineMs = Number.POSITIVE_INFINITY;
  lastStreamId = Number.POSITIVE_INFINITY;
  readonly #socket: Socket;
  readonly #session: ClientHttp2Session;
  readonly #context: SessionContext;
  readonly #ready: Promise<void>;
  readonly #seat: Seat;
  #streams = 0;
  #exchanges = 0;
  #resets = 0;
  #maxStreams = 0;
  #retired = false;
  #finishing = false;
  #closed = false;
  /** When something of an answer came last; monotonic ms, as the next three. */
  #heardMs = 0;
  #pingedMs = Number.NEGATIVE_INFINITY;
  #pingAnsweredMs = 0;
  /** Since when something should be heard. */
  #watchedMs = 0;
  #isPinging = false;
  /** Since something of an answer came. */
  #pings = 0;

  /** @throws Denial when the connection went away meanwhile */
  constructor({ socket, address }: Dialled, context: SessionContext) {
    this.address = address;
    this.scheme = context.scheme;
    this.#socket = socket;
    this.#context = context;
    if (socket.destroyed || !socket.writable || socket.readableEnded)
      throw new Denial("upstream_unreachable", { cause: "the connection closed before it was used" });
    this.#session = http2().connect(`${context.scheme}://upstream.invalid`, {
      ...sessionOptions(context.limits),
      createConnection: () => socket,
    });
    endSessionOutside(this.#session, this.#socket);
    this.#session.setLocalWindowSize(SESSION_WINDOW_BYTES);
    this.#session.on("goaway", (_code, lastStreamId) => {
      this.lastStreamId = Math.min(this.lastStreamId, lastStreamId);
      this.#retire();
    });
    this.#session.on("frameError", () => this.#retire());
    // No half-closed HTTP/2: an upstream that says nothing more has nothing more to answer.
    socket.on("end", () => socket.destroy());
    // After an alert Node waits for an end of the connection that it does not bring about.
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#onClosed());
    this.#seat = context.sweep.add(this);
    this.#ready = this.#settings();
  }

  /**
   * Resolves once the upstream's SETTINGS are there: that it speaks HTTP/2 is known before a request, or a credential, is sent.
   * @throws Denial `upstream_protocol`, `upstream_unreachable`, `upstream_timeout`
   */
  ready(): Promise<void> {
    return this.#ready;
  }

  #settings(): Promise<void> {
    return new Promise((resolve, reject) => {
      let error: Error | null = null;
      const timer = setTimeout(() => {
        reject(new Denial("upstream_timeout", { cause: "no HTTP/2 SETTINGS came in time" }));
        this.end();
      }, this.#context.timeouts.upstreamConnectMs);
      this.#session.on("error", (thrown) => {
        error = thrown;
      });
      this.#session.on("close", () => {
        clearTimeout(timer);
        reject(lostDenial(error));
      });
      this.#session.on("remoteSettings", (settings) => {
        clearTimeout(timer);
        this.#maxStreams = Math.min(settings.maxConcurrentStreams ?? MOST_STREAMS, MOST_STREAMS);
        resolve();
        this.#context.onChange(this);
      });
    });
  }

  get isUsable(): boolean {
    // A stream beyond what the upstream takes by now would wait inside nghttp2, and its credential could outlive its lease there.
    return this.#streams <= this.#maxStreams && this.#isOpen;
  }

  get #isOpen(): boolean {
    return !this.#retired && !this.#session.closed && !isEnded(this.#session) && !this.#socket.destroyed;
  }

  /** It ends with the last of its exchanges. */
  get isLeaving(): boolean {
    return !this.#isOpen || this.#finishing;
  }

  get isLost(): boolean {
    return isEnded(this.#session) || this.#socket.destroyed;
  }

  get takesConnect(): boolean {
    return this.#session.remoteSettings.enableConnectProtocol === true;
  }

  /** It carries no exchange. */
  get isIdle(): boolean {
    return this.#streams === 0;
  }

  /** Places for further streams. */
  get room(): number {
    return this.isUsable && !this.#finishing ? this.#maxStreams - this.#streams : 0;
  }

  /** Takes a place; only where there is room. */
  hold(): Http2Channel {
    this.#watch(this.#streams++ === 0);
    this.#exchanges++;
    this.#socket.ref();
    if (this.#exchanges > MOST_EXCHANGES) this.#retired = true;
    return new Http2Channel(this, this.#exchanges > 1, this.#context);
  }

  open(fields: FieldList, options: ClientSessionRequestOptions): ClientHttp2Stream {
    const stream = this.#session.request(fields, options);
    endStreamOutside(stream);
    return stream;
  }

  left(isReset: boolean): void {
    this.#streams--;
    if (isReset && ++this.#resets > MOST_RESETS) this.#retired = true;
    if (this.#streams === 0) this.#idle();
    this.#context.onChange(this);
  }

  heard(nowMs: number): void {
    this.#heardMs = nowMs;
    this.#pings = 0;
  }

  /** The upstream is there; but what it counts its PINGs by is what it says itself. */
  wrote(nowMs: number): void {
    this.#heardMs = nowMs;
  }

  suspect(): void {
    this.#retire();
  }

  kill(): void {
    this.end();
    outside(() => this.#socket.destroy());
  }

  /** Takes no further exchange; those that have a place go on, and then it ends. */
  finish(): void {
    this.#finishing = true;
    if (this.#streams === 0) this.end();
    this.#context.onChange(this);
  }

  /** Ends the session and whatever runs on it. */
  end(): void {
    this.#retired = true;
    endSession(this.#session, this.#streams > 0);
    if (!this.#closed) this.deadlineMs = this.#context.clock.monotonicMs() + GOODBYE_MS;
  }

  onDeadline(nowMs: number): void {
    // An upstream that takes nothing more cannot be told goodbye.
    if (isEnded(this.#session)) this.#socket.destroy();
    else if (this.#streams === 0) this.end();
    else this.#lookAlive(nowMs);
  }

  /** From here on something should be heard: a connection can be dead without a word, and many wait on it. */
  #watch(anew: boolean): void {
    if (this.#isSeenAlive) this.#watchedMs = this.#context.clock.monotonicMs();
    if (anew || this.deadlineMs === Number.POSITIVE_INFINITY) this.deadlineMs = this.#watchEndMs;
  }

  get #isSeenAlive(): boolean {
    return Math.max(this.#heardMs, this.#pingAnsweredMs) >= this.#watchedMs;
  }

  get #watchEndMs(): number {
    return this.#watchedMs + this.#context.timeouts.upstreamConnectMs;
  }

  /** As long as nothing of an answer comes, PING tells a slow upstream from a dead connection. */
  #lookAlive(nowMs: number): void {
    if (this.#isSeenAlive) {
      this.deadlineMs = Number.POSITIVE_INFINITY;
      return;
    }
    if (this.#isPinging) {
      this.kill();
      return;
    }
    if (nowMs < this.#watchEndMs) {
      this.deadlineMs = this.#watchEndMs;
      return;
    }
    if (nowMs - this.#pingedMs >= PING_EVERY_MS) this.#pings = 0;
    if (this.#pings >= MOST_PINGS) {
      // What waits is bounded by its own time; nobody else is to wait with it.
      this.deadlineMs = Number.POSITIVE_INFINITY;
      this.#retire();
      return;
    }
    this.#isPinging = true;
    this.#pings++;
    this.#pingedMs = nowMs;
    this.deadlineMs = nowMs + PING_PATIENCE * this.#context.timeouts.upstreamConnectMs;
    this.#session.ping((error) => {
      this.#isPinging = false;
      if (error !== null) return;
      this.#pingAnsweredMs = this.#context.clock.monotonicMs();
      if (this.#streams > 0) this.deadlineMs = Number.POSITIVE_INFINITY;
    });
  }

  /** Idle: it ends when its time is up, and keeps no process alive until then. */
  #idle(): void {
    const { upstreamKeepaliveMs } = this.#context.timeouts;
    // Whoever waited has given up, and nobody knows whether it is alive.
    if (this.#isPinging && !this.#isSeenAlive) this.#retired = true;
    this.#isPinging = false;
    this.#watchedMs = 0;
    this.#socket.unref();
    if (this.#retired || this.#finishing || isEnded(this.#session) || upstreamKeepaliveMs === 0) this.end();
    else this.deadlineMs = this.#context.clock.monotonicMs() + upstreamKeepaliveMs;
  }

  /** No new streams; those that run may end. */
  #retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    if (this.#streams === 0) this.end();
    this.#context.onChange(this);
  }

  #onClosed(): void {
    this.#closed = true;
    this.#retired = true;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#context.sweep.delete(this.#seat);
    this.#context.onClosed(this);
  }
}
