import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Route } from "../load/route.ts";
import { freePort, untilListening } from "../stage/ports.ts";
import type { Stage } from "../stage/stage.ts";
import { GUEST_AUTHORIZATION } from "../wire/fixtures.ts";
import { spawnPinned, stopProcess } from "../wire/worker.ts";
import type { Running } from "./contender.ts";

/** What contenders that are a program of their own have in common: a port, a pinned process, a log, an end. */
export interface Program {
  readonly name: string;
  readonly kind: Exclude<Route["kind"], "direct">;
  readonly folder: string;
  /** PEM file with the CA of the certificates that guests see. */
  readonly trust: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly readyWithinMs?: number;
  /** Further log files that it appends to. */
  readonly logs?: readonly string[];
  /** The command for the port that it is to listen on; writes the configuration it needs. */
  command(port: number): readonly string[] | Promise<readonly string[]>;
}

export async function startProgram(stage: Stage, program: Program): Promise<Running> {
  const port = await freePort();
  const logFile = join(program.folder, "output.log");
  const child = spawnPinned({
    command: await program.command(port),
    core: stage.cores.proxy,
    cwd: program.folder,
    logFile,
    ...(program.env === undefined ? {} : { env: program.env }),
  });
  let spawnError: Error | null = null;
  child.on("error", (error) => {
    spawnError = error;
  });
  const hasEnded = (): boolean => spawnError !== null || child.exitCode !== null || child.signalCode !== null;
  try {
    await untilListening(port, program.readyWithinMs ?? 15_000, hasEnded);
  } catch (error) {
    await stopProcess(child);
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${program.name} did not start: ${why}\n${tail(logFile)}`, { cause: error });
  }
  return {
    route: {
      kind: program.kind,
      proxyPort: port,
      upstream: stage.upstream,
      trust: program.trust,
      authorization: GUEST_AUTHORIZATION,
      pid: child.pid ?? null,
    },
    logs: [logFile, ...(program.logs ?? [])],
    hasEnded,
    stop: () => stopProcess(child),
  };
}

/** What a program prints about itself, or `null` when it is not there. */
export function outputOf(program: string, ...args: string[]): string | null {
  try {
    return execFileSync(program, args, { encoding: "utf8", timeout: 10_000, stdio: ["ignore", "pipe", "ignore"] });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

function tail(file: string): string {
  return readFileSync(file, "utf8").split("\n").slice(-20).join("\n");
}
