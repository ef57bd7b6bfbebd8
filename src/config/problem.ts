import { MASKED, masked } from "./secret-look.ts";

/** One thing that is wrong with a config file, in the words of the file: where, and what to write instead. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** As `destinations[2].host`; empty when the file as a whole is meant. */
  readonly path: string;
  readonly message: string;
}

export type Path = readonly (string | number)[];

/** A problem before its place in the file is looked up. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
  /** The key is at fault, not its value. */
  readonly atKey?: boolean;
}

/** More than this many are counted, not listed: nobody reads on, and a million lines would hide the first. */
export const MOST_PROBLEMS = 200;

/** `["destinations", 2, "host"]` -> `destinations[2].host`. A key may be a secret that was pasted in the wrong place. */
export function pathText(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (masked(part) !== part) text += `[${MASKED}]`;
    else if (/^[A-Za-z0-9_-]+$/.test(part)) text += text === "" ? part : `.${part}`;
    else text += `[${quoted(part)}]`;
  }
  return text;
}

/** `file:line:column: path: message`, as editors and CI read it. */
export function problemLine(problem: Problem): string {
  const place = problem.line > 0 ? `${problem.file}:${problem.line}:${problem.column}` : problem.file;
  return problem.path === "" ? `${place}: ${problem.message}` : `${place}: ${problem.path}: ${problem.message}`;
}

/** A value of the file inside a message: bounded, control characters escaped, what looks like a secret masked before it is cut. */
export function quoted(value: unknown): string {
  const text = masked(JSON.stringify(value) ?? "nothing");
  return text.length > 80 ? `${text.slice(0, 77)}..."` : text;
}
