import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { OwnerLock } from "../../custody/owner-lock.ts";
import { Revocations, type RevocationsOptions } from "../../custody/revocations.ts";
import type { Undo } from "../undo.ts";

export interface State {
  readonly revocations: Revocations;
  close(): Promise<void>;
}

/**
 * What is revoked, from the state file of a custody. A custody that cannot read it does not start: it would issue what was taken
 * away.
 * @throws Error with a next step when it is unreadable, or another process writes it
 */
export async function openState(path: string, options: RevocationsOptions, undo: Undo): Promise<State> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  // Two that had it at once would each write away what the other one revoked.
  const lock = await OwnerLock.take(path).catch((error: unknown) => {
    throw new Error(`state: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  });
  undo.add(() => lock.release());
  const revocations = await Revocations.open(path, options);
  undo.add(() => revocations.close());
  const close = async (): Promise<void> => {
    await revocations.close();
    lock.release();
  };
  return { revocations, close };
}
