import { execFile } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, rmSync } from "node:fs";
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
  // What an earlier tree built in this place must not be measured for it.
  rmSync(join(folder, "dist"), { recursive: true, force: true });
  const [builder, ...args] = buildCommand(checkout, join(folder, "dist"));
  const program = join(checkout, "node_modules", ".bin", builder);
  const words = await promisify(execFile)(program, args, { cwd: checkout, timeout: 120_000 }).then(
    () => "",
    // A type error elsewhere in the tree does not keep a compiler from writing; whether it wrote is what counts.
    (error: Error & { readonly stdout?: string }) => error.stdout ?? error.message,
  );
  if (!existsSync(main)) throw new Error(`postern was not built:\n${words}`);
  return main;
}

/** What the checkout's `npm run build` runs. Trees from before the bundle compiled file by file. */
function buildCommand(checkout: string, dist: string): readonly [string, ...string[]] {
  if (existsSync(join(checkout, "tsconfig.build.json"))) return ["tsc", "-p", "tsconfig.build.json", "--outDir", dist];
  return ["rolldown", "-c", "rolldown.config.ts", "--dir", dist];
}
