import type { Fields } from "../core/fields.ts";
import type { GuardPort, Injected } from "../core/ports.ts";
import { escapesIn } from "./unescape.ts";
import { Watch } from "./watch.ts";

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
  const watches = new WeakMap<Injected, Watch>();

  function watchOf(injected: Injected): Watch {
    let watch = watches.get(injected);
    if (watch === undefined) {
      watch = new Watch(injected.values);
      watches.set(injected, watch);
    }
    return watch;
  }

  return {
    maskText: (injected, text) => (injected.values.length === 0 ? text : watchOf(injected).mask(text)),

    maskFields(injected, fields) {
      if (injected.cookieAttached === true) fields.dropAll("set-cookie");
      if (injected.values.length === 0) return 0;
      const watch = watchOf(injected);
      if (escapesIn(fields.text) === 0 && !watch.mayHold(fields.text)) return 0;
      return maskLines(watch, fields);
    },
  };
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
