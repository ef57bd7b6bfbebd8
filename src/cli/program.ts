import { type CommandEntry, CommandFailure, EXIT, type Terminal } from "./command.ts";

/**
 * The command line, from the words to the exit code.
 * @param words what stands behind `postern`
 * @returns the exit code, once the command has ended
 */
export async function runProgram(
  entries: readonly CommandEntry[],
  version: string,
  words: readonly string[],
  terminal: Terminal,
): Promise<number> {
  try {
    const [name, ...rest] = words;
    // The parser of command lines would lie for months in a process that needs it once: 0.8 MB.
    const unparsed = await entries.find((one) => one.name === name)?.unparsed?.(rest);
    if (unparsed === true) return EXIT.ok;
    const { runCommandLine } = await import("./command-line.ts");
    return await runCommandLine(entries, version, words, terminal);
  } catch (error) {
    return exitCodeOf(error, words.includes("--debug"), terminal);
  }
}

function exitCodeOf(error: unknown, debug: boolean, terminal: Terminal): number {
  if (error instanceof CommandFailure) {
    if (error.message !== "") terminal.err(`${error.message}\n`);
    return error.exitCode;
  }
  const text = error instanceof Error ? (debug ? (error.stack ?? error.message) : error.message) : String(error);
  const hint = debug ? "" : " (run it again with --debug for the stack)";
  terminal.err(`postern: ${debug ? text : text.split("\n", 1)[0]}${hint}\n`);
  return EXIT.failed;
}
