import { Denial } from "../core/denial.ts";
import type { Permit } from "../core/exchange.ts";
import type { ExchangeRecord } from "../core/record.ts";
import type { RawStream } from "../core/wire.ts";
import { joinStreams } from "./join-streams.ts";
import type { Line } from "./line.ts";

/**
 * A byte-exact tunnel to a pass-through destination: the permit was granted for the CONNECT, the hello was checked by the
 * caller, no credential is involved.
 * @param open hands over the guest's stream once the upstream is connected
 * @throws Denial while nothing has been connected
 */
export async function runPassThrough(
  line: Line,
  permit: Permit,
  record: ExchangeRecord,
  open: () => RawStream,
): Promise<void> {
  if (permit.destination.tls !== "passthrough" || permit.destination.credential !== null) {
    throw new Denial("internal", { cause: "only pass-through destinations are tunnelled" });
  }
  const pinning = line.addresses.pin(permit);
  const pinned = pinning instanceof Promise ? await pinning : pinning;
  const { stream, address } = await line.upstream.dialRaw(permit, pinned);
  record.upstream = address;
  record.outcome = "completed";
  await joinStreams(open(), stream, record);
}
