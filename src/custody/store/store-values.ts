import type { Clock } from "../../core/clock.ts";
import { Secret } from "../../core/secret.ts";
import { type RandomBytes, seal, unseal } from "./seal.ts";
import { placeOfValue, type StoredEntry, type StoredVersion, type StoreState } from "./store-state.ts";

/** A store and the key that its values are, or are to be, sealed with. */
interface Keyed {
  readonly state: Pick<StoreState, "id" | "entries">;
  readonly master: Buffer;
}

export interface Sealing {
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
}

export function sealValue(
  { state, master }: Keyed,
  name: string,
  version: number,
  secret: Secret,
  { clock, randomBytes }: Sealing,
): StoredVersion {
  const box = seal(master, placeOfValue(state.id, name, version), Buffer.from(secret.reveal()), randomBytes);
  return { version, atMs: Math.round(clock.wallMs()), box };
}

/** @returns what the caller zeroes, or `null` when it was not sealed for this place */
export function openValue({ state, master }: Keyed, name: string, { version, box }: StoredVersion): Secret | null {
  const plain = unseal(master, placeOfValue(state.id, name, version), box);
  if (plain === null) return null;
  const secret = Secret.of(plain.toString("utf8"));
  plain.fill(0);
  return secret;
}

/** Every value once more, under another key; versions and times stay. @returns `null` when one of them does not open */
export function resealed(from: Keyed, to: Keyed, sealing: Sealing): Map<string, StoredEntry> | null {
  const again = (name: string, stored: StoredVersion): StoredVersion | null => {
    const secret = openValue(from, name, stored);
    if (secret === null) return null;
    const sealed = sealValue(to, name, stored.version, secret, sealing);
    secret.zero();
    return { ...sealed, atMs: stored.atMs };
  };
  const entries = new Map<string, StoredEntry>();
  for (const [name, { createdMs, current, previous }] of from.state.entries) {
    const newest = again(name, current);
    const before = previous === null ? null : again(name, previous);
    if (newest === null || (before === null) !== (previous === null)) return null;
    entries.set(name, { createdMs, current: newest, previous: before });
  }
  return entries;
}
