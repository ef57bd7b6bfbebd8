import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { fileIdentity } from "../core/file-identity.ts";
import type { Advice } from "./listen-address.ts";

const MOST_PEM_BYTES = 16 * 1024 * 1024;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** The files that a config names: relative ones count from the config file; what is read is read once and remembered. */
export class FileSet {
  readonly baseDir: string;
  readonly #depended = new Map<string, string>();
  readonly #roots = new Map<string, string | Advice>();

  constructor(baseDir: string) {
    this.baseDir = baseDir;
  }

  absolute(path: string): string {
    return resolve(this.baseDir, path);
  }

  /** The absolute path of a file that the config depends on: when it changes, the config is to be read again. */
  depend(path: string): string {
    const absolute = this.absolute(path);
    // Before anything is read of it: a change that comes between will show.
    if (!this.#depended.has(absolute)) this.#depended.set(absolute, fingerprint(absolute));
    return absolute;
  }

  /** Every file that was depended on. */
  get depended(): readonly string[] {
    return [...this.#depended.keys()];
  }

  /** What each of them looked like when it was first named. */
  get seen(): ReadonlyMap<string, string> {
    return this.#depended;
  }

  /** What was read, by path: part of what the config means. */
  get contents(): ReadonlyMap<string, string | Advice> {
    return this.#roots;
  }

  /** The certificates of a PEM file, each of which parses, as one text. */
  roots(path: string): string | Advice {
    const absolute = this.depend(path);
    const known = this.#roots.get(absolute);
    if (known !== undefined) return known;
    const read = readRoots(absolute);
    this.#roots.set(absolute, read);
    return read;
  }
}

function readRoots(path: string): string | Advice {
  let text: string;
  try {
    if (statSync(path).size > MOST_PEM_BYTES)
      return { advice: `${path} is larger than ${MOST_PEM_BYTES} bytes: name a file of PEM certificates` };
    text = readFileSync(path, "latin1");
  } catch (error) {
    return { advice: `${path} cannot be read (${reason(error)}): name a readable file of PEM certificates` };
  }
  const blocks = text.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) return { advice: `${path} holds no certificate: name a file with BEGIN CERTIFICATE blocks` };
  for (const [i, block] of blocks.entries()) {
    try {
      // Made only to see whether it parses.
      void new X509Certificate(block);
    } catch (error) {
      return { advice: `certificate ${i + 1} of ${path} does not parse (${reason(error)}): replace it` };
    }
  }
  return `${blocks.join("\n")}\n`;
}

/** What stands at a path: a file's identity, or why there is none to be seen. */
export function fingerprint(file: string): string {
  try {
    return fileIdentity(statSync(file, { bigint: true }));
  } catch (error) {
    return reason(error);
  }
}

/** The system's word for it, without the path that it repeats. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}
