import { copyFile, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bareEnv, run } from "./house/support/run.ts";

/** `npm run build`: what the image and the package are made of runs without the sources. */

const root = resolve(import.meta.dirname, "..");
let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-build-"));
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const args = [compiler, "-p", join(root, "tsconfig.build.json"), "--outDir", join(directory, "dist")];
  expect(await run(process.execPath, args, { timeoutMs: 55_000 })).toMatchObject({ code: 0, stdout: "" });
  await copyFile(join(root, "package.json"), join(directory, "package.json"));
  await symlink(join(root, "node_modules"), join(directory, "node_modules"));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

describe("the build", () => {
  test("has one module for each source, and none imports TypeScript", async () => {
    const modules = async (folder: string, end: string): Promise<string[]> => {
      const files = await readdir(join(folder), { recursive: true });
      return files.filter((file) => file.endsWith(end) && !file.endsWith(".d.ts")).map((file) => file.slice(0, -3));
    };
    const built = await modules(join(directory, "dist"), ".js");
    expect(built.toSorted()).toEqual((await modules(join(root, "src"), ".ts")).toSorted());
    for (const file of built) {
      const text = await readFile(join(directory, "dist", `${file}.js`), "utf8");
      expect(text).not.toMatch(/^(import|export)\b[^;]*\.ts";|import\("[^"]*\.ts"\)/m);
    }
  });

  test("starts under plain node, each command", async () => {
    const postern = (...args: string[]): ReturnType<typeof run> =>
      run(process.execPath, [join(directory, "dist/main.js"), ...args], { env: bareEnv(directory), cwd: directory });
    const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };
    expect(await postern("--version")).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: "" });
    const help = await postern("--help");
    const commands = [...help.stdout.matchAll(/^ {2}([a-z-]+)(?: \[| <| {2,})/gm)].map((match) => match[1] ?? "");
    expect(commands).toEqual(expect.arrayContaining(["serve", "guest-env"]));
    const helps = await Promise.all(commands.filter((name) => name !== "help").map((name) => postern(name, "--help")));
    for (const result of helps) expect(result).toMatchObject({ code: 0, stderr: "" });
  });
});
