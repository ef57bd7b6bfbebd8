import { open } from "node:fs/promises";
import { resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import type { Secret } from "../../core/secret.ts";
import { rootOf, textOf } from "../../custody/sources/root-text.ts";
import { MAX_ROOT_BYTES } from "../../custody/sources/source.ts";
import { CommandFailure, EXIT, type Terminal } from "../command.ts";

/**
 * A value from a file or from standard input.
 * @throws CommandFailure where standard input is a terminal: what is typed there stays on the screen and in its scrollback
 * @throws SourceError when there is none, or too much
 */
export async function secretFrom(file: string | undefined, terminal: Terminal): Promise<Secret> {
  if (file !== undefined) return ofText(await bytesOfFile(resolve(terminal.cwd, file)), `file "${file}"`);
  if (process.stdin.isTTY)
    throw new CommandFailure(
      "the value is not asked for here, where it would stay on the screen: pipe it in, or name a file with --from FILE",
      EXIT.usage,
    );
  return ofText(await bounded(process.stdin), "standard input");
}

/** Has the name typed once more. @throws CommandFailure when it is another one, or nothing */
export async function confirmed(name: string, terminal: Terminal): Promise<void> {
  terminal.err(`this removes "${name}" for good; type its name to go on: `);
  const lines = createInterface({ input: process.stdin });
  try {
    for await (const line of lines) {
      if (line.trim() === name) return;
      break;
    }
  } finally {
    lines.close();
  }
  throw new CommandFailure("nothing was removed: type the very name, or say --yes", EXIT.usage);
}

function ofText(bytes: Buffer, where: string): Secret {
  try {
    return rootOf(textOf(bytes, where), where);
  } finally {
    bytes.fill(0);
  }
}

async function bytesOfFile(path: string): Promise<Buffer> {
  try {
    const file = await open(path);
    try {
      return await bounded(file.createReadStream({ autoClose: false }));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof CommandFailure || !(error instanceof Error)) throw error;
    const code = "code" in error ? String(error.code) : "unknown error";
    throw new CommandFailure(`${path}: cannot be read (${code}): check the path`, EXIT.usage);
  }
}

async function bounded(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    size += chunk.length;
    // One byte more than can be right is enough to say so.
    if (size > MAX_ROOT_BYTES + 2) break;
  }
  return Buffer.concat(chunks);
}
