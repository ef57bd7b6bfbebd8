import { Denial } from "../core/denial.ts";
import type { RawStream } from "../core/wire.ts";
import { type FirstMessage, MessageFault } from "./first-message.ts";
import { FrameBorders, serverClose } from "./websocket-frame.ts";

/** How long a guest that was turned away may take to read why, `ms`. */
const LINGER_MS = 2000;
/** RFC 6455 §7.4.1. */
const UNEXPECTED = 1011;

/**
 * Stands before the reader of a guest's stream until its first message has passed. It takes the place of `emit` and `write` on
 * the stream itself and puts both back: a further stream around it would cost every byte of a WebSocket that lives for hours.
 *
 * A message that must not leave ends the stream: nothing more of the guest is read, the guest is told by a close frame where
 * one of the upstream's is not under way, and the upstream sees its connection break.
 *
 * @param refused told once, for the account
 */
export function gateFirstMessage(guest: RawStream, first: FirstMessage, refused: (denial: Denial) => void): RawStream {
  const emit = guest.emit.bind(guest);
  const write = guest.write.bind(guest) as (chunk: Uint8Array | string) => boolean;
  const borders = new FrameBorders();
  let isShut = false;

  const open = (): void => {
    guest.emit = emit;
    guest.write = write;
  };

  const shut = ({ denial, closeCode }: MessageFault): void => {
    isShut = true;
    refused(denial);
    if (!borders.isAtBorder) {
      guest.destroy();
      return;
    }
    write(serverClose(closeCode));
    guest.end();
    // Read on, so that no reset overtakes the close frame.
    guest.resume();
    const timer = setTimeout(() => guest.destroy(), LINGER_MS).unref();
    guest.once("close", () => clearTimeout(timer));
  };

  const take = (chunk: Buffer): boolean => {
    if (isShut) return true;
    let taken;
    try {
      taken = first.take(chunk);
    } catch (thrown) {
      shut(thrown instanceof MessageFault ? thrown : new MessageFault(Denial.from(thrown), UNEXPECTED));
      return true;
    }
    if (taken.isOver) open();
    return taken.out === null || emit("data", taken.out);
  };

  const emitGated = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event === "data") return take(args[0] as Buffer);
    if (event === "end" && isShut) {
      // To its reader it did not end: it broke.
      guest.destroy();
      return true;
    }
    return emit(event, ...args);
  };
  const writeGated = (chunk: Uint8Array | string): boolean => {
    if (isShut) return true;
    borders.take(chunk as Buffer);
    return write(chunk);
  };
  guest.emit = emitGated;
  guest.write = writeGated;
  return guest;
}
