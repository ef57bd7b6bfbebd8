import type { Destination } from "../core/destination.ts";
import { Denial } from "../core/denial.ts";
import { type Permit, type Pinned, PinnedAddress } from "../core/exchange.ts";
import { LeaseGone } from "../core/lease-denials.ts";
import type { ClientIdentity, ConnectWant, RawStream, UpstreamChannel, UpstreamPort } from "../core/wire.ts";
import { ChoicePool } from "./choice-pool.ts";
import { type Dial, dial, type Dialled, Dialler, ProtocolRefused } from "./dial.ts";
import { Http2Pool } from "./http2-pool.ts";
import { KnownHttp } from "./known-http.ts";
import type { Parents } from "./parent.ts";
import { type PoolOptions, UpstreamPool } from "./pool.ts";
import { type PresentedPool, PresentedPools } from "./presented-pools.ts";
import type { PresentingContext, UpstreamTrust } from "./trust.ts";

/** Connections to one pinned address set, whatever they speak. */
interface Pool extends PresentedPool {
  take(permit: Permit, want: ConnectWant): UpstreamChannel | Promise<UpstreamChannel>;
}

/** What a pool presents, and nobody else. */
interface Own {
  readonly identity: ClientIdentity;
  readonly context: PresentingContext;
}

/** What is kept of a destination. */
interface Kept {
  readonly pools: Map<string, Pool>;
  readonly known: KnownHttp;
}

/**
 * The edge's upstream connections: a pool for each destination and pinned address set. A reload makes new destinations and
 * with them new pools; connections of the old ones are not used again and end when their idle time is up. Where a
 * parent knows the session by a credential, the session has pools of its own; where a certificate is presented, its lease has.
 */
export class UpstreamPools implements UpstreamPort {
  readonly #options: Omit<PoolOptions, "onEmpty">;
  readonly #trust: UpstreamTrust;
  readonly #kept = new WeakMap<Destination, Kept>();
  readonly #parents: Parents | null;
  readonly #presented: PresentedPools;

  /** @param parents `null` where no destination has one */
  constructor(trust: UpstreamTrust, options: Omit<PoolOptions, "onEmpty">, parents: Parents | null = null) {
    this.#trust = trust;
    this.#options = options;
    this.#parents = parents;
    this.#presented = new PresentedPools(options.clock, options.sweep);
  }

  connect(permit: Permit, pinned: Pinned, want: ConnectWant): UpstreamChannel | Promise<UpstreamChannel> {
    if (permit.destination.parent !== null) return this.#connectThrough(permit, pinned, want);
    return this.#poolFor(permit, pinned, "", want.identity).take(permit, want);
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
    const parents = this.#parentsOf(permit);
    const apart = await parents.admit(permit);
    const taken = this.#poolFor(permit, pinned, apart, want.identity).take(permit, want);
    if (!(taken instanceof Promise)) return taken;
    const channel = await taken;
    try {
      // Waiting for a place may have outlived it.
      await parents.admit(permit);
      return channel;
    } catch (thrown) {
      channel.release();
      throw thrown;
    }
  }

  #parentsOf({ destination }: Permit): Parents {
    if (this.#parents === null) throw new Denial("internal", { cause: `${destination.name}: there are no parents` });
    return this.#parents;
  }

  /** @param apart what keeps its connections from those of other exchanges with the same destination and addresses */
  #poolFor(permit: Permit, pinned: Pinned, apart: string, identity: ClientIdentity | null): Pool {
    const { destination } = permit;
    let kept = this.#kept.get(destination);
    if (kept === undefined) {
      kept = { pools: new Map(), known: new KnownHttp() };
      this.#kept.set(destination, kept);
    }
    const all = apart === "" ? pinned.key : pinned.key + apart;
    const key = identity === null ? all : `${all} ${identity.key}`;
    let pool = kept.pools.get(key);
    if (pool !== undefined) {
      if (identity !== null) this.#presented.touch(pool);
      return pool;
    }
    const own = identity === null ? null : this.#presenting(permit, identity);
    pool = this.#newPool(permit, pinned, key, kept, own, apart === "" && identity === null);
    kept.pools.set(key, pool);
    if (identity !== null) this.#presented.add(pool, identity, permit, forgetting(kept.pools, key, pool));
    return pool;
  }

  #presenting(permit: Permit, identity: ClientIdentity): Own {
    const { destination } = permit;
    // A connection that presents no certificate would carry the exchange without its credential.
    if (destination.scheme !== "https")
      throw new Denial("internal", { cause: "no certificate can be presented without TLS" });
    this.#presented.makeRoom(permit);
    return { identity, context: this.#trust.contextWith(destination, identity) };
  }

  /**
   * @param permit of the exchange that the pool is made for; all that share it are of one session, where that matters to a parent
   * @param isOfAll sessions share it
   */
  #newPool(
    permit: Permit,
    pinned: Pinned,
    key: string,
    { pools, known }: Kept,
    own: Own | null,
    isOfAll: boolean,
  ): Pool {
    const { destination } = permit;
    const way = this.#wayTo(permit, pinned);
    const { upstreamConnectMs } = this.#options.timeouts;
    const context = destination.scheme === "https" && own === null ? this.#trust.contextFor(destination) : null;
    const dialler =
      own === null
        ? new Dialler(pinned, way, context === null ? null : () => context, upstreamConnectMs)
        : new Dialler(pinned, this.#whileLive(own.identity, way), () => own.context.get(), upstreamConnectMs);
    const options: PoolOptions = {
      ...this.#options,
      isShared: this.#options.isShared && isOfAll,
      onEmpty: () => {
        forgetting(pools, key, pool)();
        if (own === null) return;
        this.#presented.left(pool);
        own.context.release();
      },
    };
    const pool = poolOf(destination, dialler, known, options);
    return pool;
  }

  /** Those who wait for a place may get one when the lease is dead: its certificate is shown to nobody then. */
  #whileLive(identity: ClientIdentity, way: Dial): Dial {
    return async (tls, timeoutMs) => {
      if (!identity.isLive(this.#options.clock.monotonicMs()))
        throw new LeaseGone("the lease of the client certificate ended");
      return await way(tls, timeoutMs);
    };
  }

  #wayTo(permit: Permit, pinned: Pinned): Dial {
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

function forgetting(pools: Map<string, Pool>, key: string, pool: Pool): () => void {
  return () => {
    if (pools.get(key) === pool) pools.delete(key);
  };
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
