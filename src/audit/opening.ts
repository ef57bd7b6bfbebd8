import { quoted } from "../core/record-json.ts";
import type { ChainEnd } from "./recover.ts";

/** Who writes: one run of one process. */
export interface Run {
  readonly instance: string;
  /** Random; tells runs apart. */
  readonly boot: string;
  /** Salt of this run's session marks. */
  readonly salt: string;
}

/**
 * The first record of a run: a `header` where it begins a file, a `resume` where it goes on in one.
 * @param aside name that the file at the path was moved to because it must not be appended to, or `null`
 * @param name of the audit file, without directory
 */
export function openingRecord(
  run: Run,
  end: ChainEnd,
  aside: string | null,
  name: string,
  time: string,
): { readonly type: "header" | "resume"; readonly members: string } {
  if (end.state === "open")
    return { type: "resume", members: `"time":"${time}",${who(run)},"clean":${end.lastType === "shutdown"}` };
  let members = headerMembers(run, end.lastFile === name ? aside : end.lastFile, time);
  if (end.tornBytes > 0 && aside !== null) members += `,"torn_file":${quoted(aside)},"torn_bytes":${end.tornBytes}`;
  // A run ends its file with `rotated` or `shutdown`; without that it crashed, or its tail was cut.
  if (end.lastType !== null) members += `,"clean":${end.lastType === "rotated" || end.lastType === "shutdown"}`;
  // After an archive there is a current file, unless the run died in between or somebody took it away.
  if (end.state === "nothing" && end.lastType !== null) members += ',"file_missing":true';
  return { type: "header", members };
}

/** Members of a header. @param previous name of the file before, or `null` */
export function headerMembers(run: Run, previous: string | null, time: string): string {
  const members = `"time":"${time}","format":"postern-audit-v1",${who(run)}`;
  return previous === null ? members : `${members},"previous_file":${quoted(previous)}`;
}

function who({ instance, boot, salt }: Run): string {
  return `"instance":${quoted(instance)},"boot":"${boot}","salt":"${salt}"`;
}
