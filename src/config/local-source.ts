import type { LocalSourceSpec } from "../core/credential.ts";
import type { FileSet } from "./file-set.ts";
import type { RawLocalSource } from "./local-source-schema.ts";

/** Sources are watched by custody, not by the config: rotating a secret is no change of configuration. */
export function localSource(raw: RawLocalSource, files: FileSet): LocalSourceSpec {
  if ("env" in raw) return { from: "env", variable: raw.env };
  if ("file" in raw) return { from: "file", path: files.absolute(raw.file) };
  const [program = "", ...rest] = raw.exec;
  // Without a slash the program is looked for in PATH.
  const command = [program.includes("/") ? files.absolute(program) : program, ...rest];
  return { from: "exec", command: Object.freeze(command), timeoutMs: raw.timeout_ms };
}
