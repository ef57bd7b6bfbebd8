import type { Destination } from "../core/destination.ts";
import type { Permit, PinnedAddress } from "../core/exchange.ts";
import type { ConnectWant, RawStream, UpstreamChannel, UpstreamPort } from "../core/wire.ts";
import { ChoicePool } from "./choice-pool.ts";
import { dial, type Dialled, Dialler, ProtocolRefused } from "./dial.ts";
import { Http2Pool } from "./http2-pool.ts";
import { KnownHttp } from "./known-http.ts";
import { type PoolOptions, UpstreamPool } from "./pool.ts";
import type { UpstreamTrust } from "./trust.ts";

/** Connections to one pinned address set, whatever they speak. */
interface Pool {
  take(permit: Permit, want: ConnectWant): UpstreamChannel | Promise<UpstreamChannel>;
}

/** What is kept of a destination. */
interface Kept {
  readonly pools: Map<string, Pool>;
  readonly known: KnownHttp;
}

/**
 * The edge's upstream connections: a pool for each destination and pinned address set. A reload makes new destinations and
 * with them new pools; connections of the old ones are not used again and end when their idle time is up.
 */
export class UpstreamPools implements UpstreamPort {
  readonly #options: Omit<PoolOptions, "onEmpty">;
  readonly #trust: UpstreamTrust;
  readonly #kept = new WeakMap<Destination, Kept>();

  constructor(trust: UpstreamTrust, options: Omit<PoolOptions, "onEmpty">) {
    this.#trust = trust;
    this.#options = options;
  }

  connect(permit: Permit, pinned: PinnedAddress, want: ConnectWant): UpstreamChannel | Promise<UpstreamChannel> {
    return this.#poolFor(permit, pinned).take(permit, want);
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

  #poolFor(permit: Permit, pinned: PinnedAddress): Pool {
    const { destination } = permit;
    let kept = this.#kept.get(destination);
    if (kept === undefined) {
      kept = { pools: new Map(), known: new KnownHttp() };
      this.#kept.set(destination, kept);
    }
    let pool = kept.pools.get(pinned.key);
    if (pool === undefined) {
      pool = this.#newPool(destination, pinned, kept);
      kept.pools.set(pinned.key, pool);
    }
    return pool;
  }

  #newPool(destination: Destination, pinned: PinnedAddress, { pools, known }: Kept): Pool {
    const context = destination.scheme === "https" ? this.#trust.contextFor(destination) : null;
    const dialler = new Dialler(pinned, context, this.#options.timeouts.upstreamConnectMs);
    const options: PoolOptions = {
      ...this.#options,
      onEmpty: () => {
        if (pools.get(pinned.key) === pool) pools.delete(pinned.key);
      },
    };
    const pool = poolOf(destination, dialler, known, options);
    return pool;
  }
}

function poolOf(destination: Destination, dialler: Dialler, known: KnownHttp, options: PoolOptions): Pool {
  const { pinned } = dialler;
  switch (destination.http) {
    case "auto":
      if (destination.scheme === "https") return new ChoicePool(dialler, known, options);
      return new UpstreamPool(pinned, () => dialler.dial(["http/1.1"]), options);
    case "h1":
      return new UpstreamPool(pinned, () => dialler.dial(["http/1.1"]), options);
    case "h2":
      return new Http2Pool(pinned, () => dialHttp2(dialler), "https", options);
    case "h2c":
      return new Http2Pool(pinned, () => dialler.dial([]), "http", options);
  }
}

/** A server that chose nothing would take the request for HTTP/1.1. */
async function dialHttp2(dialler: Dialler): Promise<Dialled> {
  const dialled = await dialler.dial(["h2"]);
  if (dialled.protocol === "h2") return dialled;
  dialled.socket.destroy();
  throw new ProtocolRefused("the upstream chose no HTTP/2 over TLS");
}
