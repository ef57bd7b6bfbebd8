import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { lockForWriting } from "../../audit/lock.ts";
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
  const lock = await lockForWriting(path).catch((error: unknown) => {
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(text.replace(/^audit\.file: /, "state: "), { cause: error });
  });
  undo.add(() => lock?.release());
  const revocations = await Revocations.open(path, options);
  undo.add(() => revocations.close());
  const close = async (): Promise<void> => {
    await revocations.close();
    await lock?.release();
  };
  return { revocations, close };
}
