import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What a test makes of the next answers. */
export type Mood = "well" | ((request: IncomingMessage, response: ServerResponse) => void);

export interface Answer {
  readonly status: number;
  readonly json?: unknown;
  /** In place of `json`. */
  readonly text?: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One secret that was issued, and what it was asked to be good for. */
export interface IssuedSecret {
  readonly secret: string;
  /** As the server understood it. */
  readonly asked: Readonly<Record<string, unknown>>;
}

const MOST_BODY_CHARS = 64 * 1024;
/** What issuers like to say: nothing of it may show anywhere. */
export const SAID = "said-by-the-issuer-5e1d";

/** An issuer on loopback that counts, remembers what it issued, and misbehaves when a test says so. */
export abstract class LoopbackIssuer {
  readonly issued: IssuedSecret[] = [];
  requests = 0;
  /** Life of what is issued, `s`. */
  expiresInS = 3600;
  mood: Mood = "well";
  readonly #server: Server = createServer();
  #origin = "";

  /** @throws nothing that a client could bring about: what is refused is an answer */
  protected abstract answer(request: IncomingMessage, body: string): Promise<Answer> | Answer;

  get origin(): string {
    return this.#origin;
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, "127.0.0.1", resolve);
    });
    this.#origin = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    this.#server.on("request", (request, response) => void this.#serve(request, response));
    return this;
  }

  isIssued(secret: string): boolean {
    return this.issued.some((one) => one.secret === secret);
  }

  /** Answers what a mood has kept for a while. */
  again(request: IncomingMessage, response: ServerResponse): void {
    void this.#answer(request, response);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++;
    if (this.mood === "well") await this.#answer(request, response);
    else this.mood(request, response);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const {
      status,
      json,
      text,
      type = "application/json",
      headers = {},
    } = await this.answer(request, await bodyOf(request));
    const body = text ?? (json === undefined ? "" : JSON.stringify(json));
    response.writeHead(status, { ...(body === "" ? {} : { "content-type": type }), ...headers });
    response.end(body);
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) {
    body += String(chunk);
    if (body.length > MOST_BODY_CHARS) throw new Error("a body of the test is too large");
  }
  return body;
}
