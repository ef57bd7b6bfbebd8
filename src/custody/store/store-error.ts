import { SourceError } from "../sources/source.ts";

/** Why a store gives or takes nothing; a closed list, so that callers can tell what they may mend by themselves. */
export type StoreFault =
  /** There is no file. */
  | "missing"
  /** Wrong owner or mode, of the file or of its key. */
  | "exposed"
  /** The file cannot be read, locked or written. */
  | "inaccessible"
  /** The key cannot be read, or is none. */
  | "key_unavailable"
  | "wrong_key"
  | "damaged"
  /** Older than, or another one than, what this process has read before. */
  | "rolled_back"
  | "entry_unknown"
  | "entry_exists"
  /** Somebody else has changed the entry since its version was read. */
  | "entry_changed"
  /** The value or its name is none. */
  | "unfit";

/** The text is for operators, ends in a next step and never holds what was read. */
export class StoreError extends SourceError {
  readonly fault: StoreFault;

  constructor(fault: StoreFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/** The system's word for what went wrong, without the path that it repeats. */
export function systemWord(error: unknown): string {
  if (!(error instanceof Error)) return "unknown error";
  return "code" in error && typeof error.code === "string" ? error.code : error.name;
}
