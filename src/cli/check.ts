import { access, constants } from "node:fs/promises";
import type { Command } from "commander";
import type { CatalogueConfig } from "../config/catalogue.ts";
import type { PosternConfig } from "../config/config.ts";
import { type Loaded, loadConfig, loadCustodyConfig } from "../config/load.ts";
import { warningsOf } from "../config/warnings.ts";
import { CommandFailure, EXIT, type Terminal } from "./command.ts";
import { addConfigOption, configOf, loadNamed } from "./config-option.ts";
import { describeConfig, describeCustodyConfig } from "./describe-config.ts";
import { policyFindings } from "./policy-findings.ts";
import { configJson, custodyConfigJson } from "./json-config.ts";
import { fileFault, sourceWarnings } from "./source-warnings.ts";

interface Options {
  readonly config: string;
  readonly custody?: boolean;
  readonly json?: boolean;
}

/** `postern check`: what a config means, or everything that is wrong with it. */
export function register(command: Command, terminal: Terminal): void {
  addConfigOption(command, terminal)
    .option("--custody", "the file is the config of a custody process")
    .option("--json", "print JSON")
    .action((options: Options) =>
      options.custody === true ? checkCustody(options, terminal) : checkEdge(options, terminal),
    );
}

async function checkEdge(options: Options, terminal: Terminal): Promise<void> {
  const loaded = loadNamed(options.config, terminal, (path) => loadConfig(path, policyFindings));
  const { config, digest } = okOrTold(loaded, options, terminal);
  const warnings = [
    ...warningsOf(config),
    ...(await fileWarnings(config)),
    ...(await embeddedStoreWarnings(config, terminal)),
    ...(await edgeSourceWarnings(config, terminal)),
  ];
  tell(options, digest, warnings, terminal, {
    text: () => describeConfig(config),
    json: () => configJson(config),
  });
}

async function checkCustody(options: Options, terminal: Terminal): Promise<void> {
  const { config, digest } = okOrTold(loadNamed(options.config, terminal, loadCustodyConfig), options, terminal);
  const { tls } = config.listen;
  const files = tls === null ? [] : [tls.certificate, tls.key, tls.clientCa];
  const warnings = [
    ...(await unreadable(files)),
    ...(await storeWarnings(config, terminal)),
    ...(await sourceWarnings(config.credentials, terminal)),
  ];
  tell(options, digest, warnings, terminal, {
    text: () => describeCustodyConfig(config),
    json: () => custodyConfigJson(config),
  });
}

/** With `--json` the problems go to standard output as well, for the program that asked. */
function okOrTold<Config>(
  loaded: Loaded<Config>,
  options: Options,
  terminal: Terminal,
): Extract<Loaded<Config>, { ok: true }> {
  if (loaded.ok || options.json !== true) return configOf(loaded);
  terminal.out(`${JSON.stringify({ ok: false, problems: loaded.problems }, null, 2)}\n`);
  throw new CommandFailure("", EXIT.usage);
}

function tell(
  options: Options,
  digest: string,
  warnings: readonly string[],
  terminal: Terminal,
  config: { readonly text: () => string; readonly json: () => object },
): void {
  if (options.json === true) {
    terminal.out(`${JSON.stringify({ ok: true, digest, warnings, ...config.json() }, null, 2)}\n`);
    return;
  }
  const told =
    warnings.length === 0
      ? "warnings: none\n"
      : `warnings: ${warnings.length}\n${warnings.map((text) => `  ${text}\n`).join("")}`;
  terminal.out(`${options.config} is right (sha256 ${digest.slice(0, 12)})\n\n${config.text()}${told}`);
}

/** Files that a start would miss. Certificates that the config holds (`trust`, `extra_roots`) were read already. */
async function fileWarnings({ ca, custodies, listeners }: PosternConfig): Promise<string[]> {
  const tls = custodies.flatMap((custody) =>
    custody.kind === "remote" && custody.tls !== null ? [custody.tls.ca, custody.tls.certificate, custody.tls.key] : [],
  );
  const own = listeners.flatMap(({ tls }) =>
    tls === null ? [] : [tls.certificate, tls.key, ...(tls.clients === null ? [] : [tls.clients.ca])],
  );
  const missingCa = ca === null ? [] : await unreadable([ca.certificate, ca.key]);
  return [
    ...missingCa.map((text) => `ca: ${text}, or make one with \`postern ca init\``),
    ...(await unreadable([ca?.passphraseFile ?? [], tls, own].flat())),
  ];
}

async function unreadable(files: readonly string[]): Promise<string[]> {
  const told: string[] = [];
  for (const file of files) {
    try {
      await access(file, constants.R_OK);
    } catch (error) {
      const why = error instanceof Error && "code" in error ? String(error.code) : "unknown";
      told.push(`${file} cannot be read here (${why}): put it there before the start`);
    }
  }
  return told;
}

async function embeddedStoreWarnings(config: PosternConfig, terminal: Terminal): Promise<string[]> {
  const embedded = config.custodies.flatMap((custody) => (custody.kind === "embedded" ? custody : []));
  return (
    await Promise.all(embedded.map((custody) => storeWarnings(custody, terminal, ` --custody ${custody.name}`)))
  ).flat();
}

/**
 * Without its store a custody does not start.
 * @param words what a command for an embedded one says beside its config
 */
async function storeWarnings({ store }: CatalogueConfig, terminal: Terminal, words = ""): Promise<string[]> {
  if (store === null) return [];
  const { file, key } = store;
  const missing = await unreadable([file]);
  return [
    ...missing.map((text) => `store: ${text}, with \`postern custody secret set NAME${words}\``),
    ...(missing.length === 0 ? await exposed("store", file) : []),
    ...(key.from === "file" ? await exposed("store, its key", key.path) : []),
    ...(key.from === "env" && (terminal.env[key.variable] ?? "") === ""
      ? [`store: ${key.variable}, its key, is not set here: set it where the process starts`]
      : []),
  ];
}

async function exposed(what: string, path: string): Promise<string[]> {
  const why = await fileFault(path, "chmod 0600");
  return why === null ? [] : [`${what}: ${why}`];
}

async function edgeSourceWarnings(config: PosternConfig, terminal: Terminal): Promise<string[]> {
  const embedded = config.custodies.flatMap((custody) => (custody.kind === "embedded" ? custody : []));
  return (await Promise.all(embedded.map(({ credentials }) => sourceWarnings(credentials, terminal)))).flat();
}
