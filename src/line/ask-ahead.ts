import type { Permit } from "../core/exchange.ts";
import type { Line } from "./line.ts";

/**
 * Asks ahead for what the first request of a tunnel will need, while its guest shakes hands: the address, then the lease. It
 * hands nothing out and dials nothing. The request is decided by itself and asks again; a failure is not kept, and it is then
 * that the guest is told of it.
 * @param permit of the CONNECT
 */
export function askAhead(line: Line, permit: Permit): void {
  // Owned here: it ends within the bounds of both stages, and has nobody to report to.
  void prepare(line, permit).catch(() => undefined);
}

async function prepare(line: Line, permit: Permit): Promise<void> {
  // Nothing is asked for: the edge answers itself.
  if (permit.destination.synthetic !== null) return;
  const pinning = line.addresses.pin(permit);
  if (pinning instanceof Promise) await pinning;
  if (permit.needsCredential) await line.leases.fetchAhead(permit);
}
