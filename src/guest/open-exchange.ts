import type { ExchangeRecord } from "../core/record.ts";
import type { GuestEnvironment } from "./environment.ts";
import { type ExchangeOwner, Http1GuestExchange } from "./exchange.ts";
import { pathOf, type ReadRequest } from "./request.ts";
import { type BodyOwner, Http1RequestBody } from "./request-body.ts";

/** The exchange of a request that was read, with its body still to come and its record begun. */
export function openExchange(
  { head, control, target, proof }: Extract<ReadRequest, { kind: "exchange" }>,
  record: ExchangeRecord,
  environment: GuestEnvironment,
  owner: ExchangeOwner & BodyOwner,
): Http1GuestExchange {
  record.method = head.method;
  record.scheme = target.scheme;
  record.authority = target.authority.text;
  record.path = pathOf(target.path);
  const body = new Http1RequestBody(control.framing, environment.limits, control.expectContinue, record, owner);
  return new Http1GuestExchange(head, control, target, body, record, proof, environment, owner);
}
