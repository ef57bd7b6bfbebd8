import { sessionKey } from "../core/session-key.ts";
import { Denial } from "../core/denial.ts";
import type { Permit } from "../core/exchange.ts";
import { Fields } from "../core/fields.ts";
import type { GuestExchange } from "../core/wire.ts";
import { holdBody } from "./hold-body.ts";
import type { Line } from "./line.ts";

/** More than any token request needs. */
const MOST_BODY_BYTES = 65_536;

/**
 * Answers an exchange in the edge, where the destination has no upstream: nothing is resolved, leased or sent.
 * @throws Denial before anything was answered
 */
export async function answerItself(line: Line, guest: GuestExchange, permit: Permit): Promise<void> {
  const { record, method } = guest;
  if (guest.upgrade !== null) throw new Denial("upgrade_unsupported", { cause: "the edge itself speaks no WebSocket" });
  const held = await holdBody(guest, MOST_BODY_BYTES, line.heldBodies, sessionKey(permit.session));
  try {
    if (guest.aborted !== null) {
      record.outcome = guest.aborted;
      return;
    }
    const { status, fields, body } = line.synthetic.answer(permit, guest, held.body.bytes);
    record.status = status;
    record.firstByteMs = line.clock.monotonicMs();
    const all = Fields.of([...fields, ["Content-Length", String(body.length)]]);
    const length = method === "HEAD" || body.length === 0 ? "none" : body.length;
    guest.answer({ status, reason: "", fields: all, length });
    if (length !== "none") {
      record.bytesToGuest += body.length;
      guest.data(body);
    }
    record.outcome = "completed";
    guest.end(null);
    guest.flush();
  } finally {
    held.release();
  }
}
