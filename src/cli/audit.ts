import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import type { Command } from "commander";
import { verifyFiles, type VerifyOptions, type VerifyReport } from "../audit/verify.ts";
import { CommandFailure, EXIT, type Terminal } from "./command.ts";

/** `postern audit verify` and `postern audit show`. */
export function register(audit: Command, terminal: Terminal): void {
  audit
    .command("verify")
    .description("check the hash chain of audit files: finds edits, cuts, insertions, swaps and gaps")
    .argument("<file...>", "files of one chain, in any order")
    .option("--json", "print the report as JSON", false)
    .option("--expect-seq <n>", "the chain must hold this record")
    .option("--expect-hash <hash>", "that record, or any one, must have this hash")
    .option("--expect-closed", "the last file must end with a shutdown", false)
    .addHelpText("after", VERIFY_HELP)
    .action(async (files: string[], given: GivenVerify) => {
      const report = await verified(files, readVerify(given));
      terminal.out(given.json ? `${JSON.stringify(report, null, 2)}\n` : described(report));
      if (!report.ok) throw new CommandFailure("", EXIT.failed);
    });
  audit
    .command("show")
    .description("print the last records of an audit file, one a line")
    .argument("<file>")
    .option("-n, --records <n>", "how many", "20")
    .action(async (file: string, given: { readonly records: string }) => {
      for (const line of await lastLines(file, wholeNumber("--records", given.records)))
        terminal.out(`${shown(line)}\n`);
    });
}

const VERIFY_HELP = `
Exit codes: 0 the chain holds, 1 it is broken, 2 wrong usage.
A chain cannot tell that its newest records were cut off, or that all of it was written anew by somebody who can write the
file. Keep a head elsewhere ("audit anchor" lines of the log) and give it as --expect-seq and --expect-hash.`;

interface GivenVerify {
  readonly json: boolean;
  readonly expectSeq?: string;
  readonly expectHash?: string;
  readonly expectClosed: boolean;
}

function readVerify(given: GivenVerify): VerifyOptions {
  const hash = given.expectHash?.toLowerCase();
  if (hash !== undefined && !/^[0-9a-f]{64}$/.test(hash))
    throw new CommandFailure("--expect-hash: write the 64 hex digits of a record's hash", EXIT.usage);
  return {
    expectClosed: given.expectClosed,
    ...(given.expectSeq === undefined ? {} : { expectSeq: wholeNumber("--expect-seq", given.expectSeq) }),
    ...(hash === undefined ? {} : { expectHash: hash }),
  };
}

function wholeNumber(option: string, text: string): number {
  if (!/^[1-9][0-9]{0,15}$/.test(text)) throw new CommandFailure(`${option}: write a whole number from 1`, EXIT.usage);
  return Number(text);
}

/** A file that cannot be read is wrong usage, not a broken chain. */
async function verified(files: readonly string[], options: VerifyOptions): Promise<VerifyReport> {
  try {
    return await verifyFiles(files, options);
  } catch (error) {
    throw unreadable(error, files);
  }
}

/** The system names no path when it is a directory that cannot be read as a file. */
function unreadable(error: unknown, files: readonly string[]): unknown {
  const { code, path = files.join(", ") } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  return new CommandFailure(`${path}: cannot be read (${code}): name audit files that exist`, EXIT.usage);
}

function described(report: VerifyReport): string {
  const lines = report.files.map(
    ({ file, records, firstSeq, lastSeq, lastHash }) =>
      `${file}: ${records} records, ${firstSeq} to ${lastSeq}, head ${lastHash}`,
  );
  lines.push(...report.notes.map((note) => `note: ${note}`));
  lines.push(
    ...report.problems.map(({ file, line, what }) => `broken: ${file}${line === 0 ? "" : `:${line}`}: ${what}`),
  );
  lines.push(report.ok ? "ok: the chain holds" : `broken: ${report.problems.length} problems`);
  return `${lines.join("\n")}\n`;
}

async function lastLines(file: string, count: number): Promise<string[]> {
  const kept: string[] = [];
  try {
    for await (const line of createInterface({ input: createReadStream(file, "latin1"), crlfDelay: Infinity })) {
      kept.push(line);
      if (kept.length > count) kept.shift();
    }
  } catch (error) {
    throw unreadable(error, [file]);
  }
  return kept;
}

/** Members in the order of the line, without the chain's own; what is no record is shown as such. */
function shown(line: string): string {
  let members: Record<string, unknown>;
  try {
    members = JSON.parse(line) as Record<string, unknown>;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return `(no record) ${JSON.stringify(line.slice(0, 200))}`;
  }
  const { seq, time, type, prev: _prev, hash: _hash, ...rest } = members;
  const facts = Object.entries(rest).map(([name, value]) => `${name}=${rendered(value)}`);
  return [rendered(seq), rendered(time), rendered(type), ...facts].join(" ");
}

/** Escapes stay escapes: a guest's bytes are not printed to a terminal. */
function rendered(value: unknown): string {
  if (typeof value !== "string") return String(value);
  return /^[!#-[\]-~]+$/.test(value) ? value : asciiJson(value);
}

function asciiJson(value: string): string {
  return JSON.stringify(value).replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
