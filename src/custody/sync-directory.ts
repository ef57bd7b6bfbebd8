import { constants } from "node:fs";
import { open } from "node:fs/promises";

/** Returns once the names of a directory would survive a power cut: a file that was renamed into it is there then. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
