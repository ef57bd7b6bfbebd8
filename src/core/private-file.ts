/** What a file system tells of a file that holds a secret. */
export interface FileAccess {
  /** Permission bits; others are ignored. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Who a process is to the file system: its effective user and every group that it is in. */
export interface FileReader {
  readonly uid: number;
  readonly groups: ReadonlySet<number>;
}

/**
 * Who may use a private file beside its owner and this process: `nobody`, its `group`, or `everybody`.
 *
 * One kind of group does not count: a file of root that is readable, no more, for a group which this process is in, and
 * which it could not read otherwise. That is how secrets are handed to a user that is not root: Kubernetes mounts them as
 * root:fsGroup with mode 0440, whatever `defaultMode` says, and Debian keeps keys as root:ssl-cert with 0640. Root chose who
 * is in the group. Where the process owns the file, it needs no group, and its bits are somebody's slip.
 * @param reader `null` where the system has no users
 */
export function exposureOf(
  { mode, uid, gid }: FileAccess,
  reader: FileReader | null,
): "nobody" | "group" | "everybody" {
  if (reader === null) return "nobody";
  if ((mode & 0o007) !== 0) return "everybody";
  if ((mode & 0o070) === 0) return "nobody";
  const isHandedOver = uid === 0 && reader.uid !== 0 && reader.groups.has(gid) && (mode & 0o030) === 0;
  return isHandedOver ? "nobody" : "group";
}
