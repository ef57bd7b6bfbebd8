import { Denial } from "../core/denial.ts";
import type { Ask } from "../core/exchange.ts";
import { WholeBody } from "../core/whole-body.ts";
import type { OutboundRequest, RequestBody } from "../core/wire.ts";

const NOTHING = Buffer.alloc(0);

/** What an attachment answers that needs every body whole. A request without one goes on as it came. */
export function holdsWhole(mostBytes: number): (ask: Ask, body: RequestBody) => number | null {
  return (_ask, body) => (body.length === "none" ? null : mostBytes);
}

/** The body as it goes out, which an attachment listed earlier may have changed. */
export function wholeBytes({ body }: OutboundRequest): Buffer {
  if (body instanceof WholeBody) return body.bytes;
  if (body.length === "none") return NOTHING;
  throw new Denial("internal", { cause: "a body that is signed was not held" });
}
