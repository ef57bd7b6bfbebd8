import { resolve } from "node:path";
import type { Command } from "commander";
import type { Loaded } from "../config/load.ts";
import { problemLine } from "../config/problem.ts";
import { CommandFailure, EXIT, type Terminal } from "./command.ts";

/** `--config FILE`, as every command that reads a config takes it. */
export function addConfigOption(command: Command, terminal: Terminal): Command {
  const fallback = terminal.env["POSTERN_CONFIG"] ?? "postern.yaml";
  return command.option("-c, --config <file>", "config file; POSTERN_CONFIG names another default", fallback);
}

/** Reads a config by the name that the command line has for it, which is what its problems call it. */
export function loadNamed<Config>(
  name: string,
  terminal: Terminal,
  load: (path: string) => Loaded<Config>,
): Loaded<Config> {
  const loaded = load(resolve(terminal.cwd, name));
  return loaded.ok ? loaded : { ...loaded, problems: loaded.problems.map((problem) => ({ ...problem, file: name })) };
}

/**
 * The config, or the end of the command with everything that is wrong with it on standard error.
 * @throws CommandFailure with exit code 2
 */
export function configOf<Right extends { readonly ok: true }>(loaded: Right | Wrong): Right {
  if (loaded.ok) return loaded;
  const { problems } = loaded;
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  throw new CommandFailure([...problems.map(problemLine), `${count}: nothing was done`].join("\n"), EXIT.usage);
}

type Wrong = Extract<Loaded<never>, { readonly ok: false }>;
