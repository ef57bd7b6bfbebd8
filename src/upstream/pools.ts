import type { Destination } from "../core/destination.ts";
import type { Permit, PinnedAddress } from "../core/exchange.ts";
import type { ConnectWant, RawStream, UpstreamChannel, UpstreamPort } from "../core/wire.ts";
import { dial } from "./dial.ts";
import { type PoolOptions, UpstreamPool } from "./pool.ts";
import type { UpstreamTrust } from "./trust.ts";

/**
 * The edge's upstream connections: a pool for each destination and pinned address set. A reload makes new destinations and
 * with them new pools; connections of the old ones are not used again and end when their idle time is up.
 */
export class UpstreamPools implements UpstreamPort {
  readonly #options: Omit<PoolOptions, "onEmpty">;
  readonly #trust: UpstreamTrust;
  readonly #pools = new WeakMap<Destination, Map<string, UpstreamPool>>();

  constructor(trust: UpstreamTrust, options: Omit<PoolOptions, "onEmpty">) {
    this.#trust = trust;
    this.#options = options;
  }

  connect(permit: Permit, pinned: PinnedAddress, want: ConnectWant): UpstreamChannel | Promise<UpstreamChannel> {
    return this.#poolFor(permit, pinned).take(permit, want.fresh);
  }

  async dialRaw(
    permit: Permit,
    pinned: PinnedAddress,
  ): Promise<{ readonly stream: RawStream; readonly address: string }> {
    const { socket, address } = await dial(
      permit.authority,
      pinned.addresses,
      null,
      this.#options.timeouts.upstreamConnectMs,
    );
    return { stream: socket, address };
  }

  #poolFor(permit: Permit, pinned: PinnedAddress): UpstreamPool {
    const { destination } = permit;
    let pools = this.#pools.get(destination);
    if (pools === undefined) {
      pools = new Map();
      this.#pools.set(destination, pools);
    }
    let pool = pools.get(pinned.key);
    if (pool === undefined) {
      const tls = destination.scheme === "https" ? { context: this.#trust.contextFor(destination) } : null;
      const owner = pools;
      pool = new UpstreamPool(pinned, tls, { ...this.#options, onEmpty: () => owner.delete(pinned.key) });
      pools.set(pinned.key, pool);
    }
    return pool;
  }
}
