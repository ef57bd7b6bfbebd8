import type { Terminal } from "../../../src/cli/command.ts";

/** A terminal that remembers what was printed. */
export interface FakeTerminal extends Terminal {
  readonly stdout: string;
  readonly stderr: string;
}

export function fakeTerminal(cwd = "/", env: Terminal["env"] = {}): FakeTerminal {
  let stdout = "";
  let stderr = "";
  return {
    cwd,
    env,
    out: (text) => void (stdout += text),
    err: (text) => void (stderr += text),
    get stdout() {
      return stdout;
    },
    get stderr() {
      return stderr;
    },
  };
}
