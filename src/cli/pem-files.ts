import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { exposureOf } from "../core/private-file.ts";
import { currentReader } from "../tls/ca-files.ts";
import { CommandFailure, EXIT } from "./command.ts";

/** PEM files of a connection to or of custody. @throws CommandFailure with a next step when one cannot be read */
export function readPemFile(path: string): string {
  return read(path, false);
}

/** A key that others can read is not a secret any more. @throws CommandFailure also when it is open to others */
export function readKeyFile(path: string): string {
  return read(path, true);
}

/** What is judged is the file that is open: nobody can swap it meanwhile. */
function read(path: string, isPrivate: boolean): string {
  let fd: number | null = null;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = fstatSync(fd);
    const exposure = isPrivate ? exposureOf(stats, currentReader()) : "nobody";
    if (exposure !== "nobody") throw exposed(path, stats.mode, exposure);
    return readFileSync(fd, "utf8");
  } catch (error) {
    if (error instanceof CommandFailure || !(error instanceof Error)) throw error;
    const code = "code" in error ? String(error.code) : "unknown error";
    throw new CommandFailure(`${path}: cannot be read (${code}): check path and owner`, EXIT.usage);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

function exposed(path: string, mode: number, exposure: "group" | "everybody"): CommandFailure {
  const octal = (mode & 0o777).toString(8).padStart(4, "0");
  const whom = exposure === "everybody" ? "everybody" : "its group";
  const advice = "chmod 0600 it, and think of a new one if others were there";
  return new CommandFailure(`${path}: the key is open to ${whom} (mode ${octal}): ${advice}`, EXIT.usage);
}
