import { Command, CommanderError } from "commander";
import { type CommandEntry, EXIT, type Terminal } from "./command.ts";

const HELP = `
First steps:
  $ postern dev                              an edge, a custody and an upstream to try it on, no configuration
  $ postern check --config postern.yaml      what a config means, or all that is wrong with it
  $ postern explain GET https://api.openai.com/v1/models --config postern.yaml
  $ postern serve --config postern.yaml      run the edge

Every command tells its options with --help. The config by example: config/postern.example.yaml`;

/**
 * Parses what stands behind `postern`, and runs the command that it names or prints what is asked for.
 * @returns the exit code, once the command has ended
 */
export async function runCommandLine(
  entries: readonly CommandEntry[],
  version: string,
  words: readonly string[],
  terminal: Terminal,
): Promise<number> {
  const program = await programFor(entries, version, words, terminal);
  try {
    await program.parseAsync([...words], { from: "user" });
    return EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    throw error;
  }
}

async function programFor(
  entries: readonly CommandEntry[],
  version: string,
  words: readonly string[],
  terminal: Terminal,
): Promise<Command> {
  const program = new Command("postern")
    .description(
      "The only way out for sandboxed workloads: destinations by allow-list, credentials attached at the edge.",
    )
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .option("--debug", "print the stack of an unexpected error")
    .addHelpText("after", HELP);
  const settle = (command: Command): Command =>
    command
      .exitOverride()
      .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.err(text) })
      .showHelpAfterError("Run it with --help to see what it takes.");
  settle(program);
  const wanted = new Set(words);
  for (const { name, summary, load } of entries) {
    const command = settle(program.command(name)).description(summary);
    command.option("--debug", "print the stack of an unexpected error");
    // Only what is named is loaded: a word that happens to be a command's name costs an import and nothing else.
    if (wanted.has(name)) (await load()).register(command, terminal);
  }
  return program;
}
