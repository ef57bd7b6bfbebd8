import type { Fields } from "../core/fields.ts";
import type { GuardPort, Injected } from "../core/ports.ts";
import { escapesIn, unescape } from "./unescape.ts";
import { LAYERS, Watch } from "./watch.ts";

/**
 * The response guard: what went out with an exchange never comes back to the guest. `forms.ts` says in which forms injected
 * material is looked for, `sieve.ts` tells in one pass that a text holds none of them, `unescape.ts` sees through
 * percent-encoding, JSON and HTML, `watch.ts` joins the three for one lease. This file holds the guard of status text,
 * fields and trailers.
 *
 * Bodies come next and belong beside it, as `body.ts`: the same forms and the same sieve over chunks, a window of the
 * longest form kept across their borders, encoded bodies decoded alongside. Until then bodies pass unseen.
 */
export function createResponseGuard(): GuardPort {
  const watches = new WeakMap<Injected["values"], Watch>();

  function watchOf(injected: Injected): Watch {
    let watch = watches.get(injected.values);
    if (watch === undefined) {
      watch = new Watch(injected.values);
      watches.set(injected.values, watch);
    }
    return watch;
  }

  return {
    maskText: (injected, text) =>
      injected.values.length === 0 ? text : maskedOnce(injected.once, watchOf(injected).mask(text)),

    maskFields(injected, fields) {
      if (injected.cookieAttached === true) fields.dropAll("set-cookie");
      if (injected.values.length === 0) return 0;
      const watch = watchOf(injected);
      const isClean = escapesIn(fields.text) === 0 && !watch.mayHold(fields.text);
      return (isClean ? 0 : maskLines(watch, fields)) + maskOnce(injected.once, fields);
    },
  };
}

/**
 * What was made for one exchange is worth little elsewhere, and making its forms would cost more than making it: looked for as it
 * is and in escapes, which base64 brings about in any redirect. Only where it is found, all forms are made.
 */
function maskedOnce(once: readonly string[] | undefined, text: string): string {
  if (once === undefined) return text;
  let masked = text;
  for (const value of once) if (holdsOnce(masked, value)) masked = new Watch([value]).mask(masked);
  return masked;
}

function holdsOnce(text: string, value: string): boolean {
  let view = text;
  for (let layer = 0; layer <= LAYERS; layer++) {
    if (view.includes(value)) return true;
    const kinds = escapesIn(view);
    if (kinds === 0) return false;
    view = unescape(view, kinds);
  }
  return false;
}

function maskOnce(once: readonly string[] | undefined, fields: Fields): number {
  if (once === undefined || !once.some((value) => mayHoldOnce(fields.text, value))) return 0;
  let masked = 0;
  for (let i = 0; i < fields.length; i++) {
    const name = fields.names[i] as string;
    if (fields.isDropped(i) || FRAMING.has(name)) continue;
    if (once.some((value) => name.includes(value.toLowerCase()))) {
      fields.drop(i);
      masked++;
      continue;
    }
    const value = fields.value(i);
    const guarded = maskedOnce(once, value);
    if (guarded === value) continue;
    fields.replace(i, guarded);
    masked++;
  }
  return masked;
}

/** In any case, since names have none. */
function mayHoldOnce(text: string, value: string): boolean {
  return escapesIn(text) !== 0 || text.toLowerCase().includes(value.toLowerCase());
}

/** Their values are digits and `chunked`, which the codec has made sure of; a mask would break the framing. */
const FRAMING = new Set(["content-length", "transfer-encoding"]);

function maskLines(watch: Watch, fields: Fields): number {
  let masked = 0;
  for (let i = 0; i < fields.length; i++) {
    const name = fields.names[i] as string;
    if (fields.isDropped(i) || FRAMING.has(name)) continue;
    // A masked name would be a field that nobody sent: the whole line goes.
    if (watch.isIn(name)) {
      fields.drop(i);
      masked++;
      continue;
    }
    const value = fields.value(i);
    const guarded = watch.mask(value);
    if (guarded === value) continue;
    fields.replace(i, guarded);
    masked++;
  }
  return masked;
}
