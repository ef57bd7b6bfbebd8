import type { CatalogueConfig } from "../../config/catalogue.ts";
import type { SecretStore, SecretStoreOptions } from "../../custody/store/secret-store.ts";
import { SourceError } from "../../custody/sources/source.ts";
import { currentReader } from "../../tls/ca-files.ts";
import { CommandFailure, EXIT } from "../command.ts";
import type { EdgeSystem } from "../edge/system.ts";

export interface StoreEvents {
  readonly warn: (text: string) => void;
  readonly onWrite?: SecretStoreOptions["onWrite"];
}

type StoreSystem = Pick<EdgeSystem, "clock" | "environment" | "randomBytes">;

/**
 * The store of a custody that is about to start, read once: with a wrong key, or a file that others may use, it does not start.
 * @returns `null` for a custody without one
 * @throws CommandFailure with exit code 2 and a next step
 */
export async function openStore(
  { store: spec, credentials }: CatalogueConfig,
  system: StoreSystem,
  { warn, ...events }: StoreEvents,
): Promise<SecretStore | null> {
  if (spec === null) return null;
  const store = await makeStore(spec, system, events);
  const held = new Set(await orUsage(() => namesIn(store)));
  for (const { name, source } of credentials)
    if (source.from === "store" && !held.has(source.name))
      warn(
        `credential "${name}": store "${spec.file}" holds no "${source.name}": postern custody secret set ${source.name}`,
      );
  return store;
}

async function namesIn(store: SecretStore): Promise<string[]> {
  try {
    return (await store.list()).map(({ name }) => name);
  } catch (error) {
    store.close();
    throw error;
  }
}

/** Nothing is read yet. Its modules are of no use to an edge without a store, and loaded here. */
export async function makeStore(
  { file, key }: NonNullable<CatalogueConfig["store"]>,
  { clock, environment, randomBytes }: StoreSystem,
  events: Pick<StoreEvents, "onWrite"> = {},
): Promise<SecretStore> {
  const [{ SecretStore }, { storeKey }] = await Promise.all([
    import("../../custody/store/secret-store.ts"),
    import("../../custody/store/store-key.ts"),
  ]);
  const reader = currentReader();
  const opened = storeKey(key, { clock, environment }, reader);
  return new SecretStore({ file, key: opened, reader, clock, randomBytes, ...events });
}

/** What is wrong with a store or its key is for the operator to mend. @throws CommandFailure with exit code 2 */
export async function orUsage<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SourceError) throw new CommandFailure(error.message, EXIT.usage);
    throw error;
  }
}
