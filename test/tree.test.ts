import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

/** What the house promises about its own sources: names, sizes, and who may touch the clock and the environment. */

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const sources = await readSources();

describe("names", () => {
  test("no drawer for odds and ends", () => {
    const drawer = /^(utils?|helpers?|common|misc|shared|manager|types|index)(\.|$)/;
    const found = sources.flatMap(({ path }) => path.split("/").filter((part) => drawer.test(part)));
    expect(found).toEqual([]);
  });

  test("files and folders are lower-case words joined by hyphens", () => {
    const odd = sources.filter(({ path }) => !/^src(\/[a-z0-9]+(-[a-z0-9]+)*)+(\.d)?\.ts$/.test(path));
    expect(odd.map(({ path }) => path)).toEqual([]);
  });

  test("no barrel: no file only passes on what others export", () => {
    const barrels = sources.filter(({ text }) => {
      const statements = withoutComments(text).split(";");
      return statements.every((statement) => /^\s*(export\s[^=]*\sfrom\s[^=]*)?$/.test(statement));
    });
    expect(barrels.map(({ path }) => path)).toEqual([]);
  });
});

describe("sizes", () => {
  test("no file of src is longer than 400 lines", () => {
    const long = sources.filter(({ lines }) => lines > 400);
    for (const { path, lines } of sources) {
      if (lines > 250) process.stderr.write(`note: ${path} has ${lines} lines; at 250 it asks to be two\n`);
    }
    expect(long.map(({ path, lines }) => `${path}: ${lines}`)).toEqual([]);
  });
});

describe("short lives die young (docs/decisions/0028-short-lives-die-young.md)", () => {
  const lively = /^src\/(attach|core|guest|http1|http2|line|scrub|upstream)\//;
  const assigned = /[\w\])]\.#?\w+ = (async )?(function\b|\([^()]*\)(: [^=;]+)? =>|\w+ =>)/g;

  test("no function is written where it is assigned to a property", () => {
    const found = sources
      .filter(({ path }) => lively.test(path))
      .flatMap(({ path, text }) => [...withoutComments(text).matchAll(assigned)].map(([use]) => `${path}: ${use}`));
    expect(found).toEqual([]);
  });

  test.each([
    "this.#done = () => 1;",
    "socket.push = function (chunk) {",
    "at[0].then = async (a: B): C => a;",
    "a.b = c => d",
  ])("%s would be found", (text) => expect(text.match(assigned)).toHaveLength(1));

  test.each(["const push = (chunk) => 1;", "socket.push = pushDirectly;", "if (a.b === (c)) d();", "a.b = (c) + d;"])(
    "%s is none",
    (text) => expect(text.match(assigned)).toBeNull(),
  );
});

/** Uses that are allowed although the rule speaks against them, each with its reason. */
const ALLOWED: Readonly<Record<string, string>> = {};

describe("time, environment and chance are arguments", () => {
  const inner = sources.filter(({ path }) => path !== "src/main.ts" && !path.startsWith("src/cli/"));
  const forbidden = ["Date.now(", "new Date()", "performance.now(", "process.hrtime", "process.env", "Math.random"];

  test.each(forbidden)("%s only in main.ts and cli/", (use) => {
    const found = inner.filter(({ path, text }) => withoutComments(text).includes(use) && !(path in ALLOWED));
    expect(found.map(({ path }) => path)).toEqual([]);
  });

  test("every exception still exists", () => {
    const stale = Object.keys(ALLOWED).filter((path) => {
      const source = sources.find((candidate) => candidate.path === path);
      return source === undefined || !forbidden.some((use) => source.text.includes(use));
    });
    expect(stale).toEqual([]);
  });
});

describe("packages", () => {
  test("src imports runtime dependencies only, and each of them is used", async () => {
    const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    const imported = new Set(sources.flatMap(({ text }) => packagesOf(text)));
    const declared = Object.keys(manifest.dependencies);
    expect([...imported].filter((name) => !declared.includes(name))).toEqual([]);
    expect(declared.filter((name) => !imported.has(name))).toEqual([]);
  });

  test("the baselines of the bench stay out of the package", async () => {
    const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    expect(Object.keys(manifest.dependencies)).not.toEqual(expect.arrayContaining(["http-mitm-proxy"]));
    expect(Object.keys(manifest.dependencies)).not.toEqual(expect.arrayContaining(["mockttp"]));
  });
});

interface Source {
  readonly path: string;
  readonly text: string;
  readonly lines: number;
}

async function readSources(): Promise<Source[]> {
  const files = await readdir(join(root, "src"), { recursive: true });
  const modules = files.filter((file) => file.endsWith(".ts") && !basename(file).startsWith("."));
  return Promise.all(
    modules.map(async (file) => {
      const text = await readFile(join(root, "src", file), "utf8");
      return { path: `src/${file}`, text, lines: text.trimEnd().split("\n").length };
    }),
  );
}

/** Comments may speak of what code must not do. A `//` behind a colon is a URL in a string. */
function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(^|[^:"'`])\/\/.*$/gm, "$1");
}

const IMPORT = /^(?:import|export)\s[^;"]*\bfrom\s*"([^"]+)"|^import\s*"([^"]+)"|\bimport\(\s*"([^"]+)"/gm;

function packagesOf(text: string): string[] {
  return [...withoutComments(text).matchAll(IMPORT)]
    .map((match) => match[1] ?? match[2] ?? match[3] ?? "")
    .filter((specifier) => !specifier.startsWith(".") && !specifier.startsWith("node:"))
    .map((specifier) => specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/"));
}
