import { execFile } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const built = new Map<string, Promise<string>>();

/**
 * Builds `src/` as it is shipped, once a run: taking types off at the start, as a checkout does, costs 30 MB that no image pays.
 * @param checkout folder of a Postern tree with its packages installed
 * @returns path of the built `main.js`
 * @throws Error with the compiler's words when nothing came out
 */
export function buildPostern(checkout: string): Promise<string> {
  const known = built.get(checkout) ?? build(checkout);
  built.set(checkout, known);
  return known;
}

async function build(checkout: string): Promise<string> {
  // Under `node_modules/`, so that the built code finds its packages and nobody's `dist/` is touched.
  const folder = join(checkout, "node_modules", ".cache", "postern-bench");
  const main = join(folder, "dist", "main.js");
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(checkout, "package.json"), join(folder, "package.json"));
  const compiler = join(checkout, "node_modules", ".bin", "tsc");
  const args = ["-p", join(checkout, "tsconfig.build.json"), "--outDir", join(folder, "dist")];
  const words = await promisify(execFile)(compiler, args, { timeout: 120_000 }).then(
    () => "",
    // A type error elsewhere in the tree does not keep the compiler from writing; whether it wrote is what counts.
    (error: Error & { readonly stdout?: string }) => error.stdout ?? error.message,
  );
  if (!existsSync(main)) throw new Error(`postern was not built:\n${words}`);
  return main;
}
