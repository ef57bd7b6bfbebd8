import { readdirSync, readFileSync } from "node:fs";

/**
 * CPU time and memory of a process and everything under it, read from Linux's /proc: user + system time is what the
 * bench counts, since the load generator shares the machine and requests/s alone would measure the two of them.
 */

/** proc(5): clock ticks a second in /proc/PID/stat; fixed at 100 by the Linux ABI on every platform Node runs on. */
const TICKS_PER_SECOND = 100;

/** `root` and all its living descendants; empty when `root` is gone. */
export function processTree(root: number): number[] {
  const parents = new Map<number, number[]>();
  let alive = false;
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const stat = readStat(pid);
    if (stat === null) continue;
    if (pid === root) alive = true;
    const siblings = parents.get(stat.parent);
    if (siblings === undefined) parents.set(stat.parent, [pid]);
    else siblings.push(pid);
  }
  if (!alive) return [];
  const tree = [root];
  for (const pid of tree) tree.push(...(parents.get(pid) ?? []));
  return tree;
}

/** User + system CPU-seconds of the tree under `root`, children that have ended included. Resolution 10 ms. */
export function treeCpuSeconds(root: number): number {
  let ticks = 0;
  for (const pid of processTree(root)) ticks += readStat(pid)?.ticks ?? 0;
  return ticks / TICKS_PER_SECOND;
}

/** Resident memory of the tree under `root` in MB (10^6 bytes). Pages shared by several processes count in each. */
export function treeRssMegabytes(root: number): number {
  let kibibytes = 0;
  for (const pid of processTree(root)) kibibytes += readRssKibibytes(pid);
  return (kibibytes * 1024) / 1e6;
}

interface Stat {
  readonly parent: number;
  readonly ticks: number;
}

function readStat(pid: number): Stat | null {
  const text = readProcFile(pid, "stat");
  if (text === null) return null;
  // The command name in parentheses may hold blanks and parentheses: count fields from the last one.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [utime, stime, cutime, cstime] = fields.slice(11, 15).map(Number);
  return { parent: Number(fields[1]), ticks: (utime ?? 0) + (stime ?? 0) + (cutime ?? 0) + (cstime ?? 0) };
}

function readRssKibibytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(readProcFile(pid, "status") ?? "");
  return match === null ? 0 : Number(match[1]);
}

/** The file's text, or `null` when the process ended meanwhile. */
function readProcFile(pid: number, name: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "latin1");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ESRCH") return null;
    throw error;
  }
}
