import { Denial } from "../../core/denial.ts";
import type { FloodHold } from "../flood-hold.ts";
import type { UntoldStreams } from "./untold-streams.ts";

/** Streams of which most were reset when the guest left, or after which it was cut: what such a connection was for. */
const FLOOD_STREAMS = 50;
/** NGHTTP2_ERR_PROTO tells of an offence and not which one: resets without end are one, and so is a single field that is too long. */
const PROTOCOL_ERROR = -505;
const HALF_KNOWN = 0.25;

/** How the guest of one HTTP/2 connection behaves. A flood is laid to its charge once, however the connection ends. */
export class Conduct {
  readonly #floods: FloodHold;
  readonly #guest: string;
  readonly #streams: UntoldStreams;
  #resets = 0;
  #isBlamed = false;

  /** @param streams of the connection */
  constructor(floods: FloodHold, guest: string, streams: UntoldStreams) {
    this.#floods = floods;
    this.#guest = guest;
    this.#streams = streams;
  }

  /** The guest reset one, of a connection that goes on. */
  reset(): void {
    this.#resets++;
  }

  /** What ended the session as an offence, or `null`: a broken transport is nobody's, a broken protocol is. */
  judge(error: NodeJS.ErrnoException): Denial | null {
    const code = error.code ?? "";
    const isViolation = code === "ERR_HTTP2_ERROR" || code.startsWith("ERR_HTTP2_TOO_MANY");
    if (!(error instanceof Denial) && !isViolation) return null;
    this.#blame(error.errno === PROTOCOL_ERROR && this.#streams.told < FLOOD_STREAMS ? HALF_KNOWN : 1);
    return error instanceof Denial ? error : new Denial("http2_violation", { cause: error });
  }

  /** The guest is gone. One that left just before it would have been cut has cost as much, and comes back as soon. */
  left(): void {
    const { told, isFlood } = this.#streams;
    const isResetting = told >= FLOOD_STREAMS && 2 * this.#resets > told;
    if (isResetting || isFlood) this.#blame(1);
  }

  #blame(weight: number): void {
    if (this.#isBlamed) return;
    this.#isBlamed = true;
    this.#floods.blame(this.#guest, weight);
  }
}
