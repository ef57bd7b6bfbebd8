import path from "node:path";
import { GENESIS, parseLine, type ReadLine, readLine } from "./line.ts";
import { eachLine, inChainOrder } from "./line-files.ts";

export interface VerifyOptions {
  /** A record that is known from elsewhere (an anchor): the chain must hold it. */
  readonly expectSeq?: number;
  /** Hash of that record, or of any record when `expectSeq` is not given. */
  readonly expectHash?: string;
  /** The last file must end with `shutdown`: nobody writes it any more. */
  readonly expectClosed?: boolean;
}

export interface VerifyReport {
  readonly ok: boolean;
  /** In the order of the chain. */
  readonly files: readonly FileReport[];
  /** What is broken; at most 100 are told. */
  readonly problems: readonly Problem[];
  /** What is not broken but worth knowing. */
  readonly notes: readonly string[];
}

export interface FileReport {
  readonly file: string;
  readonly records: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly lastHash: string;
  /** Records that the edge itself counted as lost. */
  readonly lost: number;
}

export interface Problem {
  readonly file: string;
  /** From 1; 0 when it is about the file as a whole. */
  readonly line: number;
  readonly what: string;
}

const MAX_PROBLEMS = 100;

/**
 * Checks files of one chain in one pass each: every stored hash against the stored bytes, every `prev` against the line
 * before, every sequence number. Finds any change, cut, insertion, swap, duplicate and splice, also between files.
 *
 * A plain chain cannot see that its newest records were cut off at a line's end, nor that somebody who can write the file made
 * a whole new one: for that a head that was kept elsewhere is given as `expectSeq` and `expectHash`.
 * @param files in any order: their first sequence numbers say how they follow
 * @throws the error of the file system when a file cannot be read
 */
export async function verifyFiles(files: readonly string[], options: VerifyOptions = {}): Promise<VerifyReport> {
  const checker = new ChainChecker(options);
  for (const file of await inChainOrder(files)) {
    checker.beginFile(file);
    const tornBytes = await eachLine(file, (line, number) => checker.line(line, number));
    checker.endFile(tornBytes);
  }
  return checker.report();
}

/** Where the chain stands. */
interface Link {
  readonly seq: number;
  readonly hash: string;
  readonly type: string;
}

class ChainChecker {
  readonly #options: VerifyOptions;
  readonly #files: FileReport[] = [];
  readonly #problems: Problem[] = [];
  readonly #notes: string[] = [];
  #last: Link | null = null;
  #anchorSeen = false;
  #file = "";
  #lines = 0;
  #firstSeq = 0;
  #lost = 0;
  /** Bytes of torn ends by file name, and what headers of later files own up to. */
  readonly #torn = new Map<string, number>();
  readonly #ownedUp = new Map<string, unknown>();

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  beginFile(file: string): void {
    this.#file = file;
    this.#lines = 0;
    this.#firstSeq = 0;
    this.#lost = 0;
  }

  /** @returns `true`: go on */
  line(bytes: Buffer, number: number): boolean {
    this.#lines++;
    const line = readLine(bytes);
    if (line === null) {
      this.#broken(number, "is not a record of this format (changed, or not written by postern)");
      return true;
    }
    if (!line.intact) this.#broken(number, `record ${line.seq} was changed: its bytes do not give its hash`);
    this.#checkPlace(line, number);
    if (this.#last === null) this.#checkStart(line, number);
    else this.#checkLink(this.#last, line, number);
    if (this.#firstSeq === 0) this.#firstSeq = line.seq;
    if (line.intact) this.#read(line, bytes, number);
    this.#matchAnchor(line);
    // Going on from what is stored shows one change as one problem, not as a thousand.
    this.#last = { seq: line.seq, hash: line.hash, type: line.type };
    return true;
  }

  endFile(tornBytes: number): void {
    const file = this.#file;
    if (this.#lines === 0 && tornBytes === 0) this.#broken(0, "is empty");
    if (tornBytes > 0) this.#torn.set(path.basename(file), tornBytes);
    const { seq = 0, hash = GENESIS } = this.#last ?? {};
    this.#files.push({
      file,
      records: this.#lines,
      firstSeq: this.#firstSeq,
      lastSeq: seq,
      lastHash: hash,
      lost: this.#lost,
    });
  }

  report(): VerifyReport {
    const { expectSeq, expectHash, expectClosed } = this.#options;
    this.#checkTorn();
    if ((expectSeq !== undefined || expectHash !== undefined) && !this.#anchorSeen) {
      const anchor = [expectSeq === undefined ? "" : `seq ${expectSeq}`, expectHash ?? ""].join(" ").trim();
      this.#broken(0, `the expected record (${anchor}) is not in the chain: the end was cut, or this is another chain`);
    }
    this.#checkEnd(expectClosed === true);
    return {
      ok: this.#problems.length === 0,
      files: this.#files,
      problems: this.#problems,
      notes: this.#notes,
    };
  }

  #checkTorn(): void {
    for (const [name, bytes] of this.#torn) {
      if (this.#ownedUp.get(name) === bytes) {
        this.#notes.push(
          `${name} ends with ${bytes} bytes of a line that a crash left unfinished; a later header says so`,
        );
        continue;
      }
      this.#file = this.#files.find(({ file }) => path.basename(file) === name)?.file ?? name;
      const why = "a crash, or a writer at work (then run again); no later header owns up to it";
      this.#broken(0, `ends with ${bytes} bytes of an unfinished line: ${why}`);
    }
  }

  #checkPlace(line: ReadLine, number: number): void {
    if (number === 1 && line.type !== "header")
      this.#broken(number, `the file begins with "${line.type}" instead of its header: its start was cut`);
    if (number !== 1 && line.type === "header")
      this.#broken(number, "a header stands in the middle of a file: files were spliced");
  }

  #checkStart(line: ReadLine, number: number): void {
    if (line.seq === 1 && line.prev === GENESIS) return;
    if (line.seq === 1 || line.prev === GENESIS)
      this.#broken(number, "claims to be the first record and names an earlier one");
    else if (line.type === "header")
      this.#notes.push(`${this.#file} goes on from record ${line.seq - 1} of an earlier file, which was not given`);
  }

  #checkLink(last: Link, line: ReadLine, number: number): void {
    if (line.seq > last.seq + 1)
      this.#broken(number, `records ${last.seq + 1} to ${line.seq - 1} are missing before it`);
    else if (line.seq <= last.seq)
      this.#broken(number, `record ${line.seq} comes after record ${last.seq}: moved, repeated or spliced in`);
    else if (line.prev !== last.hash)
      this.#broken(number, `record ${line.seq} does not name the record before it: that one was changed or replaced`);
    else if (number !== 1 && last.type === "rotated")
      this.#broken(number, `record ${line.seq} follows the record that ended the file`);
    else if (number !== 1 && last.type === "shutdown" && line.type !== "resume")
      this.#broken(number, `record ${line.seq} follows a shutdown without a new start`);
  }

  #read(line: ReadLine, bytes: Buffer, number: number): void {
    if (line.type !== "header" && line.type !== "resume" && line.type !== "lost") return;
    let members: Record<string, unknown>;
    try {
      members = parseLine(bytes);
    } catch (error) {
      this.#broken(number, `record ${line.seq} is not JSON: ${error instanceof Error ? error.message : "unreadable"}`);
      return;
    }
    if (line.type === "lost") {
      this.#lost += Number(members["count"]);
      this.#notes.push(`${this.#file}:${number}: the edge itself lost ${String(members["count"])} records here`);
    }
    const { torn_file: tornFile, torn_bytes: tornBytes } = members;
    if (typeof tornFile === "string") this.#ownedUp.set(tornFile, tornBytes);
    if (members["clean"] === false)
      this.#notes.push(
        `${this.#file}:${number}: the run before did not end with a shutdown: a crash, or its end was cut`,
      );
    if (members["file_missing"] === true)
      this.#notes.push(`${this.#file}:${number}: at this start the current file was missing`);
  }

  #matchAnchor(line: ReadLine): void {
    const { expectSeq, expectHash } = this.#options;
    const seqFits = expectSeq === undefined || line.seq === expectSeq;
    const hashFits = expectHash === undefined || line.hash === expectHash;
    if (line.intact && seqFits && hashFits) this.#anchorSeen = true;
  }

  #checkEnd(expectClosed: boolean): void {
    const last = this.#last;
    this.#file = this.#files[this.#files.length - 1]?.file ?? "";
    if (last === null) return;
    if (last.type === "shutdown") return;
    const what =
      last.type === "rotated"
        ? `ends with record ${last.seq}, which a next file must follow`
        : `has an open end at record ${last.seq}: still written, crashed, or cut after it`;
    if (expectClosed) this.#broken(0, what);
    else this.#notes.push(`${this.#file} ${what}; check a kept head with --expect-seq and --expect-hash`);
  }

  #broken(line: number, what: string): void {
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push({ file: this.#file, line, what });
  }
}
