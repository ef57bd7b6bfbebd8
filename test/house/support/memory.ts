import { readFileSync } from "node:fs";

/** Whether this system tells what memory a process holds (Linux). */
export const tellsMemory = process.platform === "linux";

/** Resident memory of a process, `MB`. */
export function residentMb(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1]) / 1024;
}

/** Looks every 50 ms while `work` runs. @returns the most that was seen above the start, `MB` */
export async function growthMb(pid: number, work: () => Promise<void>): Promise<number> {
  const start = residentMb(pid);
  let most = start;
  const look = setInterval(() => {
    most = Math.max(most, residentMb(pid));
  }, 50);
  try {
    await work();
  } finally {
    clearInterval(look);
  }
  return Math.max(most, residentMb(pid)) - start;
}
