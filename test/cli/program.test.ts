import { execFile } from "node:child_process";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { type CommandEntry, CommandFailure } from "../../src/cli/command.ts";
import { runProgram } from "../../src/cli/program.ts";
import { fakeTerminal } from "./support/terminal.ts";

/** The frame of the command line: exit codes, lazy loading, help. */

const loaded: string[] = [];

function entry(name: string, action: () => void | Promise<void>): CommandEntry {
  return {
    name,
    summary: `does ${name}`,
    load: () => {
      loaded.push(name);
      return Promise.resolve({ register: (command) => void command.argument("[word]").action(action) });
    },
  };
}

/** Takes `now` unparsed. */
const quick: CommandEntry = {
  ...entry("quick", () => {}),
  unparsed: async ([word, ...others]) => {
    if (word === "never") throw new CommandFailure("this is wrong: do that", 2);
    return await Promise.resolve(word === "now" && others.length === 0);
  },
};

const ENTRIES: readonly CommandEntry[] = [
  quick,
  entry("fine", () => {}),
  entry("slow", async () => {
    await Promise.resolve();
    throw new Error("no such thing\nsecond line");
  }),
  entry("foreseen", () => {
    throw new CommandFailure("this is wrong: do that", 2);
  }),
];

async function run(...words: string[]) {
  const terminal = fakeTerminal();
  loaded.length = 0;
  const code = await runProgram(ENTRIES, "1.2.3", words, terminal);
  return { code, out: terminal.stdout, err: terminal.stderr, loaded: [...loaded] };
}

describe("exit codes", () => {
  test("0 when a command ends, and nothing is printed", async () => {
    expect(await run("fine")).toEqual({ code: 0, out: "", err: "", loaded: ["fine"] });
  });

  test("an unexpected error is one line and 1; with --debug its stack", async () => {
    const plain = await run("slow");
    expect(plain).toMatchObject({
      code: 1,
      err: "postern: no such thing (run it again with --debug for the stack)\n",
    });
    for (const words of [
      ["--debug", "slow"],
      ["slow", "--debug"],
    ]) {
      const told = await run(...words);
      expect(told.code).toBe(1);
      expect(told.err).toContain("second line");
      expect(told.err).toContain("program.test.ts");
    }
  });

  test("a foreseen failure is printed as it is, with its own code", async () => {
    expect(await run("foreseen")).toMatchObject({ code: 2, err: "this is wrong: do that\n" });
  });

  test.each([
    [["fien"], "error: unknown command 'fien'\n(Did you mean fine?)"],
    [["fine", "--colour"], "error: unknown option '--colour'"],
    [["fine", "a", "b"], "error: too many arguments"],
  ])("usage errors are 2: %s", async (words, message) => {
    const { code, out, err } = await run(...words);
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err).toContain(message);
    expect(err).toContain("--help");
  });

  test("no command at all prints the help, and is a usage error", async () => {
    const { code, err } = await run();
    expect(code).toBe(2);
    expect(err).toContain("Usage: postern");
  });
});

test.each([
  [["quick", "now"], { code: 0, out: "", err: "" }],
  [["quick", "later"], { code: 0, out: "", err: "" }],
  [["quick", "now", "later"], { code: 2, err: expect.stringContaining("too many arguments") }],
  [["quick", "--help"], { code: 0, out: expect.stringContaining("Usage: postern quick") }],
  [["quick", "never"], { code: 2, err: "this is wrong: do that\n" }],
  [["now", "quick"], { code: 2, err: expect.stringContaining("unknown command 'now'") }],
])("a command that takes the usual words unparsed is parsed for all others: %s", async (words, expected) => {
  expect(await run(...words)).toMatchObject(expected);
});

describe("help", () => {
  test.each([[["--help"]], [["help"]]])(
    "%s tells what it is, the commands and a first step, and loads none",
    async (words) => {
      const { code, out, loaded: none } = await run(...words);
      expect(code).toBe(0);
      expect(out).toContain("does foreseen");
      expect(out).toContain("$ postern check --config postern.yaml");
      expect(none).toEqual([]);
    },
  );

  test.each([[["fine", "--help"]], [["help", "fine"]]])("%s is about that command", async (words) => {
    const { code, out } = await run(...words);
    expect(code).toBe(0);
    expect(out).toContain("Usage: postern fine [options] [word]");
  });

  test("--version", async () => {
    expect(await run("--version")).toMatchObject({ code: 0, out: "1.2.3\n" });
  });
});

describe("the real command", () => {
  const root = resolve(import.meta.dirname, "../..");
  const postern = (...words: string[]) =>
    promisify(execFile)(process.execPath, [join(root, "src/main.ts"), ...words]).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: unknown) => error as { code: number; stdout: string; stderr: string },
    );

  test("every command registers and has a summary", async () => {
    const { stdout } = await postern("--help");
    const names = [...stdout.matchAll(/^ {2}([a-z][a-z-]+) \[options\]/gm)].map((match) => match[1] as string);
    expect(names).toEqual(expect.arrayContaining(["check", "explain", "schema", "serve"]));
    const helps = await Promise.all(names.map((name) => postern(name, "--help")));
    for (const [i, help] of helps.entries())
      expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining(`Usage: postern ${names[i]}`) });
  });

  test("exit codes reach the shell", async () => {
    expect(await postern("check", "--config", join(root, "config/postern.example.yaml"))).toMatchObject({ code: 0 });
    expect(await postern("check", "--config", join(root, "no-such.yaml"))).toMatchObject({ code: 2, stdout: "" });
    expect(await postern("chekc")).toMatchObject({ code: 2, stdout: "" });
  });
});
