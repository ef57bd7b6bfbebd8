import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { INJECTED_TOKEN } from "../wire/fixtures.ts";
import { SIGNING } from "../wire/sigv4.ts";
import { buildPostern } from "./build.ts";
import type { Contender } from "./contender.ts";
import { posternConfig } from "./postern-config.ts";
import { startProgram } from "./program.ts";

export const THIS_TREE = join(import.meta.dirname, "..", "..");

/** The edge as an operator runs it: embedded custody, lease keeper, audit, metrics, one log line an exchange to a file. */
export const postern: Contender = posternOf("postern", THIS_TREE, "this tree");

/** Another tree of Postern as `baseline`: what a change costs or saves shows in the ratio of the two. */
export function baseline(checkout: string): Contender {
  return posternOf("baseline", checkout, checkout);
}

function posternOf(name: string, checkout: string, version: string): Contender {
  return {
    name,
    kind: "forward",
    inspect() {
      const source = join(checkout, "src", "main.ts");
      return existsSync(source) ? { version } : { absent: `${source} is not there` };
    },
    start(stage, { folder, profiles, ...serving }) {
      return startProgram(stage, {
        name,
        kind: "forward",
        folder,
        trust: stage.certificates.ca,
        env: { BENCH_CREDENTIAL: INJECTED_TOKEN, BENCH_SECRET_KEY: SIGNING.secret, ...imageEnvironment(checkout) },
        readyWithinMs: 30_000,
        async command(port) {
          // In a folder of its own, as it is in an image: an edge that watches its config would see each write of its audit and log.
          const file = join(folder, "etc", "postern.yaml");
          mkdirSync(join(folder, "etc"), { recursive: true });
          writeFileSync(file, posternConfig(stage, port, { ...serving, http2: knowsHttp2(checkout) }));
          const profiling =
            profiles === null ? [] : ["--cpu-prof", "--cpu-prof-interval", "500", "--cpu-prof-dir", profiles];
          return [...(await posternCommand(checkout, profiling)), "serve", "--config", file];
        },
      });
    },
  };
}

/** `node` and the program of that tree, as its image starts it. */
export async function posternCommand(checkout: string, flags: readonly string[] = []): Promise<string[]> {
  return [process.execPath, ...imageFlags(checkout), ...flags, await buildPostern(checkout)];
}

/** What the image of that tree gives to node. */
function imageFlags(checkout: string): string[] {
  const entry = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfileOf(checkout))?.[1];
  if (entry === undefined) throw new Error("the Dockerfile has no ENTRYPOINT to take the flags from");
  return (JSON.parse(entry) as string[]).filter((word) => word.startsWith("--"));
}

/** What the image of that tree tells the allocator. */
export function imageEnvironment(checkout: string): Record<string, string> {
  const settings = dockerfileOf(checkout).matchAll(/\b(MALLOC_[A-Z_]+)=(\S+)/g);
  return Object.fromEntries([...settings].map(([, name = "", value = ""]) => [name, value]));
}

function dockerfileOf(checkout: string): string {
  return readFileSync(join(checkout, "Dockerfile"), "utf8");
}

/** Whether that tree can be told which HTTP a destination speaks; one that cannot chooses HTTP/1.1, which the measure is told. */
function knowsHttp2(checkout: string): boolean {
  const schema = JSON.parse(readFileSync(join(checkout, "config", "postern.schema.json"), "utf8")) as ConfigSchema;
  return "http" in schema.properties.destinations.items.properties;
}

interface ConfigSchema {
  readonly properties: {
    readonly destinations: { readonly items: { readonly properties: Readonly<Record<string, unknown>> } };
  };
}
