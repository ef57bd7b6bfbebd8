import { jsonObject } from "../../core/json-text.ts";
import { createHash } from "node:crypto";
import { ENTRY_NAME } from "../../core/secret-store.ts";
import { type KeyForm, SCRYPT_LOG_N_BOUNDS } from "./master-key.ts";
import { keyCheck, keyChecks, type RandomBytes, seal, unseal } from "./seal.ts";
import type { StoredEntry, StoredVersion, StoreState } from "./store-state.ts";

/**
 * The file of a store, one line of JSON:
 *
 * `{"format", "id", "key", "check", "index", "values": [...]}`
 *
 * The head (`format`, `id`, `key`) is plain. `index` is a box (seal.ts), bound to the head, with the generation and of every
 * entry its name, times, versions and the SHA-256 of each version's box; `values` are those boxes in the order of the index. So one tag
 * authenticates the whole list: an entry that was taken out, put back, swapped or replaced by an older one of the same store
 * is found. What is not found here is a whole file that was put back: it is as right as it was on its day.
 */
export interface SealedFile {
  readonly id: string;
  readonly keyForm: KeyForm;
  readonly check: string;
  readonly index: Buffer;
  readonly values: readonly Buffer[];
}

const FORMAT = "postern-secret-store-1";
/** Larger files are none of ours, bytes. */
export const MAX_STORE_BYTES = 32 * 1024 * 1024;

/** @returns `null` for bytes that are no store's file, whatever the key */
export function parseStoreFile(bytes: Buffer): SealedFile | null {
  const file = jsonObject(bytes.toString("utf8"));
  if (file === null || file["format"] !== FORMAT) return null;
  const { id, key, check, index, values } = file;
  const keyForm = keyFormOf(key);
  const sealedIndex = base64Bytes(index);
  const boxes = Array.isArray(values) ? values.map(base64Bytes) : null;
  if (base64Bytes(id)?.length !== 16 || base64Bytes(check) === null) return null;
  if (keyForm === null || sealedIndex === null || boxes === null || !boxes.every((box) => box !== null)) return null;
  return { id: id as string, keyForm, check: check as string, index: sealedIndex, values: boxes };
}

/** Whether this is the key that the file was written with. */
export function isKeyOf({ id, keyForm, check }: SealedFile, master: Buffer): boolean {
  return keyChecks(master, headText(id, keyForm), check);
}

/** @returns what the file holds, or `null` when anything in it is not what was written */
export function openStoreFile({ id, keyForm, index, values }: SealedFile, master: Buffer): StoreState | null {
  const plain = unseal(master, headText(id, keyForm), index);
  if (plain === null) return null;
  const read = jsonObject(plain.toString("utf8"));
  plain.fill(0);
  if (read === null) return null;
  const rest = values.values();
  const entries = new Map<string, StoredEntry>();
  for (const [name, createdMs, current, previous] of read["entries"] as IndexEntry[]) {
    const newest = opened(current, rest);
    const before = previous === null ? null : opened(previous, rest);
    if (!ENTRY_NAME.test(name) || newest === null || (previous !== null && before === null)) return null;
    entries.set(name, { createdMs, current: newest, previous: before });
  }
  // A box that no entry answers for was put there by somebody else.
  return rest.next().done === true ? { id, keyForm, generation: read["generation"] as number, entries } : null;
}

/** The bytes of a file that holds this. */
export function storeFileBytes(state: StoreState, master: Buffer, randomBytes: RandomBytes): Buffer {
  const { id, keyForm, generation } = state;
  const head = headText(id, keyForm);
  const entries = [...state.entries].map(([name, { createdMs, current, previous }]): IndexEntry => {
    return [name, createdMs, indexed(current), previous === null ? null : indexed(previous)];
  });
  const boxes = [...state.entries.values()].flatMap(({ current, previous }) =>
    previous === null ? [current.box] : [current.box, previous.box],
  );
  const index = seal(master, head, Buffer.from(JSON.stringify({ generation, entries })), randomBytes);
  const file = {
    format: FORMAT,
    id,
    key: keyForm,
    check: keyCheck(master, head),
    index: index.toString("base64"),
    values: boxes.map((box) => box.toString("base64")),
  };
  return Buffer.from(`${JSON.stringify(file)}\n`);
}

/** Authenticated by the box of the index, so what is in it has the shape that was written. */
type IndexEntry = [name: string, createdMs: number, current: IndexVersion, previous: IndexVersion | null];
type IndexVersion = [version: number, atMs: number, sha256: string];

function indexed({ version, atMs, box }: StoredVersion): IndexVersion {
  return [version, atMs, sha256(box)];
}

function opened([version, atMs, digest]: IndexVersion, boxes: Iterator<Buffer>): StoredVersion | null {
  const next = boxes.next();
  return next.done !== true && sha256(next.value) === digest ? { version, atMs, box: next.value } : null;
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("base64");
}

/** What the index and the key check are bound to. */
function headText(id: string, keyForm: KeyForm): string {
  const key = keyForm.form === "raw" ? "raw" : `scrypt ${keyForm.logN} ${keyForm.salt}`;
  return `${FORMAT} index\n${id}\n${key}`;
}

function keyFormOf(value: unknown): KeyForm | null {
  if (typeof value !== "object" || value === null) return null;
  const { form, salt, logN } = value as Readonly<Record<string, unknown>>;
  if (form === "raw") return { form };
  if (form !== "scrypt" || typeof logN !== "number" || !Number.isInteger(logN)) return null;
  const [least, most] = SCRYPT_LOG_N_BOUNDS;
  if (logN < least || logN > most || base64Bytes(salt)?.length !== 32) return null;
  return { form, salt: salt as string, logN };
}

/** Strict: what is not the one spelling of some bytes is `null`. */
function base64Bytes(value: unknown): Buffer | null {
  if (typeof value !== "string") return null;
  const bytes = Buffer.from(value, "base64");
  return bytes.toString("base64") === value ? bytes : null;
}
