import { LatestRead } from "./latest-read.ts";
import { formatReference } from "../../core/canonical-reference.ts";
import type { CredentialKind } from "../../core/credential.ts";
import { referenceOfSource } from "../../core/source-reference.ts";
import type { VaultSourceSpec } from "../../core/vault.ts";
import type { VaultClient } from "../vault/client.ts";
import { placeOf, readKv } from "../vault/kv.ts";
import { rootIn } from "../vault/root.ts";
import type { VaultUse } from "../vault/servers.ts";
import { copyOf, type CredentialSource, type SourceContext, type SourceReading } from "./source.ts";

/** How long one answer serves further leases, `ms`: what is rotated counts after that, and at once after a refusal upstream. */
const REUSE_MS = 5_000;

interface Held {
  readonly reading: SourceReading;
  readonly timer: NodeJS.Timeout;
  readonly reuseUntilMs: number;
}

/**
 * A root in a key-value engine of a Vault. Readers at the same time share one request, and so do those of the next few seconds;
 * nothing is kept longer, and nothing of a failure.
 */
export class VaultSource implements CredentialSource {
  readonly reference: string;
  readonly timeoutMs: number;
  readonly #spec: VaultSourceSpec;
  readonly #kind: CredentialKind;
  readonly #context: SourceContext;
  readonly #use: VaultUse;
  readonly #reads = new LatestRead(() => this.#read());
  #held: Held | null = null;
  #isClosed = false;

  constructor(spec: VaultSourceSpec, kind: CredentialKind, context: SourceContext) {
    if (context.vaults === undefined) throw new TypeError("a source in a Vault needs the Vaults of the process");
    this.#spec = spec;
    this.#kind = kind;
    this.#context = context;
    this.#use = context.vaults.use(spec.server);
    this.reference = formatReference(referenceOfSource(spec));
    this.timeoutMs = askingMs(spec);
  }

  async read(fresh: boolean): Promise<SourceReading> {
    const held = this.#held;
    if (!fresh && held !== null && this.#context.clock.monotonicMs() < held.reuseUntilMs) return copyOf(held.reading);
    // One that runs already may answer what the upstream has just refused: then the next one is waited for.
    return copyOf(await (fresh ? this.#reads.run() : this.#reads.join()));
  }

  close(): void {
    this.#isClosed = true;
    this.#hold(null);
    this.#use.release();
  }

  async #read(): Promise<SourceReading> {
    const client = await this.#use.client();
    try {
      const { data, expiresAtMs } = await readKv(client, this.#spec);
      const { secret, username } = this.#rootIn(client, data);
      const reading: SourceReading = { username, secret, expiresAtMs };
      this.#hold({
        reading,
        reuseUntilMs: this.#context.clock.monotonicMs() + REUSE_MS,
        // Nobody may come: what serves no further lease is not kept either.
        timer: setTimeout(() => this.#hold(null), REUSE_MS).unref(),
      });
      return reading;
    } catch (thrown) {
      this.#hold(null);
      throw thrown;
    }
  }

  #rootIn(client: VaultClient, data: Readonly<Record<string, unknown>>) {
    return rootIn(data, this.#kind, this.#spec.field, placeOf(client, this.#spec));
  }

  #hold(next: Held | null): void {
    const before = this.#held?.reading.secret;
    clearTimeout(this.#held?.timer);
    this.#held = this.#isClosed ? null : next;
    // By then everybody who waited has made a copy.
    setImmediate(() => {
      before?.zero();
      if (this.#isClosed) next?.reading.secret.zero();
    });
  }
}

/** Longest wait for one lease, `ms`: a login and a question, or one that is asked again, each of which has an end of its own. */
export function askingMs({ server }: VaultSourceSpec): number {
  return server.timeoutMs * 2;
}
