import type { Socket } from "node:net";
import { JSON_BODY } from "../wire/fixtures.ts";
import { MessageReader } from "../wire/message-reader.ts";
import type { Route } from "./route.ts";

const CLOSE_GRACE_MS = 1000;
const NOTHING = Buffer.alloc(0);

/** One connection that makes requests one after the other, and holds every answer to what the upstream is known to say. */
export class Caller {
  readonly socket: Socket;
  readonly #reader: MessageReader;
  #received = 0;
  #expected: "json" | "bulk" = "json";
  #onAnswer: (bodyBytes: number) => void = () => undefined;
  #onFailure: (error: Error) => void = () => undefined;
  #isClosing = false;

  constructor(socket: Socket) {
    this.socket = socket;
    this.#reader = new MessageReader({
      head: (head) => {
        if (!head.startsWith("HTTP/1.1 200 ")) throw new Error(`answer: ${head.slice(0, head.indexOf("\r\n"))}`);
        this.#received = 0;
      },
      body: (chunk, start, end) => {
        if (this.#expected === "json") this.#compare(chunk, start, end);
        this.#received += end - start;
      },
      end: () => {
        if (this.#expected === "json" && this.#received !== JSON_BODY.length)
          throw new Error(`answer has ${this.#received} bytes instead of ${JSON_BODY.length}`);
        this.#onAnswer(this.#received);
      },
    });
    socket.on("data", (chunk: Buffer) => {
      try {
        this.#reader.push(chunk);
      } catch (error) {
        this.#fail(error as Error);
      }
    });
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the connection was closed before the answer was complete")));
  }

  /** Registers who hears of each complete answer, and of the first failure. The callback may `send` the next request. */
  listen(onAnswer: (bodyBytes: number) => void, onFailure: (error: Error) => void): void {
    this.#onAnswer = onAnswer;
    this.#onFailure = onFailure;
  }

  send(request: Buffer): void {
    this.#expected = "json";
    this.socket.write(request);
  }

  /** One request, one answer. @returns body bytes */
  ask(request: Buffer, expected: "json" | "bulk" = "json"): Promise<number> {
    return new Promise((resolve, reject) => {
      this.listen(resolve, reject);
      this.#expected = expected;
      this.socket.write(request);
    });
  }

  /** Sends a request whose body is `block` over and over, `bytes` long, and then `end`. @returns when the answer is complete */
  upload(head: Buffer, block: Buffer, bytes: number, end: Buffer = NOTHING): Promise<void> {
    let left = bytes;
    return new Promise((resolve, reject) => {
      this.listen(() => resolve(), reject);
      this.#expected = "json";
      this.socket.write(head);
      const pump = (): void => {
        while (left > 0) {
          const part = left >= block.length ? block : block.subarray(0, left);
          left -= part.length;
          if (!this.socket.write(part)) {
            if (left > 0 || end.length > 0) this.socket.once("drain", pump);
            return;
          }
        }
        if (end.length > 0) this.socket.write(end);
      };
      pump();
    });
  }

  /** Hangs up as a well-behaved client does: close_notify and FIN. One that does not answer that is cut off. */
  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.socket.end();
    const cut = setTimeout(() => this.socket.destroy(), CLOSE_GRACE_MS);
    this.socket.once("close", () => clearTimeout(cut));
  }

  #compare(chunk: Buffer, start: number, end: number): void {
    const from = this.#received;
    if (
      from + (end - start) > JSON_BODY.length ||
      chunk.compare(JSON_BODY, from, from + (end - start), start, end) !== 0
    )
      throw new Error("answer differs from what the upstream sent");
  }

  #fail(error: Error): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.socket.destroy();
    this.#onFailure(error);
  }
}

/** The bytes of a request as a guest would send it. `plain` asks for absolute-form where a forward proxy is in between. */
export function requestBytes(route: Route, host: string, shape: RequestShape = {}): Buffer {
  const { method = "GET", path = "/json", plain = false, authorization = route.authorization, body = "" } = shape;
  const { fields = [], contentLength = body === "" ? undefined : body.length } = shape;
  const port = plain ? route.upstream.plainPort : route.upstream.tlsPort;
  const target = plain && route.kind === "forward" ? `http://${host}:${port}${path}` : path;
  const length = contentLength === undefined ? [] : [`Content-Length: ${contentLength}`];
  const further = [...fields, ...length].map((line) => `${line}\r\n`).join("");
  return Buffer.from(
    `${method} ${target} HTTP/1.1\r\nHost: ${host}:${port}\r\nUser-Agent: postern-bench/1\r\nAccept: */*\r\n` +
      `Accept-Encoding: identity\r\nAuthorization: ${authorization}\r\n${further}\r\n${body}`,
    "latin1",
  );
}

export interface RequestShape {
  readonly method?: "GET" | "POST" | "PUT";
  readonly path?: string;
  readonly plain?: boolean;
  /** Left out: what `body` has. */
  readonly contentLength?: number;
  /** Left out: the guest's usual stand-in. */
  readonly authorization?: string;
  /** Further lines of the head. */
  readonly fields?: readonly string[];
  /** Latin-1. */
  readonly body?: string;
}
