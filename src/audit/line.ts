import { hash } from "node:crypto";
import { JsonBytes } from "../core/json-bytes.ts";
import type { PrivilegedType } from "./privileged.ts";

/**
 * One line of the audit file: `{"seq":N,"prev":"<hash>","type":"...",<members>,"hash":"<hash>"}` and LF. `hash` is the
 * SHA-256 of a domain tag and the very bytes of the line before `,"hash":`, so that checking needs no parsing and no
 * re-serialising: there is no second spelling of a record. `prev` is the hash of the line before, also across files.
 */
export const DOMAIN_TAG = "postern-audit-v1\n";

/** `prev` of the first record of all. */
export const GENESIS = "0".repeat(64);

/** No line is longer, in bytes: every string in it is bounded. A longer one was not written by this project. */
export const MAX_LINE_BYTES = 256 * 1024;

const TAIL_BYTES = ',"hash":"'.length + 64 + '"}\n'.length;

/**
 * `header` begins a file, `resume` a further run in the same file, `rotated` and `shutdown` end them; `lost` counts records
 * that the disk was too slow for; `intent` precedes an exchange in strict mode, `exchange` tells what became of one.
 */
export type AuditRecordType =
  | "header"
  | "resume"
  | "rotated"
  | "shutdown"
  | "lost"
  | "intent"
  | "exchange"
  | PrivilegedType;

export interface SealedLine {
  /** The line with LF, pure ASCII. A view on a buffer that the next sealing writes over: copy what is to be kept. */
  readonly line: Buffer;
  readonly hash: string;
}

/** `"name":value,...` without braces; ASCII only. */
export type Members = string | JsonBytes;

/** The domain tag, and behind it the line that is being sealed: what is hashed lies in one piece. */
const sealing = new JsonBytes();
sealing.raw(DOMAIN_TAG);

export function sealLine(seq: number, prev: string, type: AuditRecordType, members: Members): SealedLine {
  sealing.cut(DOMAIN_TAG.length);
  sealing.raw('{"seq":');
  sealing.whole(seq);
  sealing.raw(',"prev":"');
  sealing.raw(prev);
  sealing.raw('","type":"');
  sealing.raw(type);
  sealing.raw('",');
  if (typeof members === "string") sealing.raw(members);
  else sealing.append(members);
  const digest = hash("sha256", sealing.bytes);
  sealing.raw(',"hash":"');
  sealing.raw(digest);
  sealing.raw('"}\n');
  return { line: sealing.bytes.subarray(DOMAIN_TAG.length), hash: digest };
}

export interface ReadLine {
  readonly seq: number;
  readonly prev: string;
  readonly type: string;
  readonly hash: string;
  /** Whether the stored hash is the hash of the stored bytes. */
  readonly intact: boolean;
}

const HEAD = /^\{"seq":([1-9][0-9]{0,15}),"prev":"([0-9a-f]{64})","type":"([a-z][a-z_.]{0,63})",/;
const TAIL = /^,"hash":"([0-9a-f]{64})"\}\n$/;

/**
 * Reads the frame of a stored line; what stands between is covered by the hash and not interpreted.
 * @param bytes one line with its LF
 * @returns `null` when it is not framed as a record
 */
export function readLine(bytes: Buffer): ReadLine | null {
  const cut = bytes.length - TAIL_BYTES;
  if (cut <= 0 || bytes.length > MAX_LINE_BYTES) return null;
  const tail = TAIL.exec(bytes.toString("latin1", cut));
  const head = HEAD.exec(bytes.toString("latin1", 0, Math.min(cut, 256)));
  if (tail === null || head === null) return null;
  const stored = tail[1] as string;
  const tagged = Buffer.allocUnsafe(DOMAIN_TAG.length + cut);
  tagged.write(DOMAIN_TAG, 0, "latin1");
  bytes.copy(tagged, DOMAIN_TAG.length, 0, cut);
  return {
    seq: Number(head[1]),
    prev: head[2] as string,
    type: head[3] as string,
    hash: stored,
    intact: hash("sha256", tagged) === stored,
  };
}

/** The members of an intact line as values. @throws SyntaxError when the line is not JSON */
export function parseLine(bytes: Buffer): Record<string, unknown> {
  return JSON.parse(bytes.toString("latin1")) as Record<string, unknown>;
}
