import { Denial } from "../core/denial.ts";
import type { Destination } from "../core/destination.ts";
import type { OutboundRequest } from "../core/wire.ts";

/**
 * A WebSocket is asked for with GET over HTTP/1.1 and with CONNECT over HTTP/2 (RFC 8441), and which of them it will be is
 * known for certain only where the destination speaks nothing else.
 * @throws Denial `signing_unsupported`
 */
export function refuseMovingMethod({ upgrade }: OutboundRequest, { http }: Destination): void {
  if (upgrade !== null && http !== "h1")
    throw new Denial("signing_unsupported", {
      cause: "the method of a WebSocket depends on the HTTP version: write `http: h1`, or sign no method",
    });
}
