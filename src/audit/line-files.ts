import { createReadStream } from "node:fs";
import { MAX_LINE_BYTES, readLine } from "./line.ts";

/** Files by the sequence number of their first record. @throws the error of the file system */
export async function inChainOrder(files: readonly string[]): Promise<string[]> {
  const first = await Promise.all(
    files.map(async (file) => {
      let seq = Number.MAX_SAFE_INTEGER;
      await eachLine(file, (line) => {
        seq = readLine(line)?.seq ?? seq;
        return false;
      });
      return { file, seq };
    }),
  );
  return first.sort((a, b) => a.seq - b.seq).map(({ file }) => file);
}

/**
 * Reads a file line by line, in bounded memory.
 * @param take gets each line with its LF; `false` ends the reading
 * @returns bytes after the last LF
 */
export async function eachLine(file: string, take: (line: Buffer, number: number) => boolean): Promise<number> {
  let carry: Buffer = Buffer.alloc(0);
  let number = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) {
    const bytes = carry.length === 0 ? chunk : Buffer.concat([carry, chunk]);
    let from = 0;
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, from)) {
      number++;
      if (!take(bytes.subarray(from, end + 1), number)) return 0;
      from = end + 1;
    }
    carry = bytes.subarray(from);
    // No record is that long: what follows is one line without an end, and is not gathered in memory.
    if (carry.length > MAX_LINE_BYTES) {
      take(carry, number + 1);
      return 0;
    }
  }
  return carry.length;
}
