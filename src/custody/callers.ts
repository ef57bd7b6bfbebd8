import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Caller, CallerRight } from "./caller.ts";

/** An edge that may ask, by the name that its certificate carries. */
export interface KnownCaller {
  /** DNS name or common name in the client certificate. */
  readonly name: string;
  /** `null` = every tenant. */
  readonly tenants: readonly string[] | null;
  /** Left out: it may lease and nothing else. */
  readonly may?: readonly CallerRight[];
}

const ON_SOCKET: Caller = { name: "unix", tenants: null, may: ["lease"] };

/**
 * Who asks is what the transport says, never what a body claims. Over TLS it is a name in a client certificate that chains to
 * the client CA; on a unix socket it is whoever the file mode lets in.
 */
export class Callers {
  readonly #byName: ReadonlyMap<string, Caller>;
  readonly #unix: Caller;
  /** A socket proves its caller once, when it is opened. */
  readonly #proven = new WeakMap<Socket, Caller>();

  /** @param onSocket who everybody on a unix socket is */
  constructor(known: readonly KnownCaller[], onSocket: Caller = ON_SOCKET) {
    this.#byName = new Map(
      known.map(({ name, tenants, may = ["lease"] }) => [name.toLowerCase(), { name, tenants, may }]),
    );
    this.#unix = onSocket;
  }

  /** @returns the caller, or `null` when the certificate names nobody that is known */
  of(socket: Socket): Caller | null {
    const known = this.#proven.get(socket);
    if (known !== undefined) return known;
    const caller = socket instanceof TLSSocket ? this.#certified(socket) : this.#unix;
    if (caller !== null) this.#proven.set(socket, caller);
    return caller;
  }

  #certified(socket: TLSSocket): Caller | null {
    if (!socket.authorized) return null;
    const { subject, subjectaltname = "" } = socket.getPeerCertificate();
    for (const name of [...dnsNames(subjectaltname), ...[subject?.CN ?? []].flat()]) {
      const caller = this.#byName.get(name.toLowerCase());
      if (caller !== undefined) return caller;
    }
    return null;
  }
}

/**
 * DNS names of Node's `DNS:a, DNS:b` text. Node quotes entries with characters that no DNS name has; a comma within quotes
 * would read as a further name (CVE-2021-44532), so a text with any quote names nobody.
 */
function dnsNames(text: string): string[] {
  if (text.includes('"')) return [];
  return text.split(", ").flatMap((part) => (part.startsWith("DNS:") ? [part.slice(4)] : []));
}
