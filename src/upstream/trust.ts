import { createSecureContext, type SecureContext } from "node:tls";
import type { Destination } from "../core/destination.ts";

/** TLS contexts for upstream connections: one a trust bundle, since reading roots costs milliseconds. */
export class UpstreamTrust {
  readonly #roots: readonly string[];
  readonly #contexts = new Map<string, SecureContext>();

  /** @param roots PEM certificates that are trusted where a destination names no bundle of its own */
  constructor(roots: readonly string[]) {
    this.#roots = roots;
  }

  contextFor(destination: Destination): SecureContext {
    const key = destination.trust ?? "";
    let context = this.#contexts.get(key);
    if (context === undefined) {
      const ca = destination.trust === null ? [...this.#roots] : destination.trust;
      context = createSecureContext({ ca, minVersion: "TLSv1.2" });
      this.#contexts.set(key, context);
    }
    return context;
  }
}
