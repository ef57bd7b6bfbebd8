import { createRequire } from "node:module";

/** Version of the package, as package.json has it; the file lies at the same place above `src/` and above `dist/`. */
export function version(): string {
  return (createRequire(import.meta.url)("../../package.json") as { version: string }).version;
}
