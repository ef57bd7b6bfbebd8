import type { ChildProcess } from "node:child_process";
import type { FloodEnd, FlooderMessage, FloodOrder } from "./h2-flooder.ts";

/** No flood takes so long, `ms`: the flooder gives up on an edge that does not end it. */
const SILENCE_MS = 60_000;

/** A process of `h2-flooder.ts`, whoever started it, over its IPC channel. */
export class FlooderProcess {
  /** Port of its upstream. */
  readonly upstreamPort: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, upstreamPort: number) {
    this.#child = child;
    this.upstreamPort = upstreamPort;
  }

  /** @param child that has just been started @throws Error when it ends or says nothing */
  static async ready(child: ChildProcess): Promise<FlooderProcess> {
    const ready = await told(child);
    if (!("upstreamPort" in ready)) throw new Error("the flooder's first word is its port");
    return new FlooderProcess(child, ready.upstreamPort);
  }

  /** One connection's worth. @throws Error when the process ends or says nothing */
  async flood(order: FloodOrder): Promise<FloodEnd> {
    if (!this.#child.connected) throw ended(this.#child);
    this.#child.send(order);
    const end = await told(this.#child);
    if (!("closed" in end)) throw new Error("the flooder tells how a flood ended");
    return end;
  }
}

/** What the flooder says next. */
function told(child: ChildProcess): Promise<FlooderMessage> {
  return new Promise((resolve, reject) => {
    const settle = (then: () => void): void => {
      clearTimeout(timer);
      child.off("exit", onExit);
      child.off("message", onMessage);
      then();
    };
    const onExit = (): void => settle(() => reject(ended(child)));
    const onMessage = (message: unknown): void => settle(() => resolve(message as FlooderMessage));
    const onSilence = (): void => settle(() => reject(new Error(`the flooder said nothing for ${SILENCE_MS} ms`)));
    const timer = setTimeout(onSilence, SILENCE_MS);
    child.once("exit", onExit);
    child.once("message", onMessage);
    if (child.exitCode !== null || child.signalCode !== null) onExit();
  });
}

function ended({ exitCode, signalCode }: ChildProcess): Error {
  return new Error(`the flooder has ended (${signalCode ?? exitCode})`);
}
