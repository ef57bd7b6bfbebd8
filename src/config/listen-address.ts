import { resolve } from "node:path";
import { Authority } from "../core/authority.ts";
import type { RemoteAddress } from "./config.ts";
import { quoted } from "./problem.ts";

/** Where a listener binds. */
export type ListenAddress =
  /** `host` is a canonical IP text; port 0 lets the system choose. */
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly text: string }
  /** `path` is absolute. */
  | { readonly kind: "unix"; readonly path: string; readonly text: string };

/** What is wrong with a text, ending in what to write. */
export interface Advice {
  readonly advice: string;
}

/** `sun_path` of Linux, less its NUL; macOS and the BSDs have 104. */
const MOST_SOCKET_PATH_BYTES = 103;

/**
 * @param text `127.0.0.1:3128`, `[::1]:3128` or `unix:/path`
 * @param baseDir what a relative socket path counts from
 */
export function parseListenAddress(text: string, baseDir: string): ListenAddress | Advice {
  if (text.startsWith("unix:")) return unixAddress(text, baseDir);
  const chosen = /^(.*):0$/.exec(text);
  const authority = Authority.parse(chosen === null ? text : `${chosen[1]}:1`, null);
  if (authority !== null && authority.ip !== null) {
    const port = chosen === null ? authority.port : 0;
    const canonical = chosen === null ? authority.text : authority.text.replace(/:1$/, ":0");
    return Object.freeze({ kind: "tcp", host: authority.host, port, text: canonical });
  }
  if (authority !== null) {
    const host = authority.host === "localhost" ? "127.0.0.1" : "an IP address";
    return {
      advice: `${quoted(text)}: names may resolve elsewhere: write ${host}:${chosen === null ? authority.port : 0}`,
    };
  }
  if (/^[0-9]{1,5}$/.test(text)) return { advice: `${quoted(text)}: write "127.0.0.1:${text}"` };
  if (/^:[0-9]{1,5}$/.test(text)) return { advice: `${quoted(text)}: write "127.0.0.1${text}"` };
  return { advice: `${quoted(text)}: write an address such as "127.0.0.1:3128", "[::1]:3128" or "unix:/path"` };
}

function unixAddress(text: string, baseDir: string): ListenAddress | Advice {
  const path = text.slice("unix:".length);
  if (path === "" || path.includes("\0")) return { advice: `${quoted(text)}: write a path after "unix:"` };
  const absolute = resolve(baseDir, path);
  const bytes = Buffer.byteLength(absolute);
  if (bytes > MOST_SOCKET_PATH_BYTES)
    return { advice: `socket path of ${bytes} bytes: write one of at most ${MOST_SOCKET_PATH_BYTES}` };
  return Object.freeze({ kind: "unix", path: absolute, text: `unix:${absolute}` });
}

/** As `parseListenAddress`, but a name may stand for the host, and the port must be a real one. */
export function parseRemoteAddress(text: string, baseDir: string): RemoteAddress | Advice {
  if (text.startsWith("unix:")) {
    const address = unixAddress(text, baseDir);
    return "advice" in address || address.kind !== "unix" ? (address as Advice) : { kind: "unix", path: address.path };
  }
  const authority = Authority.parse(text, null);
  if (authority === null)
    return { advice: `${quoted(text)}: write an address such as "custody.internal:8443" or "unix:/path"` };
  return { kind: "tcp", host: authority.host, port: authority.port };
}

/** Whether only this machine can reach it. */
export function isLocal(address: ListenAddress): boolean {
  return address.kind === "unix" || address.host.startsWith("127.") || address.host === "::1";
}

/** Whether two listeners could not both be bound, or one would answer for the other. */
export function overlap(a: ListenAddress, b: ListenAddress): boolean {
  if (a.kind === "unix" || b.kind === "unix") return a.text === b.text;
  if (a.port !== b.port || a.port === 0) return false;
  return a.host === b.host || [a.host, b.host].some((host) => host === "0.0.0.0" || host === "::");
}
