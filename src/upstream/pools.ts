import type { Destination } from "../core/destination.ts";
import { Denial } from "../core/denial.ts";
import { type Permit, type Pinned, PinnedAddress } from "../core/exchange.ts";
import type { ConnectWant, RawStream, UpstreamChannel, UpstreamPort } from "../core/wire.ts";
import { dial } from "./dial.ts";
import type { Parents } from "./parent.ts";
import { type Dial, type PoolOptions, UpstreamPool } from "./pool.ts";
import type { UpstreamTrust } from "./trust.ts";

/**
 * The edge's upstream connections: a pool for each destination and pinned address set. A reload makes new destinations and
 * with them new pools; connections of the old ones are not used again and end when their idle time is up. Where a
 * parent knows the session by a credential, the session has pools of its own.
 */
export class UpstreamPools implements UpstreamPort {
  readonly #options: Omit<PoolOptions, "onEmpty" | "dial">;
  readonly #trust: UpstreamTrust;
  readonly #pools = new WeakMap<Destination, Map<string, UpstreamPool>>();
  readonly #parents: Parents | null;

  /** @param parents `null` where no destination has one */
  constructor(trust: UpstreamTrust, options: Omit<PoolOptions, "onEmpty" | "dial">, parents: Parents | null = null) {
    this.#trust = trust;
    this.#options = options;
    this.#parents = parents;
  }

  connect(permit: Permit, pinned: Pinned, want: ConnectWant): UpstreamChannel | Promise<UpstreamChannel> {
    if (permit.destination.parent !== null) return this.#connectThrough(permit, pinned, want);
    return this.#poolFor(permit, pinned, "").take(permit, want.fresh);
  }

  async dialRaw(permit: Permit, pinned: Pinned): Promise<{ readonly stream: RawStream; readonly address: string }> {
    const { upstreamConnectMs } = this.#options.timeouts;
    const { socket, address } =
      permit.destination.parent === null
        ? await dial(permit.authority, addressesOf(pinned), null, upstreamConnectMs)
        : await this.#parentsOf(permit).open(permit, pinned, "raw", upstreamConnectMs);
    return { stream: socket, address };
  }

  async #connectThrough(permit: Permit, pinned: Pinned, want: ConnectWant): Promise<UpstreamChannel> {
    const apart = await this.#parentsOf(permit).admit(permit);
    return await this.#poolFor(permit, pinned, apart).take(permit, want.fresh);
  }

  #parentsOf({ destination }: Permit): Parents {
    if (this.#parents === null) throw new Denial("internal", { cause: `${destination.name}: there are no parents` });
    return this.#parents;
  }

  /** @param apart what keeps its connections from those of other exchanges with the same destination and addresses */
  #poolFor(permit: Permit, pinned: Pinned, apart: string): UpstreamPool {
    const { destination } = permit;
    let pools = this.#pools.get(destination);
    if (pools === undefined) {
      pools = new Map();
      this.#pools.set(destination, pools);
    }
    const key = apart === "" ? pinned.key : pinned.key + apart;
    let pool = pools.get(key);
    if (pool === undefined) {
      const tls = destination.scheme === "https" ? { context: this.#trust.contextFor(destination) } : null;
      const owner = pools;
      const options = { ...this.#options, dial: this.#dialFor(permit, pinned), onEmpty: () => owner.delete(key) };
      pool = new UpstreamPool(pinned, tls, options);
      pools.set(key, pool);
    }
    return pool;
  }

  /** @param permit of the exchange that the pool is made for; all that share it are of one session, where that matters to a parent */
  #dialFor(permit: Permit, pinned: Pinned): Dial {
    if (permit.destination.parent === null) {
      const { authority } = permit;
      return async (tls, timeoutMs) => await dial(authority, addressesOf(pinned), tls, timeoutMs);
    }
    const parents = this.#parentsOf(permit);
    return (tls, timeoutMs) => parents.open(permit, pinned, tls ?? "http", timeoutMs);
  }
}

/** What was checked is what is dialled. @throws Denial `internal` for a name that was not resolved: it has no address */
function addressesOf(pinned: Pinned): readonly string[] {
  if (pinned instanceof PinnedAddress) return pinned.addresses;
  throw new Denial("internal", { cause: `${pinned.authority.text} was not resolved` });
}
