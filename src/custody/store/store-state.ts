import type { KeyForm } from "./master-key.ts";

/** What one generation of a store holds: names and times in the clear, values still in their boxes. */
export interface StoreState {
  /** Of this store alone, for all of its generations; base64. */
  readonly id: string;
  readonly keyForm: KeyForm;
  /** Another one more after each write. */
  readonly generation: number;
  readonly entries: ReadonlyMap<string, StoredEntry>;
}

export interface StoredEntry {
  /** Wall clock, ms. */
  readonly createdMs: number;
  readonly current: StoredVersion;
  /** The one before, where it was kept. */
  readonly previous: StoredVersion | null;
}

export interface StoredVersion {
  /** From 1, one more with each rotation. */
  readonly version: number;
  /** Wall clock, ms, of its writing. */
  readonly atMs: number;
  /** The sealed value. */
  readonly box: Buffer;
}

/** What a value is sealed for: it opens in no other store, under no other name and as no other version. */
export function placeOfValue(storeId: string, name: string, version: number): string {
  return `postern-secret-store-1 value\n${storeId}\n${version}\n${name}`;
}
