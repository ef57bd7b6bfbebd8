import { setTimeout as sleep } from "node:timers/promises";
import { ask, openHttp2 } from "../../guest/support/h2-guest.ts";
import { denialIn, openTunnel } from "../../hostile/raw-guest.ts";
import type { Host } from "./chaos-upstreams.ts";

/** One request of a guest, and what became of it. */
export interface Asked {
  readonly id: number;
  readonly host: Host;
  readonly over: "HTTP/1.1" | "HTTP/2";
  readonly startedMs: number;
  endedMs: number;
  /** `200`, a denial, or how it ended without either. */
  outcome: string;
}

/** No answer within this is a hang, `ms`: far more than any timeout of edge and custody. */
const PATIENCE_MS = 20_000;
const PAUSE_MS = 100;
/** These need something to put their proof into. */
const WITH_BODY: ReadonlySet<string> = new Set(["store.test", "exec.test", "body.test", "aws.test"]);
const BODY = '{"question":"what is kept here?"}';

/** Guests that ask and ask, in tunnels over both versions, and keep every byte that they are given. */
export class ChaosGuests {
  readonly asked: Asked[] = [];
  /** What came, a text an exchange. */
  readonly received: string[] = [];
  readonly #proxyPort: number;
  readonly #portOf: (host: Host) => number;
  readonly #stopping = new AbortController();
  #running: Promise<unknown> | null = null;

  constructor(proxyPort: number, portOf: (host: Host) => number) {
    this.#proxyPort = proxyPort;
    this.#portOf = portOf;
  }

  /** @param guests for each version */
  start(hosts: readonly Host[], guests: number): void {
    const loop = async (over: Asked["over"], first: number): Promise<void> => {
      for (let i = first; !this.#stopping.signal.aborted; i++) {
        await this.ask(hosts[i % hosts.length] as Host, over);
        await sleep(PAUSE_MS);
      }
    };
    const loops = Array.from({ length: guests * 2 }, (_, i) => loop(i % 2 === 0 ? "HTTP/1.1" : "HTTP/2", i * 3));
    this.#running = Promise.all(loops);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async ask(host: Host, over: Asked["over"] = "HTTP/1.1"): Promise<Asked> {
    const nowMs = performance.now();
    const asked: Asked = { id: this.asked.length, host, over, startedMs: nowMs, endedMs: Infinity, outcome: "running" };
    this.asked.push(asked);
    const late = sleep(PATIENCE_MS, "hung", { ref: false });
    const work = over === "HTTP/1.1" ? this.#overHttp1(asked) : this.#overHttp2(asked);
    asked.outcome = await Promise.race([work, late]);
    asked.endedMs = performance.now();
    return asked;
  }

  async #overHttp1({ id, host }: Asked): Promise<string> {
    const authority = `${host}:${this.#portOf(host)}`;
    try {
      const guest = await openTunnel(this.#proxyPort, authority, host);
      const body = WITH_BODY.has(host) ? BODY : "";
      const length = body === "" ? "" : `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
      guest.send(`${body === "" ? "GET" : "POST"} /r/${id} HTTP/1.1\r\nHost: ${authority}\r\n${length}`);
      guest.send(`Connection: close\r\n\r\n${body}`);
      const text = await guest.ended(PATIENCE_MS);
      guest.destroy();
      this.received.push(text);
      return outcomeOf(Number(text.slice(9, 12)), denialIn(text));
    } catch (error) {
      return this.#refused(error);
    }
  }

  async #overHttp2({ id, host }: Asked): Promise<string> {
    const authority = `${host}:${this.#portOf(host)}`;
    try {
      const session = await openHttp2(this.#proxyPort, authority);
      const hasBody = WITH_BODY.has(host);
      const head = { ":method": hasBody ? "POST" : "GET", ":path": `/r/${id}`, ":authority": authority };
      const fields = hasBody ? { "content-type": "application/json" } : {};
      const answer = await ask(session, { ...head, ...fields }, hasBody ? BODY : undefined);
      session.destroy();
      this.received.push(answer.raw.join("\n"), answer.body.toString("latin1"), [...answer.trailers].join("\n"));
      if (!answer.whole) return `reset ${answer.resetCode}`;
      return outcomeOf(answer.status, answer.fields.get("x-deny-reason") ?? null);
    } catch (error) {
      return this.#refused(error);
    }
  }

  /** A CONNECT that is refused is an answer as well. */
  #refused(error: unknown): string {
    const text = String(error);
    this.received.push(text);
    return denialIn(text) ?? text;
  }
}

function outcomeOf(status: number, denial: string | null): string {
  return denial ?? String(status);
}
