/** What a file system tells of a file, in whole numbers of any size. */
export interface FileStats {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/**
 * Another one whenever a file was written to, replaced, or given another mode or owner, and whenever a link leads to another
 * file; `ctime` cannot be set back.
 */
export function fileIdentity({ dev, ino, size, mtimeNs, ctimeNs }: FileStats): string {
  return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}
