import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/**
 * The import rule of src/README.md, proven to bite: canaries that break it in every folder are written into a copy of the
 * tree's shape, the house's own linter config runs over them, and each one must fail. What the map allows must pass.
 */

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const rules = await readMap();
const folders = [...rules.keys()];

interface Canary {
  readonly file: string;
  readonly source: string;
  readonly allowed: boolean;
}

const canaries = [...folders.flatMap(neighbours), ...folders.flatMap(disguises), ...special()];
let directory = "";
let blamed: ReadonlySet<string> = new Set();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-import-rule-"));
  await copyFile(join(root, ".oxlintrc.json"), join(directory, ".oxlintrc.json"));
  for (const { file, source } of canaries) {
    await mkdir(dirname(join(directory, file)), { recursive: true });
    await writeFile(join(directory, file), source);
  }
  blamed = await filesThatBreakTheRule(directory);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

describe("the import rule", () => {
  test("the map names every folder of src, and no other but reserved ones", async () => {
    const entries = await readdir(join(root, "src"), { withFileTypes: true });
    const real = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
    expect(real.filter((folder) => !rules.has(folder))).toEqual([]);
    const map = await readFile(join(root, "src/README.md"), "utf8");
    const absent = folders.filter((folder) => !real.includes(folder));
    expect(absent.filter((folder) => !map.includes(`\`${folder}/\` | reserved`))).toEqual([]);
  });

  test("every canary that breaks it fails the linter", () => {
    const missed = canaries.filter(({ allowed, file }) => !allowed && !blamed.has(file));
    expect(missed).toEqual([]);
    expect(canaries.filter(({ allowed }) => !allowed).length).toBeGreaterThan(200);
  });

  test("every import that the map allows passes", () => {
    const wronged = canaries.filter(({ allowed, file }) => allowed && blamed.has(file));
    expect(wronged).toEqual([]);
    expect(canaries.filter(({ allowed }) => allowed).length).toBeGreaterThan(50);
  });

  test("the linter reads every file of src", async () => {
    const { stdout } = await oxlint(root, ["--debug=files", "src"]);
    const linted = new Set(stdout.split("\n").map((line) => line.trim().replace(/^.*?(src\/)/, "$1")));
    const files = await readdir(join(root, "src"), { recursive: true });
    const missing = files.filter((file) => file.endsWith(".ts") && !linted.has(`src/${file}`));
    expect(missing).toEqual([]);
  });
});

/** `folder -> what it may import`, read from the table of the map; "*" = everything. */
async function readMap(): Promise<Map<string, readonly string[] | "*">> {
  const map = await readFile(join(root, "src/README.md"), "utf8");
  const found = new Map<string, readonly string[] | "*">();
  for (const line of map.split("\n")) {
    const [, names = "", , may = ""] = line.split("|").map((cell) => cell.trim());
    const allowed = may === "everything" ? "*" : foldersIn(may);
    for (const name of foldersIn(names)) found.set(name, allowed);
  }
  return found;
}

function foldersIn(cell: string): string[] {
  return [...cell.matchAll(/`([a-z0-9]+)\/`/g)].map((match) => match[1] as string);
}

function mayImport(from: string, to: string): boolean {
  const allowed = rules.get(from);
  return from === to || allowed === "*" || (allowed?.includes(to) ?? false);
}

/** From each folder to each other one, from its top and from a folder below. */
function neighbours(from: string): Canary[] {
  return folders
    .filter((to) => to !== from)
    .flatMap((to) => {
      const allowed = mayImport(from, to);
      const flat = { file: `src/${from}/to-${to}.ts`, source: importing(`../${to}/thing.ts`), allowed };
      const deep = { file: `src/${from}/deep/to-${to}.ts`, source: importing(`../../${to}/thing.ts`), allowed };
      return from === "core" ? [flat] : [flat, deep];
    });
}

/** Spellings and forms of import that might slip past a pattern; each reaches a folder that is not allowed. */
function disguises(from: string): Canary[] {
  const target = folders.find((to) => !mayImport(from, to));
  if (target === undefined) return [];
  const path = `../${target}/thing.ts`;
  const sources = [
    importing(`./${path}`),
    importing(`../core/${path}`),
    importing(`./below/../${path}`),
    importing(`../../src/${target}/thing.ts`),
    importing(`../main.ts`),
    importing(`/src/${target}/thing.ts`),
    importing(`file:///src/${target}/thing.ts`),
    importing(`postern/dist/${target}/thing.js`),
    importing(".."),
    `import "${path}";\n`,
    `import type { thing } from "${path}";\nexport type Mine = typeof thing;\n`,
    `export { thing } from "${path}";\n`,
    `export * from "${path}";\n`,
    `export type { thing } from "${path}";\n`,
    `export const late = import("${path}");\n`,
    `export const late = (name: string) => import(name);\n`,
    `export type Sly = import("${path}").Thing;\n`,
  ];
  return sources.map((source, i) => ({ file: `src/${from}/disguise-${i}.ts`, source, allowed: false }));
}

function special(): Canary[] {
  const own = folders.flatMap((from) => [
    { file: `src/${from}/own.ts`, source: importing("./thing.ts"), allowed: true },
    { file: `src/${from}/deep/own.ts`, source: importing("../thing.ts"), allowed: from !== "core" },
    {
      file: `src/${from}/node.ts`,
      source: importing("node:crypto"),
      allowed: !["core", "http1", "http2"].includes(from),
    },
  ]);
  const sockets = ["node:net", "node:tls", "node:http", "node:fs", "net", "node:dns/promises"].map((name, i) => ({
    file: `src/http1/socket-${i}.ts`,
    source: importing(name),
    allowed: false,
  }));
  return [
    ...own,
    ...sockets,
    { file: "src/http1/buffer.ts", source: importing("node:buffer"), allowed: true },
    { file: "src/core/package.ts", source: importing("undici"), allowed: false },
    { file: "src/cli/up.ts", source: importing("../main.ts"), allowed: false },
    { file: "src/main.ts", source: importing("./policy/thing.ts"), allowed: true },
  ];
}

function importing(specifier: string): string {
  return `import { thing } from "${specifier}";\n\nexport const kept = thing;\n`;
}

const RULES = [
  "eslint(no-restricted-imports)",
  "import(no-nodejs-modules)",
  "import(no-dynamic-require)",
  "typescript(consistent-type-imports)",
];

async function filesThatBreakTheRule(cwd: string): Promise<Set<string>> {
  const { stdout } = await oxlint(cwd, ["--format=json", "src"]);
  const report = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] };
  return new Set(report.diagnostics.filter(({ code }) => RULES.includes(code)).map(({ filename }) => filename));
}

function oxlint(cwd: string, args: readonly string[]): Promise<{ stdout: string }> {
  const program = join(root, "node_modules/oxlint/bin/oxlint");
  return new Promise((done, fail) => {
    execFile(process.execPath, [program, ...args], { cwd, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      // Exit code 1 means findings, which is what canaries are for; anything else is a broken linter.
      if (error !== null && error.code !== 1) fail(new Error(`oxlint failed: ${stderr}${stdout.slice(0, 2000)}`));
      else done({ stdout });
    });
  });
}
