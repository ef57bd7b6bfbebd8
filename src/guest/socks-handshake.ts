import type { Authority } from "../core/authority.ts";
import {
  readConnect,
  readGreeting,
  readLogin,
  SOCKS_REPLY,
  type SocksFault,
  type SocksReply,
} from "./socks-grammar.ts";

/** What is to be done after a segment. */
export interface SocksStep {
  /** To be written now, Latin-1; "" for nothing. */
  readonly answer: string;
  readonly end: SocksEnd | null;
}

export type SocksEnd =
  | {
      readonly kind: "asked";
      readonly authority: Authority;
      /** `Basic ...` of user and password, or `null` when none were asked for. */
      readonly proof: string | null;
      /** What came after the request: the first bytes of the tunnel. */
      readonly rest: Buffer;
    }
  | { readonly kind: "refused"; readonly fault: string; readonly isUnsupported: boolean };

const NOTHING: Buffer = Buffer.alloc(0);
const NO_AUTHENTICATION = 0x00;
const USER_AND_PASSWORD = 0x02;
const LOGIN_TAKEN = "\x01\x00";
const LOGIN_REFUSED = "\x01\x01";
/** Also what a guest is told that is turned away unread. */
export const NO_METHOD = "\x05\xff";

/** RFC 1928 §6: the bound address would tell guests of the edge's own network, so it is all zeros. */
export function socksReply(code: SocksReply): string {
  return `\x05${String.fromCharCode(code)}\0\x01\0\0\0\0\0\0`;
}

export const SOCKS_ESTABLISHED = socksReply(SOCKS_REPLY.succeeded);

/**
 * The handshake of one SOCKS5 connection, without its socket: takes segments as they come, however they were cut. What a guest
 * sends ahead of an answer is kept; at most one message is held that is not whole (513 bytes).
 *
 * A guest that offers user and password is asked for them: they are its proof, and whether one is needed is a question for the
 * session, which is asked with the request.
 */
export class SocksHandshake {
  #stage: "greeting" | "login" | "request" | "over" = "greeting";
  #bytes = NOTHING;
  #proof: string | null = null;

  /** Nothing has come yet. */
  get isFresh(): boolean {
    return this.#stage === "greeting" && this.#bytes.length === 0;
  }

  take(segment: Buffer): SocksStep {
    this.#bytes = this.#bytes.length === 0 ? segment : Buffer.concat([this.#bytes, segment]);
    let answer = "";
    for (;;) {
      const step = this.#step();
      if (step === null) return { answer, end: null };
      answer += step.answer;
      if (step.end !== null) {
        this.#stage = "over";
        // A tunnel may live for hours.
        this.#bytes = NOTHING;
        return { answer, end: step.end };
      }
    }
  }

  #step(): SocksStep | null {
    switch (this.#stage) {
      case "greeting":
        return this.#greeting();
      case "login":
        return this.#login();
      case "request":
        return this.#request();
      case "over":
        return null;
    }
  }

  #greeting(): SocksStep | null {
    const greeting = readGreeting(this.#bytes);
    if (greeting === null) return null;
    // Something else than SOCKS5 would not understand an answer.
    if ("fault" in greeting) return refused(greeting, "");
    const { methods } = greeting;
    const method = [USER_AND_PASSWORD, NO_AUTHENTICATION].find((known) => methods.includes(known));
    if (method === undefined) {
      const fault = "offers neither user and password nor no authentication";
      return { answer: NO_METHOD, end: { kind: "refused", fault, isUnsupported: true } };
    }
    this.#past(greeting.bytes, method === USER_AND_PASSWORD ? "login" : "request");
    return { answer: `\x05${String.fromCharCode(method)}`, end: null };
  }

  #login(): SocksStep | null {
    const login = readLogin(this.#bytes);
    if (login === null) return null;
    if ("fault" in login) return refused(login, LOGIN_REFUSED);
    this.#proof = `Basic ${login.userAndPassword.toString("base64")}`;
    this.#past(login.bytes, "request");
    return { answer: LOGIN_TAKEN, end: null };
  }

  #request(): SocksStep | null {
    const wish = readConnect(this.#bytes);
    if (wish === null) return null;
    if ("fault" in wish) return refused(wish, socksReply(wish.code));
    const rest = this.#bytes.subarray(wish.bytes);
    return { answer: "", end: { kind: "asked", authority: wish.authority, proof: this.#proof, rest } };
  }

  #past(bytes: number, next: "login" | "request"): void {
    this.#bytes = this.#bytes.subarray(bytes);
    this.#stage = next;
  }
}

function refused({ fault, isUnsupported }: SocksFault, answer: string): SocksStep {
  return { answer, end: { kind: "refused", fault, isUnsupported } };
}
