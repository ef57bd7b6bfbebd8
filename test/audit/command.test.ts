import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { describe, expect, test } from "vitest";
import { register } from "../../src/cli/audit.ts";
import { CommandFailure } from "../../src/cli/command.ts";
import { openTrail, records, scratch } from "./fixture.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The command as the program runs it, without the cost of a process. */
async function audit(...words: string[]): Promise<Ended> {
  let out = "";
  let err = "";
  const command = new Command("audit").exitOverride().configureOutput({
    writeOut: (text) => {
      out += text;
    },
    writeErr: (text) => {
      err += text;
    },
  });
  register(command, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    env: {},
    cwd: "/",
  });
  try {
    await command.parseAsync(words, { from: "user" });
    return { code: 0, out, err };
  } catch (error) {
    if (error instanceof CommandFailure) return { code: error.exitCode, out, err: err + error.message };
    return { code: 2, out, err };
  }
}

async function written(count: number): Promise<string> {
  const { trail, file } = await openTrail(scratch());
  for (let n = 0; n < count; n++)
    trail.outcome(`"time":"2027-01-15T08:00:00.000Z","id":"e${n}","path":"/a b\\u001b[31m"`);
  await trail.close();
  return file;
}

describe("postern audit verify", () => {
  test("0 and the head when the chain holds", async () => {
    const file = await written(5);
    const { code, out } = await audit("verify", file);
    const head = records(file).at(-1);
    expect([code, out]).toEqual([
      0,
      `${file}: 7 records, 1 to 7, head ${String(head?.["hash"])}\nok: the chain holds\n`,
    ]);
    expect(await audit("verify", file, "--expect-seq", "3", "--expect-closed")).toMatchObject({ code: 0 });
  });

  test("1, file and line when it is broken, also as JSON", async () => {
    const file = await written(5);
    writeFileSync(file, readFileSync(file, "latin1").replace('"id":"e3"', '"id":"e9"'));
    const { code, out } = await audit("verify", file);
    expect(code).toBe(1);
    expect(out).toContain(`broken: ${file}:5: record 5 was changed`);
    const json = await audit("verify", file, "--json");
    expect(json.code).toBe(1);
    expect(JSON.parse(json.out)).toMatchObject({ ok: false, problems: [{ file, line: 5 }] });
  });

  test("2 and a next step for wrong usage", async () => {
    const file = await written(1);
    expect(await audit("verify")).toMatchObject({ code: 2 });
    expect(await audit("verify", `${file}.not`)).toMatchObject({
      code: 2,
      err: `${file}.not: cannot be read (ENOENT): name audit files that exist`,
    });
    expect(await audit("verify", file, "--expect-seq", "x")).toMatchObject({ code: 2 });
    expect(await audit("verify", file, "--expect-hash", "abc")).toMatchObject({ code: 2 });
  });

  test("2 for a directory, by its name", async () => {
    const place = scratch();
    const err = `${place}: cannot be read (EISDIR): name audit files that exist`;
    for (const word of ["verify", "show"]) expect(await audit(word, place)).toMatchObject({ code: 2, err });
  });

  test("the real program has the command", () => {
    const { status, stdout } = spawnSync(process.execPath, [MAIN, "audit", "verify", "--help"], { encoding: "utf8" });
    expect(status).toBe(0);
    expect(stdout).toContain("Exit codes: 0 the chain holds, 1 it is broken, 2 wrong usage.");
  });
});

describe("postern audit show", () => {
  test("the last records, nothing that a terminal would act on", async () => {
    const file = await written(30);
    const { code, out } = await audit("show", file, "-n", "2");
    expect(code).toBe(0);
    const lines = out.split("\n");
    expect(lines).toHaveLength(3);
    expect(lines[0]).toBe(String.raw`31 2027-01-15T08:00:00.000Z exchange id=e29 path="/a b\u001b[31m"`);
    expect(lines[1]).toMatch(/^32 .* shutdown boot=/);
  });

  test("what is no record is shown as such", async () => {
    const file = await written(1);
    writeFileSync(file, "hello \u001b[2J\n");
    expect((await audit("show", file)).out).toBe(String.raw`(no record) "hello \u001b[2J"` + "\n");
  });
});
