import { isDeepStrictEqual } from "node:util";
import type { LocalSourceSpec } from "../../core/credential.ts";
import type { VaultServer } from "../../core/vault.ts";
import { FileSource } from "../sources/file.ts";
import { openLocalSource } from "../sources/open.ts";
import type { CredentialSource, SourceContext } from "../sources/source.ts";
import type { VaultClient } from "./client.ts";
import { realTimers, type Timers } from "./timers.ts";

export interface VaultServersOptions extends Omit<SourceContext, "vaults"> {
  /** In [0, 1). */
  readonly random: () => number;
  readonly timers?: Timers;
}

/** A use of a server by one entry of a catalogue. */
export interface VaultUse {
  /** @throws Error when the client's modules cannot be loaded */
  client(): Promise<VaultClient>;
  /** This entry has no more use for it. */
  release(): void;
}

interface Shared {
  readonly server: VaultServer;
  readonly client: Promise<VaultClient>;
  loaded: VaultClient | null;
  uses: number;
}

/**
 * The Vaults that the catalogues of one process read from: one client and one login a server, however many credentials are read
 * there, kept over reloads while its entry says the same. Nothing of the client is loaded before the first use.
 */
export class VaultServers {
  readonly #options: VaultServersOptions;
  readonly #shared = new Set<Shared>();
  readonly #leaving = new Set<Promise<VaultClient>>();

  constructor(options: VaultServersOptions) {
    this.#options = options;
  }

  /** Begins to use a server; the first use logs in, so that what is wrong shows before the first lease. */
  use(server: VaultServer): VaultUse {
    const known = [...this.#shared].find((shared) => isDeepStrictEqual(shared.server, server));
    const shared = known ?? this.#open(server);
    shared.uses++;
    let isReleased = false;
    return {
      client: () => shared.client,
      release: () => {
        if (isReleased) return;
        isReleased = true;
        this.#release(shared);
      },
    };
  }

  /** What is wrong with the servers in use, or `null`. For operators; never secret. */
  get problem(): string | null {
    const problems = [...this.#shared].flatMap(({ loaded }) => loaded?.problem ?? []);
    return problems.length === 0 ? null : problems.join("; ");
  }

  /** Logs out everywhere, which ends every dynamic credential. Never rejects. */
  async close(): Promise<void> {
    const open = [...[...this.#shared].map(({ client }) => client), ...this.#leaving];
    this.#shared.clear();
    // A client that could not be loaded has nothing to close.
    await Promise.all(open.map(async (client) => (await client.catch(() => null))?.close()));
  }

  #open(server: VaultServer): Shared {
    const shared: Shared = { server, client: this.#load(server), loaded: null, uses: 0 };
    this.#shared.add(shared);
    shared.client.then(
      (client) => {
        shared.loaded = client;
        if (this.#shared.has(shared)) client.begin();
      },
      // Told to whoever asks for the client.
      () => undefined,
    );
    return shared;
  }

  async #load(server: VaultServer): Promise<VaultClient> {
    const { clock, random, warn, timers = realTimers } = this.#options;
    // undici is of no use to an edge without a Vault (docs/decisions/0013).
    const { VaultClient } = await import("./client.ts");
    return new VaultClient({ server, proof: this.#proof(server), clock, timers, random, warn });
  }

  #proof({ login }: VaultServer): CredentialSource {
    const spec: LocalSourceSpec = login.by === "approle" ? login.secretId : login.token;
    const isServiceToken = login.by === "kubernetes" || login.by === "jwt";
    if (spec.from === "file" && isServiceToken) return new FileSource(spec.path, this.#options, true);
    return openLocalSource(spec, "token", this.#options);
  }

  #release(shared: Shared): void {
    shared.uses--;
    if (shared.uses > 0 || !this.#shared.delete(shared)) return;
    this.#leaving.add(shared.client);
    shared.client
      .then((client) => client.leave())
      .catch(() => undefined)
      .finally(() => this.#leaving.delete(shared.client));
  }
}
