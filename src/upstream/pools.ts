import type { Destination } from "../core/destination.ts";
import { Denial } from "../core/denial.ts";
import { type Permit, type Pinned, PinnedAddress } from "../core/exchange.ts";
import type { ConnectWant, RawStream, UpstreamChannel, UpstreamPort } from "../core/wire.ts";
import { ChoicePool } from "./choice-pool.ts";
import { type Dial, dial, type Dialled, Dialler, ProtocolRefused } from "./dial.ts";
import { Http2Pool } from "./http2-pool.ts";
import { KnownHttp } from "./known-http.ts";
import type { Parents } from "./parent.ts";
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
 * with them new pools; connections of the old ones are not used again and end when their idle time is up. Where a
 * parent knows the session by a credential, the session has pools of its own.
 */
export class UpstreamPools implements UpstreamPort {
  readonly #options: Omit<PoolOptions, "onEmpty">;
  readonly #trust: UpstreamTrust;
  readonly #kept = new WeakMap<Destination, Kept>();
  readonly #parents: Parents | null;

  /** @param parents `null` where no destination has one */
  constructor(trust: UpstreamTrust, options: Omit<PoolOptions, "onEmpty">, parents: Parents | null = null) {
    this.#trust = trust;
    this.#options = options;
    this.#parents = parents;
  }

  connect(permit: Permit, pinned: Pinned, want: ConnectWant): UpstreamChannel | Promise<UpstreamChannel> {
    // A connection that presents no certificate would carry the exchange without its credential.
    if (want.identity !== null) throw new Denial("internal", { cause: "no pool presents client certificates" });
    if (permit.destination.parent !== null) return this.#connectThrough(permit, pinned, want);
    return this.#poolFor(permit, pinned, "").take(permit, want);
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
    const taken = this.#poolFor(permit, pinned, apart).take(permit, want);
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
  #poolFor(permit: Permit, pinned: Pinned, apart: string): Pool {
    const { destination } = permit;
    let kept = this.#kept.get(destination);
    if (kept === undefined) {
      kept = { pools: new Map(), known: new KnownHttp() };
      this.#kept.set(destination, kept);
    }
    const key = apart === "" ? pinned.key : pinned.key + apart;
    let pool = kept.pools.get(key);
    if (pool === undefined) {
      pool = this.#newPool(permit, pinned, key, kept);
      kept.pools.set(key, pool);
    }
    return pool;
  }

  /** @param permit of the exchange that the pool is made for; all that share it are of one session, where that matters to a parent */
  #newPool(permit: Permit, pinned: Pinned, key: string, { pools, known }: Kept): Pool {
    const { destination } = permit;
    const context = destination.scheme === "https" ? this.#trust.contextFor(destination) : null;
    const dialler = new Dialler(pinned, this.#wayTo(permit, pinned), context, this.#options.timeouts.upstreamConnectMs);
    const options: PoolOptions = {
      ...this.#options,
      onEmpty: () => {
        if (pools.get(key) === pool) pools.delete(key);
      },
    };
    const pool = poolOf(destination, dialler, known, options);
    return pool;
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
