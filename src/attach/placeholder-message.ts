import { Denial } from "../core/denial.ts";
import type { OutboundHead } from "../core/exchange.ts";
import type { OutboundRequest } from "../core/wire.ts";
import type { AttachTools, Occasion } from "./attachment.ts";
import { FirstMessage } from "./first-message.ts";
import { gateFirstMessage } from "./message-gate.ts";

export interface MessageSwap {
  readonly standIn: string;
  readonly secret: string;
  /** Every stand-in of the destination: none may be left over. */
  readonly standIns: readonly string[];
  /** Nothing was replaced in the head: without the stand-in in the message it would have no credential. */
  readonly isNeeded: boolean;
}

/**
 * The stand-in is replaced in the first message that a guest says over a WebSocket, for upstreams that are told the key there.
 * Compression is not agreed on, since a message has to be read; everything behind the first one passes unread. What the
 * upstream says in its own messages passes unread, too.
 */
export function replaceInFirstMessage(
  { fields }: OutboundHead,
  { request, lease }: Occasion,
  swap: MessageSwap,
  { clock, randomBytes }: AttachTools,
): void {
  fields.dropAll("sec-websocket-extensions");
  const put = (text: string): string => {
    // The guest may have taken its time.
    if (lease.isRevoked || clock.monotonicMs() >= lease.expiresAtMs)
      throw new Denial("lease_unusable", { cause: "the lease died before the first message of the WebSocket" });
    return swapped(text, swap);
  };
  const gate: OutboundRequest["filter"] = (guest, refused) =>
    gateFirstMessage(guest, new FirstMessage(put, randomBytes), refused);
  request.filter = gate;
}

function swapped(text: string, { standIn, secret, standIns, isNeeded }: MessageSwap): string {
  const isThere = text.includes(standIn);
  if (isNeeded && !isThere)
    throw new Denial("lease_unusable", { cause: "the first message of the WebSocket carries no stand-in" });
  const rest = text.split(standIn);
  // One is the key. Another could stand in a text that the upstream says back, in messages that nobody reads.
  if (rest.length > 2)
    throw new Denial("placeholder_stray", { cause: "the first message of the WebSocket carries the stand-in twice" });
  if (rest.some((piece) => standIns.some((other) => piece.includes(other))))
    throw new Denial("placeholder_stray", { cause: "the first message of a WebSocket carries another stand-in" });
  return isThere ? rest.join(isJson(text) ? JSON.stringify(secret).slice(1, -1) : secret) : text;
}

/** A stand-in needs no escape there, a secret may. */
function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
