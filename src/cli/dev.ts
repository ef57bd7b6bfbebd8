import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import { Authority } from "../core/authority.ts";
import { createThrowAwayCa } from "../tls/create-ca.ts";
import { LeafMinter } from "../tls/leaf-minter.ts";
import { CommandFailure, EXIT, type Terminal } from "./command.ts";
import { configOf } from "./config-option.ts";
import { demoConfig } from "./dev/demo-config.ts";
import { startDemoUpstream } from "./dev/demo-upstream.ts";
import { startEdge } from "./edge/edge.ts";
import { realSystem, systemClock } from "./edge/system.ts";
import { prepareAtOnce } from "./read-config/prepare.ts";
import { stopSignal } from "./stop-signal.ts";
import { version } from "./version.ts";

interface Options {
  readonly port: string;
}

/** `postern dev`: edge, embedded custody, throw-away CA and a loopback upstream, to try the edge on without any configuration. */
export function register(command: Command, terminal: Terminal): void {
  command
    .option("--port <n>", "port of the proxy on 127.0.0.1; another one is taken when it is in use", "3128")
    .action(async ({ port }: Options) => {
      if (!/^[0-9]{1,5}$/.test(port) || Number(port) > 65_535) {
        throw new CommandFailure(`--port ${port}: write a port from 0 to 65535`, EXIT.usage);
      }
      // Before there is anything to leave behind: a Ctrl-C while it starts is heard once it has started.
      const stopped = stopSignal(["SIGHUP"]);
      const folder = mkdtempSync(join(tmpdir(), "postern-dev-"));
      // However it ends, by a second Ctrl-C as well.
      process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
      await runDemo(folder, Number(port), terminal, stopped);
    });
}

async function runDemo(folder: string, wantedPort: number, terminal: Terminal, stopped: Promise<void>): Promise<void> {
  const nowMs = systemClock.wallMs();
  const guestCa = createThrowAwayCa({ nowMs, randomBytes });
  const upstreamCa = createThrowAwayCa({ nowMs, randomBytes });
  const token = `demo-${randomBytes(16).toString("hex")}`;
  const upstream = await startDemoUpstream(upstreamLeaf(upstreamCa));
  try {
    // Guests read the CA certificate; everything else in the folder is for the edge alone.
    chmodSync(folder, 0o755);
    const caFile = join(folder, "ca.crt");
    writeFileSync(caFile, guestCa.anchorPem);
    writeFileSync(join(folder, "upstream-ca.crt"), upstreamCa.anchorPem);
    mkdirSync(join(folder, "private"), { mode: 0o700 });
    const configFile = join(folder, "postern.yaml");
    writeFileSync(configFile, demoConfig({ port: await freePort(wantedPort), upstreamPort: upstream.port }));
    const system = realSystem(version());
    const edge = await startEdge(prepareAtOnce(configOf(loadConfig(configFile))), {
      ...system,
      ca: guestCa,
      environment: { ...system.environment, POSTERN_DEMO_TOKEN: token },
      logDestination: join(folder, "private", "postern.log"),
    });
    terminal.out(instructions(edge.listeners.get("guests") ?? "", caFile, upstream.port, configFile));
    await stopped;
    terminal.out("\nstopping\n");
    await edge.drain();
  } finally {
    await upstream.close();
  }
}

function upstreamLeaf(ca: ReturnType<typeof createThrowAwayCa>): { readonly cert: string; readonly key: string } {
  const minter = new LeafMinter({ ca, leafKey: "ec", lifetimeMs: 7 * 86_400_000, clock: systemClock, randomBytes });
  const name = Authority.parse("api.demo.test", 443);
  if (name === null) throw new Error("the demo's name must parse");
  return { cert: minter.mint(name).chainPem, key: minter.keyPem.reveal() };
}

/** `wanted` if nobody listens there, else 0: the system chooses. */
function freePort(wanted: number): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(0));
    probe.listen(wanted, "127.0.0.1", () => probe.close(() => resolve(wanted)));
  });
}

/** A path as a shell reads it back: a temporary directory may have blanks in its name. */
function shellWord(text: string): string {
  return /^[A-Za-z0-9_./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function instructions(proxy: string, caFile: string, upstreamPort: number, configFile: string): string {
  const curl = `curl -sS -i --proxy http://${proxy} --cacert ${shellWord(caFile)}`;
  return `Postern ${version()} is ready on http://${proxy}. Paste these into another terminal; Ctrl-C ends it.

# 200 OK: the edge attaches a credential that the guest never sees; the upstream tells which one it saw, masked
${curl} https://api.demo.test:${upstreamPort}/v1/whoami

# 403 destination_not_allowed: no rule names this host, so nothing is resolved, dialled or sent
${curl} https://elsewhere.demo.test:${upstreamPort}/v1/whoami

# 503 custody_unavailable: this destination's custody is down, and without a credential nothing is sent
${curl} https://vault.demo.test:${upstreamPort}/v1/whoami

The config of this demo: ${configFile}
`;
}
