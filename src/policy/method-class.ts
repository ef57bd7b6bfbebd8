import type { Destination } from "../core/destination.ts";
import type { Ask } from "../core/exchange.ts";
import { type MethodClass, methodClassOf } from "../core/method-class.ts";
import { namesAnotherMethod } from "./override.ts";

/**
 * What an exchange may do at the upstream. A WebSocket carries anything once it is open, and a GET that names another method in
 * a field is one to some frameworks: both are `write`, whatever the request line says.
 */
export function classOf({ method, fields, upgrade = null }: Ask, { credential }: Destination): MethodClass {
  const byName = methodClassOf(method);
  // Nobody asks where there is no lease to be bound.
  if (byName === "write" || credential === null) return byName;
  return upgrade !== null || namesAnotherMethod(fields) ? "write" : "read";
}
