import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What the contenders that are libraries for Node have in common. */

const BENCH = join(import.meta.dirname, "..");

/** `node` with the bench's names resolving to loopback, then `args`. */
export function nodeCommand(...args: string[]): string[] {
  return [process.execPath, "--import", join(BENCH, "wire", "loopback-names.ts"), ...args];
}

/** Version of an installed package, or `null` when it is not there. */
export function packageVersion(name: string): string | null {
  try {
    const manifest = readFileSync(join(BENCH, "..", "node_modules", name, "package.json"), "utf8");
    return (JSON.parse(manifest) as { readonly version: string }).version;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
