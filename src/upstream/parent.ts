import { Authority } from "../core/authority.ts";
import type { Clock } from "../core/clock.ts";
import { Denial } from "../core/denial.ts";
import type { UpstreamParent } from "../core/destination.ts";
import { type Lease, type OutboundHead, type Permit, type Pinned, PinnedAddress } from "../core/exchange.ts";
import { Fields } from "../core/fields.ts";
import type { AddressPort, AttachPort, LeasePort } from "../core/ports.ts";
import { WholeBody } from "../core/whole-body.ts";
import type { OutboundRequest } from "../core/wire.ts";
import { dial, type Dialled, type DialTls, secureOver } from "./dial.ts";
import { type ConnectLimits, connectThrough } from "./parent-connect.ts";
import type { UpstreamTrust } from "./trust.ts";

/** What a tunnel through a parent takes from the rest of the house. */
export interface ParentPorts {
  readonly clock: Clock;
  /** The permit for the parent of an exchange's destination, in the exchange's session. */
  readonly permitFor: (permit: Permit) => Permit;
  readonly addresses: AddressPort;
  readonly leases: LeasePort;
  readonly attach: AttachPort;
  readonly trust: UpstreamTrust;
  readonly limits: ConnectLimits;
}

/** What a tunnel is for. */
export type TunnelUse =
  /** TLS to the target, which is opened inside */
  | DialTls
  /** HTTP in the clear */
  | "http"
  /** the guest's own bytes */
  | "raw";

/**
 * Tunnels through parent proxies, by CONNECT for everything: a parent that was asked for `http://` URLs would read, and could change,
 * the requests of any number of sessions on one connection. The parent's own address is pinned and its credential leased anew for
 * each one; neither the target nor the guest sees anything of it.
 */
export class Parents {
  readonly #ports: ParentPorts;

  constructor(ports: ParentPorts) {
    this.#ports = ports;
  }

  /**
   * Asked for every exchange, also for one that finds an open tunnel: what a lease has opened is not used on once no live one is held.
   * @returns what keeps the connections of this exchange apart from others: its session, where the parent knows it by a credential
   * @throws Denial of the lease stage
   */
  async admit(permit: Permit): Promise<string> {
    const toParent = this.#ports.permitFor(permit);
    if (!toParent.needsCredential) return "";
    await this.#ports.leases.fetchAhead(toParent);
    const { tenant, id } = permit.session;
    return ` ${tenant.length}:${tenant}${id}`;
  }

  /**
   * Opens a tunnel to the target of an exchange.
   * @param pinned its addresses are named in CONNECT one after the other until one answers; a name is named as it is
   * @param timeoutMs for the parent, its TLS, CONNECT and the target's TLS together, whatever number of addresses there is
   * @throws Denial of the pin and lease stages for the parent itself; `upstream_unreachable`, `upstream_timeout`,
   *   `upstream_tls_invalid`, `upstream_protocol`
   */
  async open(permit: Permit, pinned: Pinned, use: TunnelUse, timeoutMs: number): Promise<Dialled> {
    const parent = parentOf(permit);
    const toParent = this.#ports.permitFor(permit);
    const where = await this.#pin(parent, toParent);
    const targets =
      pinned instanceof PinnedAddress ? pinned.addresses.map(addressAndPort(pinned)) : [nameOf(pinned, parent)];
    const endMs = this.#ports.clock.monotonicMs() + timeoutMs;
    let last: Denial | null = null;
    for (const [i, target] of targets.entries()) {
      const leftMs = endMs - this.#ports.clock.monotonicMs();
      if (leftMs <= 0) break;
      const way = {
        parent,
        toParent,
        where,
        target,
        timeoutMs: Math.max(1, Math.floor(leftMs / (targets.length - i))),
      };
      try {
        return await this.#tunnel(permit, way, use);
      } catch (thrown) {
        last = Denial.from(thrown);
        if (!(last instanceof TargetRefused)) throw last;
      }
    }
    throw last ?? new Denial("upstream_timeout", { cause: said(parent, "no tunnel in time") });
  }

  async #pin(parent: UpstreamParent, toParent: Permit): Promise<PinnedAddress> {
    try {
      const pinned = await this.#ports.addresses.pin(toParent);
      if (pinned instanceof PinnedAddress) return pinned;
    } catch (thrown) {
      const { code, detail } = Denial.from(thrown);
      // The guest's own name is not what does not resolve.
      const shown = code === "name_unresolved" ? "upstream_unreachable" : code;
      throw new Denial(shown, { cause: said(parent, `${code}${detail === null ? "" : `: ${detail}`}`) });
    }
    throw new Denial("internal", { cause: said(parent, "was pinned by name") });
  }

  async #tunnel(permit: Permit, way: Way, use: TunnelUse): Promise<Dialled> {
    const { parent, toParent, target, timeoutMs } = way;
    const { clock, leases } = this.#ports;
    // Ahead of the first byte to the parent: where no lease is to be had, it hears nothing.
    let lease = toParent.needsCredential ? await leases.lease(toParent) : null;
    const endMs = clock.monotonicMs() + timeoutMs;
    const { socket, address } = await this.#dialParent(way);
    try {
      if (lease?.isLive(clock.monotonicMs()) === false) lease = await leases.lease(toParent);
      const head = this.#head(toParent, lease, target);
      const answer = await named(parent, connectThrough(socket, head, this.#ports.limits, left(endMs, clock)));
      if (answer.status >= 300) throw this.#refused(parent, lease, answer.status);
      if (answer.rest.length > 0) {
        // Nothing was asked yet: what is there was made up on the way. Servers of HTTP/2 speak without being asked (RFC 9113 §3.4).
        if (use === "http" && permit.destination.http !== "h2c")
          throw new Denial("upstream_protocol", { cause: said(parent, "sent bytes behind its answer") });
        socket.unshift(answer.rest);
      }
      const reached = `${address} CONNECT ${target}`;
      if (typeof use === "string") return { socket, address: reached, protocol: null };
      return await secureOver(permit.authority, socket, use, reached, left(endMs, clock));
    } catch (thrown) {
      socket.destroy();
      throw thrown;
    }
  }

  async #dialParent({ parent, where, timeoutMs }: Way): Promise<Dialled> {
    const { destination, serverName } = parent;
    const { trust } = this.#ports;
    if (destination.scheme === "http")
      return await named(parent, dial(where.authority, where.addresses, null, timeoutMs));
    const certified = Authority.parse(serverName.includes(":") ? `[${serverName}]` : serverName, where.authority.port);
    if (certified === null) throw new Denial("internal", { cause: said(parent, "has no server name") });
    // No resumption: a tunnel lives long, and a ticket would tie the sessions of one parent together.
    const tls = {
      context: trust.contextFor(destination),
      protocols: ["http/1.1"],
      session: null,
      onSession: () => undefined,
    };
    return await named(parent, dial(certified, where.addresses, tls, timeoutMs));
  }

  /** What is sent: nothing of the exchange but what it is to be connected to. */
  #head(toParent: Permit, lease: Lease | null, target: string): OutboundHead {
    const host: readonly [string, string] = ["Host", target];
    const fields = Fields.of([host]);
    if (lease !== null) {
      const bare = { method: "CONNECT", target, fields: Fields.of([]) };
      this.#attach(toParent, lease, bare);
      const [line] = bare.fields.pairs();
      if (line?.[0] !== "Authorization")
        throw new Denial("lease_unusable", { cause: "a parent takes basic or bearer" });
      // RFC 9110 §11.7.2: the same value under the name that it has on this hop.
      fields.append("Proxy-Authorization", line[1]);
    }
    return { method: "CONNECT", target, fields };
  }

  #attach(toParent: Permit, lease: Lease, head: OutboundHead): void {
    if (!lease.reserveUse()) throw new Denial("lease_unusable", { cause: "lease is used up" });
    try {
      const attaching = this.#ports.attach.attach(
        toParent,
        lease,
        head,
        connectRequest(),
        this.#ports.clock.monotonicMs(),
      );
      if (attaching instanceof Promise) throw new Denial("lease_unusable", { cause: "a parent takes basic or bearer" });
    } catch (thrown) {
      lease.returnUse();
      throw thrown;
    }
  }

  #refused(parent: UpstreamParent, lease: Lease | null, status: number): Denial {
    const cause = said(parent, `answered CONNECT with ${status}`);
    if (status === 407 && lease !== null) this.#ports.leases.reject(lease);
    // RFC 9110 §15.6: it could not get there, and may get to another address. Every other refusal is meant for all of them.
    return status >= 502 && status <= 504 ? new TargetRefused(cause) : new Denial("upstream_unreachable", { cause });
  }
}

/** A CONNECT has no body, and nothing of a guest's goes with it. */
function connectRequest(): OutboundRequest {
  const body = new WholeBody(Buffer.alloc(0));
  return { body, upgrade: null, filter: null, wantsTrailers: false, cleanseTrailers: () => undefined };
}

interface Way {
  readonly parent: UpstreamParent;
  readonly toParent: Permit;
  /** Where the parent is. */
  readonly where: PinnedAddress;
  /** What CONNECT names. */
  readonly target: string;
  readonly timeoutMs: number;
}

/** The parent does not get to one address. */
class TargetRefused extends Denial {
  constructor(cause: string) {
    super("upstream_unreachable", { cause });
  }
}

function parentOf({ destination: { parent } }: Permit): UpstreamParent {
  if (parent === null) throw new Denial("internal", { cause: "the destination has no parent" });
  return parent;
}

const addressAndPort =
  ({ authority: { port } }: PinnedAddress) =>
  (address: string): string =>
    address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;

function nameOf(pinned: Exclude<Pinned, PinnedAddress>, parent: UpstreamParent): string {
  if (parent.connectBy !== "name") throw new Denial("internal", { cause: said(parent, "is not to resolve names") });
  return pinned.authority.text;
}

function left(endMs: number, clock: Clock): number {
  return Math.max(1, Math.floor(endMs - clock.monotonicMs()));
}

/** For operators: whose fault it is. */
function said({ name }: UpstreamParent, what: string): string {
  return `parent ${name}: ${what}`;
}

async function named<T>(parent: UpstreamParent, step: Promise<T>): Promise<T> {
  try {
    return await step;
  } catch (thrown) {
    const { code, detail } = Denial.from(thrown);
    throw new Denial(code, { cause: said(parent, detail ?? "no cause") });
  }
}
