import { createSecureContext, type SecureContext } from "node:tls";
import { Denial } from "../core/denial.ts";
import type { Destination } from "../core/destination.ts";
import type { ClientIdentity } from "../core/wire.ts";

/** TLS contexts for upstream connections: one a trust bundle, since reading roots costs milliseconds, and one a certificate. */
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
      context = createSecureContext({ ca: this.#rootsOf(destination), minVersion: "TLSv1.2" });
      this.#contexts.set(key, context);
    }
    return context;
  }

  /** @throws Denial `lease_unusable` when OpenSSL takes the certificate or its key for none */
  contextWith(destination: Destination, identity: ClientIdentity): PresentingContext {
    return new PresentingContext(this.#rootsOf(destination), identity);
  }

  #rootsOf({ trust }: Destination): string | string[] {
    return trust ?? [...this.#roots];
  }
}

/**
 * A context that presents a certificate. OpenSSL has no way to lend it the roots of another one: with all of a system's it takes
 * about 12 ms and 1.2 MB, with a `trust:` of one root 0.3 ms and 36 kB.
 */
export class PresentingContext {
  readonly #ca: string | string[];
  readonly #identity: ClientIdentity;
  #context: SecureContext | null;

  /** @throws Denial `lease_unusable` */
  constructor(ca: string | string[], identity: ClientIdentity) {
    this.#ca = ca;
    this.#identity = identity;
    this.#context = this.#make();
  }

  /** Made anew after it was released: one without its native half would end the process. */
  get(): SecureContext {
    this.#context ??= this.#make();
    return this.#context;
  }

  /** Gives its memory back: V8 knows nothing of it, and collects it when hundreds of megabytes are there. */
  release(): void {
    if (this.#context !== null) releaseNative(this.#context);
    this.#context = null;
  }

  #make(): SecureContext {
    const { chain, privateKey } = this.#identity;
    try {
      const own = { cert: chain, key: privateKey.reveal() };
      // Without roots first: what is refused, perhaps for every exchange of a lease, costs little then.
      releaseNative(createSecureContext({ ca: [], ...own }));
      return createSecureContext({ ca: this.#ca, minVersion: "TLSv1.2", ...own });
    } catch (thrown) {
      // The code alone: what it says of a key stays here.
      const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "unknown error";
      throw new Denial("lease_unusable", { cause: `OpenSSL refuses the client certificate or its key (${code})` });
    }
  }
}

/** The way that Node itself has for it; a future Node without it collects it when it will. */
function releaseNative({ context }: SecureContext): void {
  const native: unknown = context;
  if (typeof native === "object" && native !== null && "close" in native && typeof native.close === "function")
    native.close();
}
