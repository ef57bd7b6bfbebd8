import { resolve } from "node:path";
import type { Command } from "commander";
import type { CatalogueConfig } from "../../config/catalogue.ts";
import { loadConfig, loadCustodyConfig } from "../../config/load.ts";
import type { EntryFacts, SecretStore } from "../../custody/store/secret-store.ts";
import { currentReader } from "../../tls/ca-files.ts";
import { NO_KEY } from "../../config/primitives.ts";
import { isIssuedKey } from "../../config/secret-look.ts";
import { CommandFailure, EXIT, type Terminal } from "../command.ts";
import { configOf, loadNamed } from "../config-option.ts";
import { realSystem } from "../edge/system.ts";
import { table } from "../table.ts";
import { version } from "../version.ts";
import { confirmed, secretFrom } from "./secret-input.ts";
import { makeStore, orUsage } from "./store.ts";

/** `postern custody secret ...`: what is in the encrypted store of a custody, also while that custody runs. */
export function registerSecret(secret: Command, terminal: Terminal): void {
  secret
    .description("put secrets into the encrypted store of a custody, and change what is there")
    .addHelpText("after", CONFIG_HELP);
  const sub = (words: string, about: string): Command =>
    secret
      .command(words)
      .description(about)
      // `--config` is the one of `postern custody`, which takes it wherever it stands.
      .option("--custody <name>", "the config is an edge's, and the store that of this embedded custody")
      .addHelpText("after", CONFIG_HELP);

  const valued = (words: string, about: string): Command =>
    sub(words, about).option("--from <file>", FROM).addHelpText("after", INPUT_HELP).allowExcessArguments();
  valued("set <name>", "put a new secret into the store; the first one makes it").action(
    (name: string, given: From, command: Command) =>
      withStore(command, terminal, async (store) => {
        refuseValue(command.args);
        if (isIssuedKey(name)) throw new CommandFailure(`the name of the secret: ${NO_KEY}`, EXIT.usage);
        const version = await store.create(name, await secretFrom(given.from, terminal));
        terminal.out(`${name}: version ${version} is in ${store.file}\n`);
      }),
  );
  sub("list", "tell names, versions and times, never a value")
    .option("--json", "print JSON")
    .action((given: { readonly json?: boolean }, command: Command) =>
      withStore(command, terminal, async (store) => {
        const entries = await store.list();
        terminal.out(
          given.json === true ? `${JSON.stringify(entries.map(entryJson), null, 2)}\n` : entryTable(entries),
        );
      }),
    );
  valued("rotate <name>", "replace the value of a secret; leases from then on bring the new one")
    .option("--keep-previous", "keep the value that is replaced until the next rotation, for --back")
    .option("--back", "put the kept value in force again instead of a new one")
    .action((name: string, given: Rotation, command: Command) =>
      withStore(command, terminal, async (store) => {
        refuseValue(command.args);
        if (given.back === true && (given.from !== undefined || given.keepPrevious === true))
          throw new CommandFailure(
            "--back takes the value that was kept: leave out --from and --keep-previous",
            EXIT.usage,
          );
        const version =
          given.back === true
            ? await store.revert(name)
            : await store.rotate(name, await secretFrom(given.from, terminal), {
                keepPrevious: given.keepPrevious === true,
              });
        terminal.out(`${name}: version ${version} is in force\n`);
      }),
    );
  sub("rm <name>", "remove a secret with all of its versions; asks for its name once more")
    .option("--yes", "do not ask")
    .action((name: string, given: { readonly yes?: boolean }, command: Command) =>
      withStore(command, terminal, async (store) => {
        if (!(await store.list()).some((entry) => entry.name === name)) await store.remove(name);
        if (given.yes !== true) await confirmed(name, terminal);
        await store.remove(name);
        terminal.out(`${name}: removed\n`);
      }),
    );
  sub("rekey", "write the whole store anew under another key; put that key in the place of the old one afterwards")
    .requiredOption("--new-key-file <file>", "holds the new key, mode 0600; `openssl rand -hex 32` makes one")
    .action((given: { readonly newKeyFile: string }, command: Command) =>
      withStore(command, terminal, async (store) => {
        const { storeKey } = await import("../../custody/store/store-key.ts");
        const path = resolve(terminal.cwd, given.newKeyFile);
        await store.rekey(storeKey({ from: "file", path }, realSystem(version()), currentReader()));
        terminal.out(
          `${store.file} opens with the key in ${path} from now on: put it where the config reads the key\n`,
        );
      }),
    );
}

const FROM = "file that holds the value, instead of standard input";
const CONFIG_HELP = `
The config is the one that the custody runs with: --config FILE, or POSTERN_CUSTODY_CONFIG, or custody.yaml. Of an edge with an embedded
custody: --config postern.yaml --custody NAME.

Exit codes: 0 done, 2 nothing was changed, with what to do about it.`;
const INPUT_HELP = `
The value is read from standard input or from a file, never from the command line, which other users of the machine can
read. One line end behind it is cut:
  $ postern custody secret set openai <key.txt
  $ pass show openai | postern custody secret set openai`;

/** Not quoted: it may be the very secret, and what commands print goes into the logs of CI. */
function refuseValue(args: readonly string[]): void {
  if (args.length > 1)
    throw new CommandFailure(
      "the value is not taken from the command line: pipe it in, or name a file with --from FILE; what was a secret there is in the history of the shell by now: think of a new one",
      EXIT.usage,
    );
}

/** The config that names the store; POSTERN_CUSTODY_CONFIG and custody.yaml stand in for one that is not given. */
interface Given {
  readonly config: string;
  readonly custody?: string;
}

interface From {
  readonly from?: string;
}

interface Rotation extends From {
  readonly keepPrevious?: boolean;
  readonly back?: boolean;
}

async function withStore(
  command: Command,
  terminal: Terminal,
  act: (store: SecretStore) => Promise<void>,
): Promise<void> {
  const fallback = terminal.env["POSTERN_CUSTODY_CONFIG"] ?? "custody.yaml";
  const given: Given = { config: fallback, ...command.optsWithGlobals<Partial<Given>>() };
  const { store: spec } = catalogueOf(given, terminal);
  if (spec === null) {
    const where = given.custody === undefined ? "store" : `custody.${given.custody}.embedded.store`;
    throw new CommandFailure(
      `${given.config}: ${where}: missing: write ${where}: { file: secrets.store, key: { file: store.key } }`,
      EXIT.usage,
    );
  }
  const store = await makeStore(spec, { ...realSystem(version()), environment: terminal.env });
  try {
    await orUsage(() => act(store));
  } finally {
    store.close();
  }
}

function catalogueOf({ config, custody: name }: Given, terminal: Terminal): CatalogueConfig {
  if (name === undefined) return configOf(loadNamed(config, terminal, loadCustodyConfig)).config;
  const { custodies } = configOf(loadNamed(config, terminal, (path) => loadConfig(path))).config;
  const found = custodies.find((custody) => custody.name === name);
  if (found?.kind === "embedded") return found;
  const embedded = custodies.flatMap((custody) => (custody.kind === "embedded" ? custody.name : []));
  const next = embedded.length === 0 ? "it has none" : `write --custody ${embedded.join(" or --custody ")}`;
  throw new CommandFailure(`${config}: no embedded custody is called "${name}": ${next}`, EXIT.usage);
}

function entryTable(entries: readonly EntryFacts[]): string {
  if (entries.length === 0) return "the store is empty\n";
  return table([
    ["NAME", "VERSION", "CREATED", "ROTATED", "KEPT"],
    ...entries.map(({ name, version: current, createdMs, rotatedMs, previousVersion }) => [
      name,
      String(current),
      timeText(createdMs),
      timeText(rotatedMs),
      previousVersion === null ? "-" : `version ${previousVersion}`,
    ]),
  ]);
}

function entryJson({ name, version: current, createdMs, rotatedMs, previousVersion }: EntryFacts): object {
  return {
    name,
    version: current,
    created: timeText(createdMs),
    rotated: timeText(rotatedMs),
    previous_version: previousVersion,
  };
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
