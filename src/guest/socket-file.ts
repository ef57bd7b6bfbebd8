import { chmodSync, lchownSync } from "node:fs";
import type { Server } from "node:net";

/** Who may connect through a unix socket. */
export interface SocketFile {
  readonly path: string;
  /** Permission bits: write is what it takes to connect. */
  readonly mode: number;
  /** `null` leaves it to whoever runs the edge. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

/** Until owner and mode are set: nobody but the user of the edge itself, who needs no socket to be it. */
const MASK = 0o177;

/**
 * Begins to listen on a unix socket that is never open to others than it is meant for, not between two of these calls either.
 * @param listen binds within the call, as `Server.listen` does for a path
 * @throws Error with a next step when owner or mode cannot be set
 */
export function openSocketFile({ path, mode, owner }: SocketFile, listen: () => Server): void {
  const before = process.umask(MASK);
  try {
    // What stands at the path is somebody else's then; the server says so by its `error`.
    if (!listen().listening) return;
  } finally {
    process.umask(before);
  }
  // The mode last: it would let a group in before it is the one that is meant.
  if (owner !== null) {
    const { uid, gid } = owner;
    set(`owner ${uid}:${gid}`, "start as root, or write a group that the user of the edge is in", () =>
      lchownSync(path, uid, gid),
    );
  }
  set(`mode 0${mode.toString(8)}`, "start as root, or leave the owner out", () => chmodSync(path, mode));
}

function set(what: string, next: string, step: () => void): void {
  try {
    step();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new Error(`the socket's ${what} cannot be set (${code}): ${next}`, { cause: error });
  }
}
