import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { FrameReader, headers, PREFACE, settings, TYPE } from "../../guest/support/h2-frames.ts";
import { openSecure } from "../../guest/support/h2-guest.ts";
import { makeCa } from "../../house/support/certificates.ts";
import {
  eventually,
  type Joined,
  type JoinedOptions,
  type Scripted,
  startJoined,
  startScripted,
} from "../../line/support/joined.ts";

export type Field = readonly [name: string, value: string];

/** More fields than any head may have. */
export const TOO_MANY: readonly Field[] = Array.from({ length: 400 }, (_, i): Field => [`x-${i}`, "a"]);

/** A guest that has agreed on HTTP/2 and writes frames by hand. */
export class Attacker {
  readonly socket: TLSSocket;
  readonly reader: FrameReader;

  /** @param preface `null`: nothing has been said yet */
  constructor(socket: TLSSocket, preface: Buffer | null = Buffer.concat([Buffer.from(PREFACE), settings()])) {
    this.socket = socket;
    this.reader = new FrameReader(socket);
    if (preface !== null) socket.write(preface);
  }

  send(...frames: readonly Uint8Array[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(frames));
  }

  /** Writes it again and again until the edge has ended the connection. */
  async flood(batch: Uint8Array): Promise<void> {
    // What is written to a socket that is destroyed fails within the turn, and its end would have none.
    while (!this.reader.closed && !this.socket.destroyed) {
      await new Promise((resolve) => this.socket.write(batch, resolve));
    }
    await this.ended();
  }

  /** Resolves when the edge has said something final about `stream`, or ended the connection. */
  async answered(stream: number): Promise<void> {
    const isOver = (): boolean =>
      this.reader.closed ||
      this.reader.codes().has(0) ||
      this.reader.of(TYPE.reset, stream).length > 0 ||
      this.reader.frames.some(
        ({ type, flags, stream: id }) => id === stream && type <= TYPE.headers && (flags & 1) === 1,
      );
    await eventually(isOver, `an answer on stream ${stream}`);
  }

  /** Resolves when the edge has ended the connection. */
  async ended(): Promise<void> {
    await eventually(() => this.reader.closed, "the end of the connection");
  }

  /** Text of the DATA frames of `stream`. */
  body(stream: number): string {
    return Buffer.concat(this.reader.of(TYPE.data, stream).map(({ payload }) => payload)).toString("latin1");
  }
}

/**
 * An edge, and an upstream that answers every complete request and keeps every byte: the canary. Whatever is tried, a last guest
 * is served afterwards, and nothing but its request has been heard upstream.
 */
export interface Target {
  readonly joined: Joined;
  readonly upstream: Scripted;
  readonly authority: string;
  attack(options?: { readonly servername?: string; readonly preface?: Buffer | null }): Promise<Attacker>;
  /** The fields of a good request. */
  request(path?: string, method?: string): Field[];
  /** What the upstream has heard since the last time, without what a last good guest said to it just now. */
  heard(): Promise<string>;
  close(): Promise<void>;
}

const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** @param serve by default every complete head is answered */
export async function startTarget(
  options: JoinedOptions = {},
  serve: Parameters<typeof startScripted>[0] = (socket, received) => {
    if (received.endsWith("\r\n\r\n")) socket.write(ANSWER);
  },
): Promise<Target> {
  const directory = await mkdtemp(join(tmpdir(), "postern-attack-"));
  const leaf = await (await makeCa(directory)).issue(["api.test"]);
  const upstream = await startScripted(serve);
  const joined = await startJoined({ leaf, ...options });
  const authority = `api.test:${upstream.port}`;
  const open = new Set<TLSSocket>();
  let heardBefore: readonly number[] = [];
  let markers = 0;
  const attack: Target["attack"] = async ({ servername, preface } = {}) => {
    const socket = await openSecure(joined.port, authority, ["h2"], servername);
    open.add(socket);
    return new Attacker(socket, preface);
  };
  const request = (path = "/", method = "GET"): Field[] => [
    [":method", method],
    [":scheme", "https"],
    [":path", path],
    [":authority", authority],
  ];
  return {
    joined,
    upstream,
    authority,
    attack,
    request,
    async heard() {
      const path = `/marker-${++markers}`;
      const guest = await attack();
      guest.send(headers(1, request(path)));
      await guest.answered(1);
      guest.socket.destroy();
      if (guest.body(1) !== "ok") throw new Error("the last guest was not served");
      const news = upstream.received.map((text, i) => text.slice(heardBefore[i] ?? 0));
      heardBefore = upstream.received.map((text) => text.length);
      return news.join("").replace(new RegExp(`GET ${path} HTTP/1\\.1\\r\\n.*?\\r\\n\\r\\n`, "s"), "");
    },
    async close() {
      for (const socket of open) socket.destroy();
      await joined.stop();
      await upstream.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
