import { execFile } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const ROOT = join(import.meta.dirname, "..", "..");
/** Under `node_modules/`, so that the built code finds its packages and nobody's `dist/` is touched. */
const FOLDER = join(ROOT, "node_modules", ".cache", "postern-bench");

/**
 * Builds `src/` as it is shipped, once a run: taking types off at the start, as a checkout does, costs 30 MB that no image pays.
 * @returns path of the built `main.js`
 * @throws Error with the compiler's words when nothing came out
 */
export function buildPostern(): Promise<string> {
  built ??= build();
  return built;
}

let built: Promise<string> | null = null;

async function build(): Promise<string> {
  const main = join(FOLDER, "dist", "main.js");
  mkdirSync(FOLDER, { recursive: true });
  copyFileSync(join(ROOT, "package.json"), join(FOLDER, "package.json"));
  const compiler = join(ROOT, "node_modules", ".bin", "tsc");
  const args = ["-p", join(ROOT, "tsconfig.build.json"), "--outDir", join(FOLDER, "dist")];
  const words = await promisify(execFile)(compiler, args, { timeout: 120_000 }).then(
    () => "",
    // A type error elsewhere in the tree does not keep the compiler from writing; whether it wrote is what counts.
    (error: Error & { readonly stdout?: string }) => error.stdout ?? error.message,
  );
  if (!existsSync(main)) throw new Error(`postern was not built:\n${words}`);
  return main;
}
