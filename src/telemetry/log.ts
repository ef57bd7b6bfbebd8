import { openSync } from "node:fs";
import pino, { type Level, type Logger } from "pino";
import { JsonBytes } from "../core/json-bytes.ts";
import { isoTime } from "../core/record-json.ts";
import type { Clock } from "../core/clock.ts";
import type { LogSink } from "./account.ts";

export interface LogOptions {
  readonly level: Level | "silent";
  readonly clock: Clock;
  /** File descriptor, or path of a file that is appended to; default standard output. */
  readonly destination?: number | string;
  /** What every diagnostic line carries, such as the instance. */
  readonly base?: Readonly<Record<string, string>>;
}

/**
 * Lines of exchanges gather so long, or up to so many bytes, before the stream gets them as one piece: a write of its own for
 * each line would cost more than all else that is done for it.
 */
const GATHER_MS = 50;
const GATHER_BYTES = 128 * 1024;
/** Bytes that wait in the stream before a write, and how long. A crash loses them; the audit does not go through here. */
const MIN_WRITE_BYTES = 32 * 1024;
const MAX_WRITE_BYTES = 256 * 1024;
const FLUSH_MS = 200;
/** What may wait for a reader that is too slow; further lines are dropped and counted. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;
/** How long the end of the process waits for its last lines to be taken. */
const CLOSE_MS = 2000;

const HEAD = '{"level":"info",';
const REFUSED_HEAD = '{"level":"warn",';
const TAIL = ',"msg":"exchange"}\n';

/**
 * The log: `logger` for diagnostics, and one canonical line an exchange, both on one stream and in one shape. The line of an
 * exchange is made of members that `recordMembers` allows and nothing else: it does not pass through object serialisers,
 * which cost several microseconds and would print whatever an object holds.
 */
export class Log implements LogSink {
  readonly logger: Logger;
  readonly #stream: ByteStream;
  readonly #info: boolean;
  readonly #warn: boolean;
  readonly #gathered = new JsonBytes();
  #timer: NodeJS.Timeout | null = null;
  #dropped = 0;
  /** The last write failed: the disk is full, or the like. It is tried again with the next flush. */
  #failing = false;
  #closed = false;

  constructor({ level, clock, destination = 1, base = {} }: LogOptions) {
    this.#stream = pino.destination({
      // Opened here and now: a stream that is still opening could not be flushed when the start fails.
      dest: typeof destination === "string" ? openSync(destination, "a", 0o600) : destination,
      sync: false,
      minLength: MIN_WRITE_BYTES,
      maxWrite: MAX_WRITE_BYTES,
      maxLength: MAX_WAITING_BYTES,
      periodicFlush: FLUSH_MS,
      // Strings would be measured, and measured again, before they are turned into bytes.
      contentMode: "buffer",
    }) as unknown as ByteStream;
    this.#stream.on("drop", (bytes: Buffer) => (this.#dropped += linesIn(bytes)));
    // Without a listener a full disk under the log would end the edge, and the flush at its end, which knows no giving up, hang it.
    this.#stream.on("error", () => (this.#failing = true));
    this.#stream.on("write", () => (this.#failing = false));
    const flushSync = this.#stream.flushSync.bind(this.#stream);
    this.#stream.flushSync = () => {
      if (!this.#failing && !this.#closed) flushSync();
    };
    this.logger = pino(
      {
        level,
        base,
        timestamp: () => `,"time":"${isoTime(clock.wallMs())}"`,
        formatters: { level: (label) => ({ level: label }) },
      },
      { write: (text) => this.#give(Buffer.from(text)) },
    );
    this.#info = this.logger.isLevelEnabled("info");
    this.#warn = this.logger.isLevelEnabled("warn");
  }

  /** Level `info`; `warn` for a refusal, so that `log.level: warn` shows refusals alone. */
  exchange(members: JsonBytes, refused: boolean): void {
    if (refused ? !this.#warn : !this.#info) return;
    this.#gathered.raw(refused ? REFUSED_HEAD : HEAD);
    this.#gathered.append(members);
    this.#gathered.raw(TAIL);
    if (this.#gathered.length >= GATHER_BYTES) this.#hand();
    else this.#timer ??= setTimeout(() => this.#hand(), GATHER_MS);
  }

  #hand(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#gathered.length === 0) return;
    // The stream holds on to what it is given until it is written.
    const bytes = Buffer.from(this.#gathered.bytes);
    this.#gathered.cut(0);
    this.#give(bytes);
  }

  #give(bytes: Buffer): void {
    if (this.#closed) this.#dropped += linesIn(bytes);
    else this.#stream.write(bytes);
  }

  /** Lines that were dropped because nobody read them fast enough. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Writes what waits, before the process ends; a disk that is full or a reader that hangs does not keep it. */
  async close(): Promise<void> {
    this.#hand();
    this.#closed = true;
    if (!this.#failing) await this.#end();
    this.#stream.destroy();
  }

  #end(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, CLOSE_MS);
      const over = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.#stream.on("close", over);
      this.#stream.on("error", over);
      this.#stream.end();
    });
  }
}

/** `pino.destination` in content mode `buffer`, of which its types know nothing. */
interface ByteStream {
  write(bytes: Buffer): boolean;
  flushSync(): void;
  end(): void;
  destroy(): void;
  on(event: "drop", listener: (bytes: Buffer) => void): unknown;
  on(event: "error" | "write" | "close", listener: () => void): unknown;
}

function linesIn(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) lines++;
  return lines;
}

const LF = 10;
