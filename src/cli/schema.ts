import { readFile, writeFile } from "node:fs/promises";
import { findPackageJSON } from "node:module";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { configurationPage } from "../config/document.ts";
import { schemaText } from "../config/json-schema.ts";
import { openapiText } from "../custody/openapi.ts";
import { CommandFailure, type Terminal } from "./command.ts";

interface Options {
  readonly custody?: boolean;
  readonly docs?: boolean;
  readonly write?: boolean;
  readonly verify?: boolean;
}

const ROOT = dirname(findPackageJSON(import.meta.url) ?? "");

/** The files that are written from the schema, by their place below the root of the project. */
export const GENERATED: Readonly<Record<string, () => string>> = {
  "config/postern.schema.json": () => schemaText("postern"),
  "config/custody.schema.json": () => schemaText("custody"),
  "docs/configuration.md": configurationPage,
  "docs/custody.openapi.yaml": openapiText,
};

export function register(command: Command, terminal: Terminal): void {
  command
    .option("--custody", "the schema of a custody process's config")
    .option("--docs", "the reference as Markdown")
    .option("--write", "write the schemas and the reference of this source tree")
    .option("--verify", "fail when those files are not current")
    .action(async (options: Options) => {
      if (options.write === true) return writeAll(terminal);
      if (options.verify === true) return verifyAll();
      terminal.out(
        options.docs === true ? configurationPage() : schemaText(options.custody === true ? "custody" : "postern"),
      );
    });
}

async function writeAll(terminal: Terminal): Promise<void> {
  for (const [path, text] of Object.entries(GENERATED)) {
    await writeFile(join(ROOT, path), text());
    terminal.out(`${path}\n`);
  }
}

async function verifyAll(): Promise<void> {
  const stale: string[] = [];
  for (const [path, text] of Object.entries(GENERATED)) {
    const found = await readFile(join(ROOT, path), "utf8").catch((error: unknown) => {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
      throw error;
    });
    if (found !== text()) stale.push(path);
  }
  if (stale.length > 0) throw new CommandFailure(`not current: ${stale.join(", ")}: run \`postern schema --write\``);
}
