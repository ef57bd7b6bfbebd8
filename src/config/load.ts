import { YAMLException } from "js-yaml";
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { CustodyConfig, PosternConfig } from "./config.ts";
import { custodyConfig } from "./custody.ts";
import { FileSet, fingerprint, reason } from "./file-set.ts";
import { longList } from "./long-list.ts";
import { longPosternConfig, posternConfig, type Taken } from "./postern.ts";
import { masked } from "./secret-look.ts";
import { type Finding, MOST_PROBLEMS, pathText, type Problem } from "./problem.ts";
import { MOST_BYTES, readYaml, type YamlReading } from "./yaml.ts";

/** What became of a config file. */
export type Loaded<Config> =
  | {
      readonly ok: true;
      readonly config: Config;
      /** SHA-256 over the text and every certificate file that was read with it, hex: what "the same config" means. */
      readonly digest: string;
      /** Absolute paths of the file itself and of all others that it depends on: what is to be watched. */
      readonly files: readonly string[];
      /** `fingerprint` of each of them, taken before it was read. */
      readonly seen: ReadonlyMap<string, string>;
    }
  | {
      readonly ok: false;
      /** Everything that is wrong, in the order of the file; at least one. */
      readonly problems: readonly Problem[];
      /** As above: a fault may be mended in any of them. */
      readonly files: readonly string[];
      readonly seen: ReadonlyMap<string, string>;
    };

/** What another folder finds wrong with a config that is right by itself; told with line and column like all else. */
export type Verify = (config: PosternConfig) => readonly Finding[];

/**
 * Reads the edge's config file, YAML or JSON. Never throws for what a file may hold.
 * @param verify asked once everything else is right
 */
export function loadConfig(path: string, verify?: Verify): Loaded<PosternConfig> {
  return load(path, (text, fileName, baseDir) => parseConfig(text, fileName, baseDir, verify));
}

/** Reads the config file of a custody process. */
export function loadCustodyConfig(path: string): Loaded<CustodyConfig> {
  return load(path, parseCustodyConfig);
}

/**
 * @param fileName what problems call the file
 * @param baseDir absolute; what relative paths inside count from
 */
export function parseConfig(text: string, fileName: string, baseDir: string, verify?: Verify): Loaded<PosternConfig> {
  return (
    parseLong(text, baseDir, verify) ??
    parse(text, fileName, baseDir, (value, files) => verified(posternConfig(value, files), verify))
  );
}

function verified(taken: Taken<PosternConfig>, verify: Verify | undefined): Taken<PosternConfig> {
  if (taken.config === null || verify === undefined) return taken;
  return { config: taken.config, findings: verify(taken.config) };
}

/** As `parseConfig`, for a custody process. */
export function parseCustodyConfig(text: string, fileName: string, baseDir: string): Loaded<CustodyConfig> {
  return parse(text, fileName, baseDir, custodyConfig);
}

/** The quick way for a long and faultless file. */
function parseLong(text: string, baseDir: string, verify: Verify | undefined): Loaded<PosternConfig> | null {
  const file = longList(text, "destinations");
  if (file === null) return null;
  const files = new FileSet(baseDir);
  try {
    const config = longPosternConfig(file, files);
    if (config === null || (verify?.(config).length ?? 0) > 0) return null;
    return { ok: true, config, digest: digestOf(text, files), files: files.depended, seen: files.seen };
  } catch (error) {
    // Read whole, it will say where.
    if (error instanceof YAMLException) return null;
    throw error;
  }
}

function load<Config>(
  path: string,
  parseText: (text: string, fileName: string, baseDir: string) => Loaded<Config>,
): Loaded<Config> {
  const absolute = resolve(path);
  const seen = fingerprint(absolute);
  let text: string;
  try {
    text = readText(absolute);
  } catch (error) {
    return { ok: false, problems: [fileProblem(path, readMessage(error))], ...watched(absolute, seen) };
  }
  const loaded = parseText(text, path, dirname(absolute));
  return { ...loaded, ...watched(absolute, seen, loaded) };
}

type Watched = Pick<Loaded<never>, "files" | "seen">;
const NOTHING: Watched = { files: [], seen: new Map() };

function watched(path: string, seen: string, others: Watched = NOTHING): Watched {
  return { files: [path, ...others.files], seen: new Map([[path, seen], ...others.seen]) };
}

function readText(path: string): string {
  const { size } = statSync(path);
  if (size > MOST_BYTES) throw new RangeError(`it has ${size} bytes, more than ${MOST_BYTES}`);
  // A byte that is not UTF-8 must not be swallowed: two names could become one.
  return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
}

function readMessage(error: unknown): string {
  const why = reason(error);
  if (why === "ENOENT") return "no such file: name one with --config, or start from config/postern.example.yaml";
  if (why === "ERR_ENCODING_INVALID_ENCODED_DATA") return "not UTF-8: save the file as UTF-8";
  return `cannot be read (${why}): name a readable file with --config`;
}

function parse<Config>(
  text: string,
  fileName: string,
  baseDir: string,
  take: (value: unknown, files: FileSet) => Taken<Config>,
): Loaded<Config> {
  const files = new FileSet(baseDir);
  const reading = readYaml(text);
  if (!reading.ok) {
    const problem = {
      file: fileName,
      ...placeOf(text, reading.fault.offset),
      path: "",
      message: masked(reading.fault.message),
    };
    return { ok: false, problems: [problem], ...NOTHING };
  }
  const { config, findings } = take(reading.value, files);
  const all = [...reading.findings, ...findings];
  if (config === null || all.length > 0)
    return { ok: false, problems: problemsOf(all, text, fileName, reading), files: files.depended, seen: files.seen };
  return { ok: true, config, digest: digestOf(text, files), files: files.depended, seen: files.seen };
}

function digestOf(text: string, files: FileSet): string {
  const hash = createHash("sha256").update(text);
  for (const [path, content] of files.contents) hash.update(`\0${path}\0${typeof content === "string" ? content : ""}`);
  return hash.digest("hex");
}

function problemsOf(
  findings: readonly Finding[],
  text: string,
  fileName: string,
  reading: Extract<YamlReading, { ok: true }>,
): Problem[] {
  const layout = reading.layout();
  const places = findings.slice(0, MOST_PROBLEMS).map((finding) => ({
    finding,
    offset: layout.offsetOf(finding.path, finding.atKey === true),
  }));
  places.sort((a, b) => a.offset - b.offset);
  const problems = places.map(({ finding, offset }) => ({
    file: fileName,
    ...placeOf(text, offset),
    path: pathText(finding.path),
    message: masked(finding.message),
  }));
  const more = findings.length - problems.length;
  if (more > 0) problems.push(fileProblem(fileName, `and ${more} more: mend these first`));
  return problems;
}

function fileProblem(file: string, message: string): Problem {
  return { file, line: 0, column: 0, path: "", message };
}

/** Line and column, both from 1, as editors count them. */
function placeOf(text: string, offset: number): { line: number; column: number } {
  let line = 1;
  let start = 0;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) {
    line++;
    start = at + 1;
  }
  return { line, column: offset - start + 1 };
}
