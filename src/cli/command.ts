import type { Command } from "commander";

/**
 * How a command looks. Each lives in a file of its own here and exports `register`; `src/main.ts` has one line for it with its
 * name, its summary and an `import()`, so that starting one command loads nothing of the others.
 */
export interface CommandModule {
  /**
   * Adds arguments, options and the action. The action may return a promise; what it throws ends the process: `CommandFailure`
   * with its own code, anything else with 1 and one line.
   * @param command made already, with name and summary
   */
  register(command: Command, terminal: Terminal): void;
}

export interface CommandEntry {
  readonly name: string;
  /** One line of `postern help`. */
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
  /**
   * Of a command that runs for months: does the same for the words that it is usually started with.
   * @param words behind the command's name
   * @returns `false` at once where they are others
   */
  readonly unparsed?: (words: readonly string[]) => Promise<boolean>;
}

/** What a command may know of the process that it runs in. */
export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

/** Exit codes: what scripts can tell apart. */
export const EXIT = {
  ok: 0,
  /** Something failed that is not the caller's doing. */
  failed: 1,
  /** The command line or a config file is wrong. */
  usage: 2,
} as const;

/** An end that was foreseen: printed as it is, without a stack. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
  readonly exitCode: number;

  /** @param message one or more lines for standard error, ending in the next step; empty when all was said already */
  constructor(message: string, exitCode: number = EXIT.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}
