import { formatReference } from "../../core/canonical-reference.ts";
import { referenceOfSource } from "../../core/source-reference.ts";
import type { SecretStore } from "../store/secret-store.ts";
import { type CredentialSource, SourceError, type SourceReading } from "./source.ts";

/** A root in the encrypted store of the custody. It is read for every lease, as a file is: a rotated one counts from the next lease on. */
export class StoreSource implements CredentialSource {
  readonly reference: string;
  readonly timeoutMs: number;
  readonly #name: string;
  readonly #store: SecretStore | null;

  /** @param store `null`: a reload named an entry of a store that this custody was started without */
  constructor(name: string, store: SecretStore | null) {
    this.#name = name;
    this.#store = store;
    this.timeoutMs = store?.timeoutMs ?? 1_000;
    this.reference = formatReference(referenceOfSource({ from: "store", name }));
  }

  async read(_fresh: boolean): Promise<SourceReading> {
    if (this.#store === null)
      throw new SourceError(`store entry "${this.#name}": this custody was started without a store: restart it`);
    const { secret } = await this.#store.read(this.#name);
    return { username: null, secret, expiresAtMs: null };
  }

  close(): void {
    // The store belongs to the whole catalogue, and is closed with the custody.
  }
}
