import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { appendFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A file system of a few megabytes that can be filled to its last page. */
export interface SmallDisk {
  readonly directory: string;
  /** Until nothing fits any more. */
  fill(): Promise<void>;
  makeRoom(): Promise<void>;
  remove(): void;
}

const mounted = new Set<string>();
process.on("exit", () => mounted.forEach((directory) => spawnSync("umount", ["-l", directory])));

/** @returns `null` where this user may not mount one */
export function smallDisk(megabytes: number): SmallDisk | null {
  const directory = mkdtempSync(join(tmpdir(), "postern-disk-"));
  const options = ["-t", "tmpfs", "-o", `size=${megabytes}m,mode=0700`, "postern-test", directory];
  if (spawnSync("mount", options, { stdio: "ignore" }).status !== 0) {
    rmSync(directory, { recursive: true });
    return null;
  }
  mounted.add(directory);
  const ballast = join(directory, "ballast");
  writeFileSync(ballast, "");
  return {
    directory,
    async fill() {
      for (const size of [1 << 20, 1 << 16, 1 << 12]) {
        try {
          for (;;) await appendFile(ballast, Buffer.alloc(size));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
        }
      }
    },
    makeRoom: () => rm(ballast, { force: true }),
    remove() {
      execFileSync("umount", ["-l", directory]);
      mounted.delete(directory);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
