import type { ClientHttp2Stream, ClientSessionRequestOptions } from "node:http2";
import type { FieldList } from "./http2-head.ts";

/** What an HTTP/2 session does for each of its streams. */
export interface StreamOwner {
  readonly address: string;
  readonly scheme: "http" | "https";
  /** It takes requests. */
  readonly isUsable: boolean;
  /** The upstream takes an extended CONNECT (RFC 8441 §3). */
  readonly takesConnect: boolean;
  /** The connection is gone, or about to be. */
  readonly isLost: boolean;
  /** Streams above were not looked at by the upstream (GOAWAY). */
  readonly lastStreamId: number;
  open(fields: FieldList, options: ClientSessionRequestOptions): ClientHttp2Stream;
  /** Something of an answer came. */
  heard(nowMs: number): void;
  /** Something of a request was taken. */
  wrote(nowMs: number): void;
  /** Nothing came in time: perhaps the connection is dead. */
  suspect(): void;
  /** It is dead. */
  kill(): void;
  /** The stream's place is free. @param isReset it was ended before its time, from this side */
  left(isReset: boolean): void;
}
