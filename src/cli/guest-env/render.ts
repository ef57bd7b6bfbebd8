import { CommandFailure, EXIT } from "../command.ts";

/** How the variables are handed to a guest. */
export type GuestFormat = "sh" | "docker" | "github" | "json";

export const GUEST_FORMATS: readonly GuestFormat[] = ["sh", "docker", "github", "json"];

export interface Rendered {
  readonly name: string;
  readonly value: string;
  readonly neededBy: string;
}

/** Files that go with the variables, as the guest sees them. */
export type GuestFiles = Readonly<Record<string, string>>;

/**
 * - `sh`: `eval "$(postern guest-env)"` in any POSIX shell
 * - `docker`: the lines of `docker run --env-file` (no quoting there: a value is the rest of its line)
 * - `github`: the lines that go to the file named by GITHUB_ENV
 * - `json`: `{ env, files, needed_by }`
 * @throws CommandFailure for a value with a line break or another control character, which no format could carry alike
 */
export function renderVariables(format: GuestFormat, variables: readonly Rendered[], files: GuestFiles): string {
  for (const { name, value } of variables) {
    if (/\p{Cc}/u.test(value))
      throw new CommandFailure(`the value of ${name} holds a control character: choose other file names`, EXIT.usage);
  }
  switch (format) {
    case "sh":
      return lines(variables, ({ name, value }) => `export ${name}=${shellWord(value)}`);
    case "docker":
    case "github":
      return lines(variables, ({ name, value }) => `${name}=${value}`);
    case "json":
      return `${JSON.stringify(jsonShape(variables, files), null, 2)}\n`;
  }
}

/** Inside single quotes a POSIX shell gives no character a meaning but the quote itself. */
export function shellWord(value: string): string {
  return `'${value.replaceAll("'", `'\\''`)}'`;
}

function lines(variables: readonly Rendered[], line: (variable: Rendered) => string): string {
  return variables.map((variable) => `${line(variable)}\n`).join("");
}

function jsonShape(variables: readonly Rendered[], files: GuestFiles): unknown {
  return {
    env: Object.fromEntries(variables.map(({ name, value }) => [name, value])),
    files,
    needed_by: Object.fromEntries(variables.map(({ name, neededBy }) => [name, neededBy])),
  };
}
