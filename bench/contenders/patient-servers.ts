import { Server } from "node:http";
import { Server as HttpsServer } from "node:https";

/**
 * Node's servers hang up on a connection that is silent for 5 s, and the libraries offer no way to say otherwise; the bench
 * wants to know what a tunnel costs that is held. Imported before the library makes its servers.
 */
const IDLE_MS = 120_000;

for (const { prototype } of [Server, HttpsServer]) {
  Object.defineProperty(prototype, "keepAliveTimeout", { get: () => IDLE_MS, set: ignore });
}

function ignore(): void {
  // What the constructor sets does not count.
}
