import { formatIp, parseIpRange } from "../core/ip.ts";
import type { ListenerTlsFiles, SocketAccess } from "./config.ts";
import type { FileSet } from "./file-set.ts";
import type { ListenAddress } from "./listen-address.ts";
import type { RawListener } from "./listener-schema.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";

/** How guests get to a listener: over TLS, through a balancer, through a socket file. */

export function tlsFilesOf(raw: RawListener, path: Path, files: FileSet, report: Report): ListenerTlsFiles | null {
  const { tls } = raw;
  if (tls === undefined) return null;
  if (raw.protocol === "socks5")
    report.add([...path, "tls"], "no client speaks SOCKS5 over TLS: take it out, or write `protocol: http`");
  if (tls.client_ca === undefined && tls.client_certificates !== undefined)
    report.add([...path, "tls", "client_ca"], "missing: write the PEM file of the roots that they must chain to", true);
  if (tls.client_ca !== undefined && tls.client_certificates === undefined)
    report.add([...path, "tls", "client_certificates"], 'missing: write one of "required", "optional"', true);
  return Object.freeze({
    certificate: files.depend(tls.certificate),
    key: files.depend(tls.key),
    clients:
      tls.client_ca === undefined
        ? null
        : Object.freeze({ ca: files.depend(tls.client_ca), required: tls.client_certificates === "required" }),
  });
}

/** @returns canonical ranges; a balancer at a unix socket is whoever can open it */
export function proxySendersOf(
  { proxy_protocol }: RawListener,
  address: ListenAddress,
  path: Path,
  report: Report,
): "unix" | readonly string[] | null {
  if (proxy_protocol === undefined) return null;
  const { from } = proxy_protocol;
  const place = [...path, "proxy_protocol", "from"];
  if (typeof from === "string") {
    if (address.kind !== "unix")
      report.add(place, `"unix": ${address.text} is no unix socket: write the addresses of the balancers`);
    return "unix";
  }
  if (address.kind === "unix") {
    report.add(place, "a unix socket knows no addresses: write from: unix");
    return null;
  }
  const ranges = from.flatMap((text, i) => {
    const range = parseIpRange(text);
    if (range !== null) return [`${formatIp(range.base)}/${range.prefix}`];
    report.add([...place, i], `${quoted(text)}: write an address or a range without host bits, such as "10.0.0.0/24"`);
    return [];
  });
  return Object.freeze(ranges);
}

const LARGEST_ID = 4_294_967_294;

export function socketAccessOf(
  { socket }: RawListener,
  address: ListenAddress,
  path: Path,
  report: Report,
): SocketAccess {
  if (socket !== undefined && address.kind !== "unix")
    report.add([...path, "socket"], `${address.text} is no unix socket: take it out`);
  const mode = Number.parseInt(socket?.mode ?? "0660", 8);
  if (socket?.owner === undefined) return Object.freeze({ mode, owner: null });
  const [uid = 0, gid = 0] = socket.owner.split(":").map(Number);
  if (uid > LARGEST_ID || gid > LARGEST_ID)
    report.add([...path, "socket", "owner"], `${quoted(socket.owner)}: write numbers of at most ${LARGEST_ID}`);
  return Object.freeze({ mode, owner: Object.freeze({ uid, gid }) });
}
