import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "../../../src/core/secret.ts";
import type { StoreDisk } from "../../../src/custody/store/disk.ts";
import { SecretStore, type SecretStoreOptions } from "../../../src/custody/store/secret-store.ts";
import { type StoreFault, StoreError } from "../../../src/custody/store/store-error.ts";
import { storeKey } from "../../../src/custody/store/store-key.ts";
import { realClock } from "../support/clocks.ts";

/** 32 bytes; nothing that is written anywhere may hold it. */
export const KEY = "5ab1e9".padEnd(64, "07");

/** Who the tests run as. */
export const reader = {
  uid: process.geteuid?.() ?? 0,
  groups: new Set([process.getegid?.() ?? 0, ...(process.getgroups?.() ?? [])]),
};

export interface StorePlace {
  readonly directory: string;
  readonly file: string;
  readonly keyFile: string;
  /** Another view of the same file, as another process has it. */
  readonly open: (options?: Partial<SecretStoreOptions> & { readonly keyText?: string }) => SecretStore;
  readonly remove: () => Promise<void>;
}

/** A directory with a key for a store that is not there yet. */
export async function storePlace(): Promise<StorePlace> {
  const directory = await mkdtemp(join(tmpdir(), "postern-store-"));
  const file = join(directory, "secrets.store");
  const keyFile = join(directory, "store.key");
  await writeFile(keyFile, `${KEY}\n`, { mode: 0o600 });
  return {
    directory,
    file,
    keyFile,
    open: ({ keyText, ...options } = {}) =>
      new SecretStore({
        file,
        key: storeKey(
          keyText === undefined ? { from: "file", path: keyFile } : { from: "env", variable: "KEY" },
          { clock: realClock, environment: { KEY: keyText } },
          reader,
        ),
        reader,
        clock: realClock,
        randomBytes,
        ...options,
      }),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

export async function textOf(store: SecretStore, name: string): Promise<string> {
  return (await store.read(name)).secret.reveal();
}

export function put(store: SecretStore, name: string, text: string): Promise<number> {
  return store.put(name, Secret.of(text));
}

/** The fault that something ends with. */
export async function faultOf(work: () => Promise<unknown>): Promise<StoreFault | "none"> {
  return (await errorOf(work))?.fault ?? "none";
}

export async function errorOf(work: () => Promise<unknown>): Promise<StoreError | null> {
  try {
    await work();
    return null;
  } catch (error) {
    if (error instanceof StoreError) return error;
    throw error;
  }
}

/** Thrown by a disk that has been told to fail. */
export class DiskFailure extends Error {
  readonly code = "EIO";
}

/**
 * A disk whose step number `at` (from 1) fails. With `dies`, no step after it happens either, as if the process had been killed
 * there; with `half`, half of what a write was given is written before.
 */
export function failingDisk(
  real: StoreDisk,
  { at, dies, half }: { readonly at: number; readonly dies: boolean; readonly half: boolean },
): { readonly disk: StoreDisk; readonly steps: () => number } {
  let steps = 0;
  const step = async <T>(work: () => Promise<T>, before?: () => Promise<unknown>): Promise<T> => {
    steps++;
    if (steps === at && half) await before?.();
    if (steps === at || (dies && steps > at)) throw new DiskFailure("input/output error");
    return work();
  };
  const disk: StoreDisk = {
    create: (path) => step(() => real.create(path)),
    chown: (file, uid, gid) => step(() => real.chown(file, uid, gid)),
    chmod: (file, mode) => step(() => real.chmod(file, mode)),
    write: (file, bytes) =>
      step(
        () => real.write(file, bytes),
        () => real.write(file, bytes.subarray(0, bytes.length >> 1)),
      ),
    sync: (file) => step(() => real.sync(file)),
    // The kernel closes what a dead process had open.
    close: async (file) => {
      await real.close(file);
      await step(() => Promise.resolve());
    },
    rename: (from, to) => step(() => real.rename(from, to)),
    syncDirectory: (path) => step(() => real.syncDirectory(path)),
    remove: (path) => step(() => real.remove(path)),
    list: (path) => step(() => real.list(path)),
  };
  return { disk, steps: () => steps };
}
