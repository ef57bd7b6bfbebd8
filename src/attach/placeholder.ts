import type { Destination, PlaceholderSpot } from "../core/destination.ts";
import type { OutboundHead } from "../core/exchange.ts";
import { type AttachmentMaker, isFieldContent, revealed, unusable } from "./attachment.ts";
import { openBasic, sealBasic } from "./basic-credentials.ts";
import { percentEncode } from "./percent.ts";
import { replaceInFirstMessage } from "./placeholder-message.ts";
import { rewriteQuery } from "./query-string.ts";
import { textSecret } from "./text-secret.ts";

/**
 * The guest sends a harmless stand-in, and it is replaced by the secret where it stands: in a field value, in the decoded
 * pair of `Basic`, in a query value, or in the first message of a WebSocket (`placeholder-message.ts`). For clients that build more around a key than the edge could (prefixes, WebSocket
 * sub-protocols, a user name of their own).
 *
 * A spot is a credential's place. What the guest puts there without a stand-in is its own credential (an attacker's
 * account that data would flow to), so such a line or parameter is dropped like any guest line of an injected field;
 * `Cookie` alone is kept, because its lines hold other things as well. And a request that carries the stand-in nowhere
 * is refused with `lease_unusable`: it would leave without the credential that its destination needs, and there is no
 * un-injected fallback. Clients that speak unauthenticated first and wait for a 401 (git, container tools) want `basic` or
 * `bearer`, which attach always.
 */
export const placeholder: AttachmentMaker<"placeholder"> = (spec, destination, tools) => {
  const standIns = standInsOf(destination);
  const inHead = spec.spots.filter((spot): spot is HeadSpot => spot.in !== "websocket");
  const inMessage = inHead.length < spec.spots.length;
  return {
    fieldNames: [],
    cut(head) {
      for (const spot of spec.spots) {
        if (spot.in === "query") {
          head.target = rewriteQuery(head.target, spot.name, (raw) => (holdsAny(raw, standIns) ? raw : null));
        } else if (spot.in === "header" && spot.name !== "cookie") {
          cutForeignLines(head, spot.name, standIns);
        }
      }
    },
    render(material) {
      const secret = revealed(textSecret(material, "placeholder"));
      if (!isFieldContent(secret)) throw unusable("the material holds a character that no field value may hold");
      const swap = swapOf(spec.value, secret);
      return {
        values: swap.encoded === secret ? [secret] : [swap.encoded, secret],
        apply(head, occasion) {
          const replaced = inHead.map((spot) => replaceAt(head, spot, swap)).includes(true);
          if (!inMessage || occasion.request.upgrade === null) return replaced;
          replaceInFirstMessage(head, occasion, { ...swap, standIns, isNeeded: !replaced }, tools);
          return true;
        },
      };
    },
  };
};

/** Every stand-in that one of the destination's attachments replaces. */
export function standInsOf(destination: Destination): readonly string[] {
  return destination.attachments.flatMap((spec) => (spec.as === "placeholder" ? [spec.value] : []));
}

interface Swap {
  readonly standIn: string;
  readonly secret: string;
  /** UTF-8 bytes of the secret as Latin-1, for the inside of `Basic`. */
  readonly bytes: string;
  /** Percent-encoded, for a query. */
  readonly encoded: string;
}

function swapOf(standIn: string, secret: string): Swap {
  const bytes = Buffer.from(secret, "utf8").toString("latin1");
  return { standIn, secret, bytes, encoded: percentEncode(secret) };
}

function cutForeignLines({ fields }: OutboundHead, name: string, standIns: readonly string[]): void {
  for (let i = 0; i < fields.length; i++) {
    if (fields.names[i] !== name || fields.isDropped(i)) continue;
    const value = fields.value(i);
    if (!holdsAny(openBasic(value)?.pair ?? value, standIns)) fields.drop(i);
  }
}

function holdsAny(text: string, standIns: readonly string[]): boolean {
  return standIns.some((standIn) => text.includes(standIn));
}

type HeadSpot = PlaceholderSpot & { readonly in: "header" | "query" };

function replaceAt(head: OutboundHead, spot: HeadSpot, swap: Swap): boolean {
  if (spot.in === "header") return replaceInLines(head, spot.name, swap);
  const before = head.target;
  head.target = rewriteQuery(before, spot.name, (raw) => swapped(raw, swap.standIn, swap.encoded));
  return head.target !== before;
}

function replaceInLines({ fields }: OutboundHead, name: string, swap: Swap): boolean {
  let found = false;
  for (let i = 0; i < fields.length; i++) {
    if (fields.names[i] !== name || fields.isDropped(i)) continue;
    const value = fields.value(i);
    const basic = openBasic(value);
    const replaced =
      basic === null
        ? swapped(value, swap.standIn, swap.secret)
        : sealIfChanged(basic, swapped(basic.pair, swap.standIn, swap.bytes), value);
    if (replaced === value) continue;
    fields.replace(i, replaced);
    found = true;
  }
  return found;
}

function sealIfChanged(basic: { readonly scheme: string; readonly pair: string }, pair: string, value: string): string {
  return pair === basic.pair ? value : sealBasic(basic.scheme, pair);
}

/** Split and join, since `$` in a secret would be a pattern to `replaceAll`. */
function swapped(text: string, standIn: string, put: string): string {
  return text.includes(standIn) ? text.split(standIn).join(put) : text;
}
