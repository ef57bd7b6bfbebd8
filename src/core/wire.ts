import type { Denial } from "./denial.ts";
import type { Fields } from "./fields.ts";
import type { OutboundHead, Permit, Pinned } from "./exchange.ts";
import type { Authority } from "./authority.ts";
import type { ExchangeRecord, Outcome } from "./record.ts";
import type { Secret } from "./secret.ts";

/**
 * The shapes in which guest side, line and upstream side meet, free of any HTTP version: HTTP/1.1 fills them today, another
 * protocol joins the same line by filling them too. Bodies are slices of what arrived; back-pressure is a `false` and a drain.
 */

/** Length of a message body: bytes, `none`, or `stream` when only its end will tell. */
export type BodyLength = number | "none" | "stream";

/** An answer's head, hop-by-hop fields already cut. */
export interface AnswerHead {
  readonly status: number;
  reason: string;
  readonly fields: Fields;
  readonly length: BodyLength;
}

/** Takes a request body on its way out. */
export interface BodySink {
  bodyData(chunk: Buffer): void;
  /** The body is complete. */
  bodyEnd(trailers: Fields | null): void;
  /**
   * A segment was handed on: write what was gathered.
   * @returns `false` when the source must wait for `RequestBody.resume`
   */
  bodyFlush(): boolean;
  /** The body will never be complete: what was sent must not look whole. */
  bodyBroken(denial: Denial): void;
}

/** The guest's request body, delivered once and in order. */
export interface RequestBody {
  readonly length: BodyLength;
  readonly expectContinue: boolean;
  /** Begins to deliver to `sink`; what has arrived is handed over before this returns. */
  start(sink: BodySink): void;
  resume(): void;
  /** The exchange is over, wherever the body stands: what is held of it is given back. Left out: nothing is. */
  abandon?(): void;
}

/** A connection stripped of HTTP: bytes both ways, each direction closed on its own. */
export interface RawStream extends NodeJS.ReadWriteStream {
  readonly destroyed: boolean;
  /** The other side closed its sending side, and everything before that was read. */
  readonly readableEnded: boolean;
  /** `end` was called and everything before it was handed over. */
  readonly writableFinished: boolean;
  destroy(): unknown;
}

/** What proves a session: looked at again for every exchange. */
export interface SessionProof {
  readonly listener: string;
  /** Value of `Proxy-Authorization`, or `null`. It is never forwarded. A SOCKS user and password are here as `Basic`. */
  readonly proxyAuthorization: string | null;
  /** The guest's own certificate, or `null`: one that the listener did not verify is never here. */
  readonly clientCertificate: ClientCertificate | null;
}

/** A verified client certificate. */
export interface ClientCertificate {
  /** SHA-256 of its DER form, lower-case hex. */
  readonly sha256: string;
  /** Common name of its subject; `null` when there is none, or more than one. */
  readonly commonName: string | null;
  /** Subject alternative names with their type in front: `DNS:ci.test`, `URI:spiffe://test/ci`, `IP Address:10.0.0.7`. */
  readonly altNames: readonly string[];
}

export type Abort = Extract<Outcome, "guest_aborted" | "edge_aborted">;

/** Told of what the guest does while it is answered. No pair of callbacks: docs/decisions/0028-short-lives-die-young.md. */
export interface GuestWatcher {
  /** It has read: what waited can go on. */
  guestDrained(): void;
  /** The exchange ended early, see `aborted`. */
  guestAborted(): void;
}

/** One guest request and the way to answer it. */
export interface GuestExchange {
  readonly record: ExchangeRecord;
  readonly proof: SessionProof;
  readonly method: string;
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  /** Path and query as they were sent. */
  readonly target: string;
  /** End-to-end fields only; Host names the authority. */
  readonly fields: Fields;
  readonly body: RequestBody;
  /** `websocket` when the guest asks for that upgrade. */
  readonly upgrade: "websocket" | null;
  readonly wantsTrailers: boolean;
  /** What it carries is defined over HTTP/2 (gRPC): an upstream that speaks both is asked over HTTP/2. */
  readonly needsHttp2: boolean;
  /** The final head was written: what goes wrong now can only break the answer off. */
  readonly answered: boolean;
  /** Who ended it early: the guest went away, or the edge cut it off. `null` while it goes on. */
  readonly aborted: Abort | null;
  /** Whoever relays the answer. */
  watcher: GuestWatcher | null;

  /** A 1xx answer. */
  interim(head: AnswerHead): void;
  answer(head: AnswerHead): void;
  data(chunk: Buffer): void;
  end(trailers: Fields | null): void;
  /** Writes what was gathered since the last flush. @returns `false` when the upstream must wait for `guestDrained` */
  flush(): boolean;
  /**
   * The answer cannot be completed: the guest must see it broken.
   * @param resetCode HTTP/2 error code with which the upstream broke it off, or `null`
   */
  breakOff(resetCode: number | null): void;
  /**
   * The upstream reset the stream and has answered nothing: so does this, where the guest's HTTP can say it.
   * @param resetCode HTTP/2 error code
   * @returns `false` when it cannot: then it is refused
   */
  passReset(resetCode: number): boolean;
  /** Fixed text for the guest; only before `answer`. */
  refuse(denial: Denial): void;
  /** Answers 101 and hands the connection over. */
  switchProtocols(head: AnswerHead): RawStream;
}

/**
 * What is known of a request whose answer does not come. `untouched`: the upstream said (HTTP/2, RFC 9113 §8.7) that it did nothing
 * of it; `stale`: its connection was a reused one and closed before any answer byte; `perhaps_done` whenever anything of an answer
 * came, and otherwise.
 */
export type Standing = "untouched" | "stale" | "perhaps_done";

/** Takes an upstream answer. */
export interface AnswerSink {
  interim(head: AnswerHead): void;
  head(head: AnswerHead): void;
  data(chunk: Buffer): void;
  end(trailers: Fields | null): void;
  /** A segment was handed on. @returns `false` when the upstream must wait for `UpstreamChannel.resume` */
  flush(): boolean;
  /** 101: the connection is a raw stream from here on. */
  upgraded(head: AnswerHead, stream: RawStream): void;
  /**
   * No (further) answer comes.
   * @param resetCode HTTP/2 error code with which the upstream ended the stream, or `null`
   */
  failed(denial: Denial, standing: Standing, resetCode: number | null): void;
}

/** One upstream connection, or one stream of it, held for one exchange. */
export interface UpstreamChannel {
  /** Address that was dialled; through a parent, the parent's and what its CONNECT named. */
  readonly address: string;
  readonly reused: boolean;
  /** The upstream can say that it did nothing of what it was asked: what was sent of a body may be asked for again. */
  readonly tellsUntouched: boolean;
  /**
   * Sends the head and then the body; the answer goes to `sink`.
   * @returns `false` when the connection closed while it was held: nothing was sent, `sink` hears nothing
   * @throws Denial when nothing can be sent on it: `sink` hears nothing
   */
  send(head: OutboundHead, request: OutboundRequest, sink: AnswerSink): boolean;
  /** Reads on after `AnswerSink.flush` said `false`. */
  resume(): void;
  /** Ends the exchange now; the connection is not reused. */
  abort(): void;
  /** Gives the connection back; only when nothing was sent. */
  release(): void;
}

/** A request as it goes out, beside its head. What is attached to it may replace its body. */
export interface OutboundRequest {
  body: RequestBody;
  readonly upgrade: "websocket" | null;
  /**
   * Once the upgrade is answered: what the guest's stream is read and written through; `null` = as it is. One that ends the
   * stream tells why, for the account.
   */
  filter: ((guest: RawStream, refused: (denial: Denial) => void) => RawStream) | null;
  /** The guest said `TE: trailers`; said anew on this hop. */
  readonly wantsTrailers: boolean;
  /** Cuts what the guest must not say in its trailers. @throws Denial when they must not leave at all */
  cleanseTrailers(trailers: Fields): void;
}

/** A certificate that a connection presents. Connections that present one are used for no other. */
export interface ClientIdentity {
  /** Another one for every lease: what pools are told apart by. */
  readonly key: string;
  /** PEM, leaf first. */
  readonly chain: string;
  /** PEM. */
  readonly privateKey: Secret;
  /** When its lease was granted, monotonic ms: of two in one session the later one replaces the earlier. */
  readonly grantedAtMs: number;
  /** Whether its lease may still be used: nothing is opened with one that is dead, and nothing that it has opened is taken. */
  isLive(nowMs: number): boolean;
}

/** What an exchange asks of its upstream connection. */
export interface ConnectWant {
  /** Dial anew even when an idle connection is there. */
  readonly fresh: boolean;
  /** HTTP/2 where the upstream speaks it; else HTTP/1.1 is taken first, which costs less. */
  readonly http2: boolean;
  readonly identity: ClientIdentity | null;
}

/** Connections on pinned addresses, or through the parent of a destination: then the parent is what is dialled. */
export interface UpstreamPort {
  /**
   * A connection that is free comes back at once, a new one is dialled on the pinned address.
   * @throws Denial `upstream_unreachable`, `upstream_timeout`, `upstream_tls_invalid`, `upstream_protocol`; through a parent also
   *   those of its own address and lease; with an identity also `lease_unusable`, `LeaseGone`, `CertificateRefused`
   */
  connect(permit: Permit, pinned: Pinned, want: ConnectWant): UpstreamChannel | Promise<UpstreamChannel>;
  /** A raw connection for a pass-through tunnel: no TLS, no HTTP. */
  dialRaw(permit: Permit, pinned: Pinned): Promise<{ readonly stream: RawStream; readonly address: string }>;
}
