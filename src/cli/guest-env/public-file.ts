import { randomUUID } from "node:crypto";
import { chmod, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { CommandFailure } from "../command.ts";

/**
 * Writes a file that every guest may read (0644): whole or not at all, so that a program that starts meanwhile never sees
 * half a bundle.
 * @throws CommandFailure that names the file and what to do
 */
export async function writePublicFile(path: string, contents: string | Uint8Array): Promise<void> {
  const draft = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(draft, contents, { flag: "wx" });
    // The umask has no say: a guest under another user must be able to read it.
    await chmod(draft, 0o644);
    await rename(draft, path);
  } catch (cause) {
    await rm(draft, { force: true });
    throw refusal("write", path, cause);
  }
}

/** @throws CommandFailure that names the directory and what to do */
export async function makePublicDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw refusal("make", path, cause);
  }
}

function refusal(verb: string, path: string, cause: unknown): CommandFailure {
  const why = cause instanceof Error ? cause.message : "unknown";
  return new CommandFailure(`cannot ${verb} ${path} (${why}): choose a directory that you may write to with --out`);
}
