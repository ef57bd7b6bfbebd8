import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { getCACertificates } from "node:tls";
import { type Command, Option } from "commander";
import type { ListenerConfig, PosternConfig } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { CommandFailure, EXIT, type Terminal } from "./command.ts";
import { addConfigOption, configOf } from "./config-option.ts";
import { type ProxyScheme, type ProxyUrl, parseProxyUrl } from "./guest-env/proxy-url.ts";
import { makePublicDirectory, writePublicFile } from "./guest-env/public-file.ts";
import { GUEST_FORMATS, type GuestFormat, renderVariables } from "./guest-env/render.ts";
import { certificatesOf, joinRoots, SYSTEM_ROOT_FILES, toBundle } from "./guest-env/roots.ts";
import { makeTrustStore, TRUST_STORE_PASSWORD } from "./guest-env/trust-store.ts";
import { guestVariables } from "./guest-env/variables.ts";

/** `postern guest-env`: writes the CA files that guests need and prints the variables that lead their programs to the edge. */

export interface GuestEnvOptions {
  readonly format: GuestFormat;
  /** Where guests reach the edge. */
  readonly proxy: string;
  /** PEM file of the CA; a key in it is left out of everything. */
  readonly caFile: string;
  /** Where the files are written; `null` = beside the CA. */
  readonly outDir: string | null;
  /** Where the bundle is written, if not into `outDir`. */
  readonly bundleFile: string | null;
  /** Where the guest sees `outDir`, when it is mounted somewhere else; `null` = the same path. */
  readonly guestDir: string | null;
  /** PEM file of the guest's own roots; `null` = the ones of this system. */
  readonly systemRootsFile: string | null;
  readonly noProxy: readonly string[];
  /** Adds a Java trust store and JAVA_TOOL_OPTIONS. */
  readonly java: boolean;
}

export interface GuestEnvResult {
  /** What goes to standard output. */
  readonly text: string;
  /** What the operator should know beside it; one line each. */
  readonly notes: readonly string[];
}

/** Names of the files that are written. */
export const GUEST_FILES = { ca: "postern-ca.pem", bundle: "postern-bundle.pem", java: "postern-trust.p12" } as const;

export const DEFAULT_NO_PROXY: readonly string[] = ["localhost", "127.0.0.1", "::1"];

/** @throws CommandFailure that names the file or option at fault and the next step */
export async function guestEnv(options: GuestEnvOptions): Promise<GuestEnvResult> {
  const proxy = parseProxyUrl(options.proxy);
  const ca = certificatesOf(await readRequired(options.caFile, "--ca"), options.caFile);
  const roots = joinRoots(await systemRoots(options.systemRootsFile), ca);
  const outDir = resolve(options.outDir ?? dirname(options.caFile));
  const bundleFile = options.bundleFile === null ? join(outDir, GUEST_FILES.bundle) : resolve(options.bundleFile);
  await makePublicDirectory(outDir);
  await writePublicFile(join(outDir, GUEST_FILES.ca), toBundle(ca));
  await writePublicFile(bundleFile, toBundle(roots));
  if (options.java) await writePublicFile(join(outDir, GUEST_FILES.java), makeTrustStore(roots, randomBytes(20)));

  const seen = (file: string): string => asGuestSees(file, outDir, options.guestDir);
  const files = {
    ca: seen(join(outDir, GUEST_FILES.ca)),
    bundle: seen(bundleFile),
    ...(options.java ? { java: seen(join(outDir, GUEST_FILES.java)) } : {}),
  };
  const trustStore = files.java === undefined ? null : { file: files.java, password: TRUST_STORE_PASSWORD };
  const view = { proxy, noProxy: options.noProxy, caFile: files.ca, bundleFile: files.bundle, trustStore };
  const variables = guestVariables(view).map(([{ name, neededBy }, value]) => ({ name, value, neededBy }));
  return { text: renderVariables(options.format, variables, files), notes: notesFor(files.ca, proxy, options.java) };
}

export function register(command: Command, terminal: Terminal): void {
  addConfigOption(command, terminal)
    .addOption(new Option("-f, --format <format>", "how they are written").choices(GUEST_FORMATS).default("sh"))
    .option("--proxy <url>", "where guests reach the edge (default: the first TCP listener of the config)")
    .option("--ca <file>", "PEM file of the CA (default: the one of the config)")
    .option("--out <dir>", "where the CA files for guests are written (default: beside the CA)")
    .option("--bundle-out <file>", "where the bundle of system roots and CA is written (default: into --out)")
    .option("--guest-dir <dir>", "where guests see --out, when it is mounted somewhere else")
    .option("--system-roots <file>", "PEM file of the guest's own roots (default: those of this system)")
    .option("--direct <names>", "what guests reach without the edge, comma-separated", DEFAULT_NO_PROXY.join(","))
    .option("--java", "also a trust store and JAVA_TOOL_OPTIONS", false)
    .addHelpText("after", HELP)
    .action(async (given: Given) => {
      const { text, notes } = await guestEnv(readOptions(given, terminal.cwd));
      for (const note of notes) terminal.err(`note: ${note}\n`);
      terminal.out(text);
    });
}

const HELP = `
  sh      eval "$(postern guest-env)"
  docker  postern guest-env --format docker > guest.env && docker run --env-file guest.env ...
  github  postern guest-env --format github >> "$GITHUB_ENV"
  json    for everything else: env, files, and who needs each variable`;

interface Given {
  readonly config: string;
  readonly format: GuestFormat;
  readonly proxy?: string;
  readonly ca?: string;
  readonly out?: string;
  readonly bundleOut?: string;
  readonly guestDir?: string;
  readonly systemRoots?: string;
  readonly direct: string;
  readonly java: boolean;
}

/** The config is read only for what the command line leaves open. */
function readOptions(given: Given, cwd: string): GuestEnvOptions {
  const config =
    given.proxy === undefined || given.ca === undefined
      ? configOf(loadConfig(resolve(cwd, given.config))).config
      : null;
  return {
    format: given.format,
    proxy: given.proxy ?? proxyOf(config),
    caFile: given.ca === undefined ? caOf(config) : resolve(cwd, given.ca),
    outDir: given.out === undefined ? null : resolve(cwd, given.out),
    bundleFile: given.bundleOut === undefined ? null : resolve(cwd, given.bundleOut),
    guestDir: given.guestDir ?? null,
    systemRootsFile: given.systemRoots === undefined ? null : resolve(cwd, given.systemRoots),
    noProxy: given.direct
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== ""),
    java: given.java,
  };
}

/** Only an address that guests could be given: not a unix socket, not one for a balancer, not "every address", not a port yet to be chosen. */
function proxyOf(config: PosternConfig | null): string {
  const listeners = config?.listeners ?? [];
  const found = listeners.find((listener) => whyNotGiven(listener) === null);
  if (found !== undefined) return `${schemeOf(found)}://${found.address.text}`;
  const why = listeners.map((listener) => `${listener.name}: ${whyNotGiven(listener)}`).join("; ");
  const scheme = listeners[0] === undefined ? "http" : schemeOf(listeners[0]);
  throw new CommandFailure(
    `no listener of the config has an address that guests could be given (${why}): write --proxy ${scheme}://HOST:PORT, as guests reach it`,
    EXIT.usage,
  );
}

function schemeOf({ protocol, tls }: ListenerConfig): ProxyScheme {
  return protocol === "socks5" ? "socks5h" : tls === null ? "http" : "https";
}

function whyNotGiven({ address, proxySenders }: ListenerConfig): string | null {
  if (proxySenders !== null) return "guests come through a balancer";
  if (address.kind === "unix") return "a unix socket";
  if (address.port === 0) return "a port that is yet to be chosen";
  return address.host === "0.0.0.0" || address.host === "::" ? "every address of this machine" : null;
}

function caOf(config: PosternConfig | null): string {
  if (config?.ca !== null && config?.ca !== undefined) return config.ca.certificate;
  throw new CommandFailure("the config has no CA: write --ca FILE, or make one with `postern ca init`", EXIT.usage);
}

/** A mount shows `outDir` under another path; a file outside of it keeps its own. */
function asGuestSees(file: string, outDir: string, guestDir: string | null): string {
  if (guestDir === null || dirname(file) !== outDir) return file;
  return join(guestDir, file.slice(outDir.length + 1));
}

/** The roots that a replacing variable would otherwise take away. */
async function systemRoots(chosen: string | null): Promise<ReturnType<typeof certificatesOf>> {
  if (chosen !== null) return certificatesOf(await readRequired(chosen, "--system-roots"), chosen);
  for (const file of SYSTEM_ROOT_FILES) {
    const text = await readIfPresent(file);
    if (text !== null) return certificatesOf(text, file);
  }
  // A machine without a store of its own (a bare container): the roots that this runtime was built with.
  return certificatesOf(getCACertificates("bundled").join("\n"), "the runtime's own roots");
}

async function readRequired(file: string, option: string): Promise<string> {
  const text = await readIfPresent(file);
  if (text === null) {
    const or = option === "--ca" ? ", or make a CA with postern ca init" : "";
    throw new CommandFailure(`${file} does not exist: name a PEM file with ${option}${or}`, EXIT.usage);
  }
  return text;
}

async function readIfPresent(file: string): Promise<string | null> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") return null;
    throw new CommandFailure(`${file} cannot be read (${code ?? "unknown"}): check its owner and mode`, EXIT.usage);
  }
}

/** What a listener asks of its guests beside the variables. */
const SCHEME_NOTES: Readonly<Record<ProxyScheme, readonly string[]>> = {
  http: [],
  https: [
    "the listener speaks TLS: its certificate has to name the host of the proxy URL and come from a CA that guests trust; " +
      "the bundle holds the system's roots and --ca alone",
    "gRPC and Java speak to no proxy over TLS, and gRPC then goes past it: give those a listener without `tls`",
  ],
  socks5h: [
    "not every client speaks SOCKS5: Node and gRPC do not, requests needs PySocks, an older Go wants socks5:// for the same; " +
      "give those a listener that speaks HTTP",
  ],
};

function chromiumProxy({ scheme, host, port }: ProxyUrl): string {
  const place = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  // Chromium's socks5 leaves names to the proxy.
  return scheme === "http" ? place : `${scheme === "https" ? "https" : "socks5"}://${place}`;
}

/** What no variable reaches. */
function notesFor(caFile: string, proxy: ProxyUrl, java: boolean): string[] {
  const notes = [
    "wget, apt, aria2, PHP and .NET read the system store alone: also copy " +
      `${caFile} to /usr/local/share/ca-certificates/postern.crt and run update-ca-certificates`,
    "Chromium reads an NSS database alone: " +
      `certutil -A -t C,, -n postern -d sql:$HOME/.pki/nssdb -i ${caFile}, and start it with --proxy-server=${chromiumProxy(proxy)} --disable-quic`,
    ...SCHEME_NOTES[proxy.scheme],
  ];
  if (!java) notes.push("Java reads no variable of these: add --java for a trust store and JAVA_TOOL_OPTIONS");
  else if (proxy.hasUser)
    notes.push("Java takes no user and password from its options: give such guests a listener of their own");
  return notes;
}
