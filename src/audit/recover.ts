import fsp from "node:fs/promises";
import path from "node:path";
import { GENESIS, MAX_LINE_BYTES, type ReadLine, readLine } from "./line.ts";

/** Where an existing chain ends, so that it goes on from there. */
export interface ChainEnd {
  readonly seq: number;
  readonly hash: string;
  /** Type of the last record, or `null` when there is none yet. */
  readonly lastType: string | null;
  /** File that holds the last record, name only; `null` for a first start. */
  readonly lastFile: string | null;
  /**
   * What stands at the path itself: `nothing`, an `empty` file, a file that the chain can go on in (`open`), or one that must
   * be set aside because its end is torn or it was ended (`ended`).
   */
  readonly state: "nothing" | "empty" | "open" | "ended";
  /** Bytes of an unfinished last line: a crash in the middle of a write. */
  readonly tornBytes: number;
}

/** How much of a file's end is checked at start: some thousand records. `postern audit verify` checks all. */
const WINDOW_BYTES = 1024 * 1024;

/**
 * Finds the end of the chain in `file`, or in its newest archive.
 * @param file absolute
 * @throws Error with a next step when the end does not chain, or the path is no regular file
 */
export async function findChainEnd(file: string): Promise<ChainEnd> {
  const name = path.basename(file);
  const own = await readEnd(file);
  if (own !== null && own.last !== null) {
    const state = own.tornBytes > 0 || own.last.type === "rotated" ? "ended" : "open";
    return {
      seq: own.last.seq,
      hash: own.last.hash,
      lastType: own.last.type,
      lastFile: name,
      state,
      tornBytes: own.tornBytes,
    };
  }
  const tornBytes = own?.tornBytes ?? 0;
  const state = own === null ? "nothing" : tornBytes > 0 ? "ended" : "empty";
  for (const archive of await archivesOf(file)) {
    const end = await readEnd(path.join(path.dirname(file), archive));
    if (end === null || end.last === null) continue;
    const { seq, hash, type } = end.last;
    return { seq, hash, lastType: type, lastFile: archive, state, tornBytes };
  }
  return { seq: 0, hash: GENESIS, lastType: null, lastFile: null, state, tornBytes };
}

/** `audit.jsonl` -> `audit-000000000123.jsonl`; sorts by name into the order of the chain. */
export function archiveName(file: string, lastSeq: number): string {
  const { name, ext } = path.parse(file);
  return `${name}-${String(lastSeq).padStart(12, "0")}${ext}`;
}

/** Newest first. */
async function archivesOf(file: string): Promise<string[]> {
  const { name, ext, dir } = path.parse(file);
  const names = await fsp.readdir(dir);
  const isArchive = (entry: string): boolean =>
    entry.startsWith(`${name}-`) && entry.endsWith(ext) && /^[0-9]{12}(\.[0-9]+)?$/.test(core(entry));
  const core = (entry: string): string => entry.slice(name.length + 1, entry.length - ext.length);
  return names.filter(isArchive).sort((a, b) => (core(a) < core(b) ? 1 : -1));
}

interface FileEnd {
  readonly last: ReadLine | null;
  readonly tornBytes: number;
}

async function readEnd(file: string): Promise<FileEnd | null> {
  const bytes = await readWindow(file);
  if (bytes === null) return null;
  let last: ReadLine | null = null;
  let from = 0;
  if (!bytes.whole) {
    // The window begins inside a line: what is before its first LF belongs to a line that is not checked here.
    const first = bytes.window.indexOf(0x0a);
    if (first < 0) throw broken(file, "its last line is longer than any record");
    from = first + 1;
  }
  for (;;) {
    const end = bytes.window.indexOf(0x0a, from);
    if (end < 0) break;
    const line = readLine(bytes.window.subarray(from, end + 1));
    if (line === null) throw broken(file, `the line ${bytes.window.length - from} bytes before its end is no record`);
    if (!line.intact) throw broken(file, `record ${line.seq} was changed`);
    if (last !== null && (line.prev !== last.hash || line.seq !== last.seq + 1))
      throw broken(file, `record ${line.seq} does not follow record ${last.seq}`);
    last = line;
    from = end + 1;
  }
  const tornBytes = bytes.window.length - from;
  if (tornBytes > MAX_LINE_BYTES) throw broken(file, "its last line is longer than any record");
  return { last, tornBytes };
}

interface Window {
  readonly window: Buffer;
  readonly whole: boolean;
}

async function readWindow(file: string): Promise<Window | null> {
  let handle: fsp.FileHandle;
  try {
    handle = await fsp.open(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Error(`audit.file: ${file} is no regular file: name a file of its own`);
    const length = Math.min(stat.size, WINDOW_BYTES);
    const window = Buffer.alloc(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await handle.read(window, filled, length - filled, stat.size - length + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return { window: window.subarray(0, filled), whole: length === stat.size };
  } finally {
    await handle.close();
  }
}

function broken(file: string, what: string): Error {
  return new Error(
    `audit.file: ${file}: ${what}. Run "postern audit verify ${file}", keep the file as evidence, ` +
      "and move it away or name another audit.file to start",
  );
}
