import { Denial } from "../core/denial.ts";
import type { Permit } from "../core/exchange.ts";
import type { ExchangeRecord } from "../core/record.ts";
import type { RawStream } from "../core/wire.ts";
import { joinStreams } from "./join-streams.ts";
import type { Line } from "./line.ts";
import { noteParent } from "./note-parent.ts";

/**
 * A byte-exact tunnel to a pass-through destination: the permit was granted for the CONNECT, the hellos are checked by the
 * caller, no credential goes into it.
 * @param open answers the CONNECT, checks the hellos and hands over the guest's stream; called once the upstream is connected. What
 *   it passes on itself, either way, it counts
 * @throws Denial before a byte of a hello that is not right went upstream
 */
export async function runPassThrough(
  line: Line,
  permit: Permit,
  record: ExchangeRecord,
  open: (upstream: RawStream) => Promise<RawStream>,
): Promise<void> {
  if (permit.destination.tls !== "passthrough" || permit.destination.credential !== null) {
    throw new Denial("internal", { cause: "only pass-through destinations are tunnelled" });
  }
  const pinning = line.addresses.pin(permit);
  const pinned = pinning instanceof Promise ? await pinning : pinning;
  const { parent } = permit.destination;
  if (parent !== null) {
    const noted = noteParent(line, record, parent);
    if (noted instanceof Promise) await noted;
  }
  const { stream, address } = await line.upstream.dialRaw(permit, pinned);
  record.upstream = address;
  let guest: RawStream;
  try {
    // An upstream that goes away meanwhile is noticed when the streams are joined.
    guest = await open(stream);
  } catch (thrown) {
    stream.destroy();
    throw thrown;
  }
  record.outcome = "completed";
  await joinStreams(guest, stream, record);
}
