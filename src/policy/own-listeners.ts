import { type IpBytes, parseIp } from "../core/ip.ts";
import { addressClass } from "./address-class.ts";

/** An address and port that this machine listens on. */
export interface OwnListener {
  /** IP text as it was bound; `0.0.0.0` and `::` stand for every address of the machine. */
  readonly address: string;
  readonly port: number;
}

/** Whether an address and port lead back to the edge. */
export class OwnListeners {
  readonly #listeners: () => readonly OwnListener[];
  readonly #interfaces: () => readonly string[];

  constructor(listeners: () => readonly OwnListener[], interfaces: () => readonly string[]) {
    this.#listeners = listeners;
    this.#interfaces = interfaces;
  }

  include(ip: IpBytes, port: number): boolean {
    for (const listener of this.#listeners()) {
      if (listener.port === port && this.#reaches(ip, bytesOf(listener.address))) return true;
    }
    return false;
  }

  /** Whether any of them is on this port. */
  hasPort(port: number): boolean {
    return this.#listeners().some((listener) => listener.port === port);
  }

  #reaches(ip: IpBytes, bound: IpBytes | null): boolean {
    // A listener that cannot be read (a zone id) may be anywhere: its port is closed on this machine's addresses.
    const everywhere = bound === null || bound.every((byte) => byte === 0);
    // Dialling the unspecified address reaches the local host on Linux and BSD.
    if (ip.every((byte) => byte === 0)) return true;
    if (!everywhere) return sameBytes(ip, bound);
    return addressClass(ip)?.name === "loopback" || this.#interfaces().some((text) => sameBytes(ip, bytesOf(text)));
  }
}

/** Interfaces and sockets name link-local addresses with a zone; what is dialled has none. */
function bytesOf(text: string): IpBytes | null {
  const bytes = parseIp(text.split("%", 1)[0] as string);
  return bytes !== null && addressClass(bytes)?.name === "v4_mapped" ? bytes.subarray(12) : bytes;
}

function sameBytes(a: IpBytes, b: IpBytes | null): boolean {
  return b !== null && a.length === b.length && a.every((byte, i) => byte === b[i]);
}
