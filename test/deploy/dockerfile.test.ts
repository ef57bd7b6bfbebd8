import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { bareEnv, run } from "../house/support/run.ts";

/** The Dockerfile, read instruction by instruction: no engine is needed to see what an image would be. */

const root = resolve(import.meta.dirname, "../..");
const stages = parse(await readFile(resolve(root, "Dockerfile"), "utf8"));
const runtime = stages.at(-1) as Stage;
const manifest = JSON.parse(await readFile(resolve(root, "package.json"), "utf8")) as {
  version: string;
  devDependencies: Record<string, string>;
};

interface Instruction {
  readonly keyword: string;
  readonly rest: string;
}

interface Stage {
  readonly from: string;
  readonly name: string;
  readonly instructions: readonly Instruction[];
}

describe("the stages", () => {
  test("compile, fetch, run", () => {
    expect(stages.map(({ name }) => name)).toEqual(["build", "dependencies", "runtime"]);
  });

  test("share one base that can be pinned by digest, of the version the scripts use, never latest", () => {
    for (const { from } of stages) expect(from).toBe("${NODE_IMAGE}");
    const base = valuesOf(stages[0]?.instructions ?? [], "ARG").find((arg) => arg.startsWith("NODE_IMAGE="));
    expect(base).toBe(`NODE_IMAGE=docker.io/library/node:${manifest.devDependencies["node"]}-slim`);
  });

  test("take the manifest and the lock ahead of the sources, so that a change of source keeps the layer", () => {
    const build = stages[0]?.instructions ?? [];
    const install = build.findIndex(({ rest }) => rest.startsWith("npm ci"));
    const manifests = build.findIndex(({ rest }) => rest === "package.json package-lock.json ./");
    const sources = build.findIndex(({ rest }) => rest === "src ./src");
    expect(manifests).toBeGreaterThan(-1);
    expect(install).toBeGreaterThan(manifests);
    expect(sources).toBeGreaterThan(install);
  });

  test("install exactly what the lock says, without running install scripts", () => {
    const installs = stages
      .flatMap(({ instructions }) => instructions)
      .filter(({ rest }) => /\bnpm (ci|i|install|add)\b/.test(rest));
    expect(installs).toHaveLength(2);
    for (const { rest } of installs) expect(rest).toMatch(/^npm ci .*--ignore-scripts/);
  });

  test("copy files by COPY alone, and fetch nothing by ADD or a pipe into a shell", () => {
    const all = stages.flatMap(({ instructions }) => instructions);
    expect(all.filter(({ keyword }) => keyword === "ADD")).toEqual([]);
    expect(all.filter(({ rest }) => /curl|wget|\|\s*(ba)?sh/.test(rest))).toEqual([]);
  });
});

describe("the image", () => {
  const of = (keyword: string): string[] => valuesOf(runtime.instructions, keyword);

  test("runs as a numbered user that is not root, from its last USER on", () => {
    expect(of("USER")).toEqual(["10001:10001"]);
    const user = runtime.instructions.findIndex(({ keyword }) => keyword === "USER");
    const later = runtime.instructions.slice(user).filter(({ keyword }) => keyword === "RUN" || keyword === "COPY");
    expect(later).toEqual([]);
  });

  test("holds no development dependency and no package manager", () => {
    const copies = of("COPY");
    expect(copies).toEqual([
      "--from=dependencies /dependencies/node_modules ./node_modules",
      "--from=build /build/dist ./dist",
      "package.json ./",
    ]);
    const dependencies = stages.find(({ name }) => name === "dependencies")?.instructions ?? [];
    expect(valuesOf(dependencies, "RUN")).toEqual([expect.stringContaining("--omit=dev")]);
    expect(of("RUN").join("\n")).toMatch(/rm -rf \/usr\/local\/lib\/node_modules/);
  });

  test("starts the compiled command without a shell", () => {
    expect(JSON.parse(of("ENTRYPOINT")[0] ?? "")).toEqual([
      "/usr/local/bin/node",
      "--max-semi-space-size=4",
      "/app/dist/main.js",
    ]);
    expect(JSON.parse(of("CMD")[0] ?? "")).toEqual(["serve", "--config", "/etc/postern/postern.yaml"]);
    expect(of("STOPSIGNAL")).toEqual(["SIGTERM"]);
  });

  test("checks its health with node, against the admin listener", async () => {
    const [check = ""] = of("HEALTHCHECK");
    const [program, ...args] = JSON.parse(check.slice(check.indexOf("[")).replace(/^.*?CMD /, "")) as string[];
    expect([program, args[0]]).toEqual(["/usr/local/bin/node", "-e"]);
    expect(args[1]).toContain("http://127.0.0.1:9464/healthz");
    let status = 200;
    const admin = createServer((_, response) => response.writeHead(status).end());
    await new Promise<void>((done) => admin.listen(0, "127.0.0.1", done));
    const url = `http://127.0.0.1:${(admin.address() as AddressInfo).port}/healthz`;
    const probe = async (): Promise<number | null> =>
      (await run(process.execPath, args, { env: { ...bareEnv(), POSTERN_HEALTH_URL: url } })).code;
    expect(await probe()).toBe(0);
    status = 503;
    expect(await probe()).toBe(1);
    await new Promise((done) => admin.close(done));
    expect(await probe()).toBe(1);
  });

  test("says what it is", () => {
    const labels = of("LABEL").join(" ");
    for (const key of ["title", "description", "licenses", "version", "revision"])
      expect(labels).toContain(`org.opencontainers.image.${key}=`);
    expect(of("ARG")).toContain(`VERSION=${manifest.version}`);
    expect(of("EXPOSE")).toEqual(["3128 9464"]);
  });

  test("carries no secret", () => {
    const all = stages.flatMap(({ instructions }) => instructions);
    const telling = all.filter(({ keyword }) => keyword === "ENV" || keyword === "ARG");
    expect(telling.filter(({ rest }) => /token|secret|password|key\b/i.test(rest))).toEqual([]);
  });
});

test("the builder is sent nothing but what the stages copy", async () => {
  const lines = (await readFile(resolve(root, ".dockerignore"), "utf8")).split("\n");
  const rules = lines.filter((line) => line !== "" && !line.startsWith("#"));
  expect(rules[0]).toBe("*");
  const sent = rules.slice(1).map((rule) => rule.replace(/^!/, ""));
  const copied = stages
    .flatMap(({ instructions }) => valuesOf(instructions, "COPY"))
    .filter((rest) => !rest.startsWith("--from="))
    .flatMap((rest) => rest.split(" ").slice(0, -1));
  expect([...new Set(copied)].toSorted()).toEqual(sent.toSorted());
});

/** Lines joined at their backslash, comments and blank lines left out. A stage begins at FROM; what is above belongs to the first. */
function parse(text: string): Stage[] {
  const lines = text
    .replaceAll(/^\s*#.*\n/gm, "")
    .replaceAll(/\\\n\s*/g, "")
    .split("\n");
  const found: { from: string; name: string; instructions: Instruction[] }[] = [];
  const above: Instruction[] = [];
  for (const line of lines.filter((candidate) => candidate.trim() !== "")) {
    const [, keyword = "", rest = ""] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (keyword === "") throw new Error(`not an instruction: ${line}`);
    const from = /^(\S+)(?: AS (\S+))?$/.exec(rest);
    if (keyword === "FROM") found.push({ from: from?.[1] ?? "", name: from?.[2] ?? "", instructions: above.splice(0) });
    else (found.at(-1)?.instructions ?? above).push({ keyword, rest: rest.trim() });
  }
  return found;
}

function valuesOf(instructions: readonly Instruction[], keyword: string): string[] {
  return instructions.filter((instruction) => instruction.keyword === keyword).map(({ rest }) => rest);
}
