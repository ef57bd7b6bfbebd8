import type { Socket } from "node:net";
import type { Deadlined } from "../core/deadline.ts";
import type { GuestEnvironment } from "./environment.ts";

/**
 * Ends a raw tunnel that is silent for too long or too old. Silence is read off counters that are there anyway, when the
 * deadline comes, so that no tunnelled byte pays for it.
 * @param stream whose close ends the watch
 * @param bytes how many have passed so far, both ways
 * @param cut ends the tunnel
 */
export function watchTunnel(
  stream: { once(event: "close", listener: () => void): unknown },
  bytes: () => number,
  endsAtMs: number,
  environment: GuestEnvironment,
  cut: () => void,
): void {
  const lifeEndsMs = environment.line.clock.monotonicMs() + environment.timeouts.tunnelLifeMs;
  const watch = new TunnelWatch(bytes, Math.min(endsAtMs, lifeEndsMs), environment, cut);
  const seat = environment.sweep.add(watch);
  environment.events.tunnelOpened();
  stream.once("close", () => {
    environment.sweep.delete(seat);
    environment.events.tunnelClosed();
  });
}

/** The same for a socket, which counts its bytes itself. */
export function watchSocket(socket: Socket, endsAtMs: number, environment: GuestEnvironment, cut: () => void): void {
  watchTunnel(socket, () => socket.bytesRead + socket.bytesWritten, endsAtMs, environment, cut);
}

/** Looks a tunnel is given before it counts as silent: each one a quarter of the idle limit after the other. */
const LOOKS = 4;

class TunnelWatch implements Deadlined {
  deadlineMs: number;
  readonly #count: () => number;
  readonly #endsAtMs: number;
  readonly #environment: GuestEnvironment;
  readonly #cut: () => void;
  #bytes = -1;
  #silentLooks = 0;

  constructor(count: () => number, endsAtMs: number, environment: GuestEnvironment, cut: () => void) {
    this.#count = count;
    this.#endsAtMs = endsAtMs;
    this.#environment = environment;
    this.#cut = cut;
    this.deadlineMs = this.#nextLook(environment.line.clock.monotonicMs());
  }

  onDeadline(nowMs: number): void {
    const bytes = this.#count();
    this.#silentLooks = bytes === this.#bytes ? this.#silentLooks + 1 : 0;
    this.#bytes = bytes;
    if (nowMs >= this.#endsAtMs || this.#silentLooks >= LOOKS) this.#cut();
    else this.deadlineMs = this.#nextLook(nowMs);
  }

  #nextLook(nowMs: number): number {
    return Math.min(nowMs + this.#environment.timeouts.tunnelIdleMs / LOOKS, this.#endsAtMs);
  }
}
