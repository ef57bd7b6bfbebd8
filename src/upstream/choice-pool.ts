import type { Permit } from "../core/exchange.ts";
import type { ConnectWant, UpstreamChannel } from "../core/wire.ts";
import { type Dialled, type Dialler, ProtocolRefused } from "./dial.ts";
import { Http2Pool } from "./http2-pool.ts";
import { type PoolOptions, UpstreamPool } from "./pool.ts";

/** What `http: auto` has learnt of upstreams that speak HTTP/2 alone; outlives the pool, which ends with its last connection. */
export class Http2Only {
  readonly #keys = new Set<string>();

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  add(key: string): void {
    // Names below a wildcard are the guests' to choose: what was learnt first is learnt again.
    for (const oldest of this.#keys) {
      if (this.#keys.size < MOST_KNOWN) break;
      this.#keys.delete(oldest);
    }
    this.#keys.add(key);
  }

  delete(key: string): void {
    this.#keys.delete(key);
  }
}

const MOST_KNOWN = 1000;

/**
 * `http: auto` over TLS: HTTP/1.1 is asked for first, since it costs the edge less than half; HTTP/2 where the call needs it, or
 * where the upstream speaks nothing else. What turned out is kept for the next exchange.
 */
export class ChoicePool {
  readonly #key: string;
  readonly #dialler: Dialler;
  readonly #http1: UpstreamPool;
  readonly #http2: Http2Pool;
  readonly #known: Http2Only;
  readonly #onEmpty: () => void;
  #http1Only = false;
  #isHttp2Only: boolean;
  /** Exchanges on their way from one pool to the other. */
  #changing = 0;

  constructor(dialler: Dialler, known: Http2Only, options: PoolOptions) {
    const { pinned } = dialler;
    this.#key = pinned.key;
    this.#dialler = dialler;
    this.#known = known;
    this.#isHttp2Only = known.has(pinned.key);
    this.#onEmpty = () => options.onEmpty();
    const both = { ...options, onEmpty: () => this.#lookEmpty() };
    this.#http1 = new UpstreamPool(pinned, () => dialler.dial(["http/1.1"]), both);
    this.#http2 = new Http2Pool(pinned, () => this.#dialHttp2(), "https", both);
  }

  take(permit: Permit, want: ConnectWant): UpstreamChannel | Promise<UpstreamChannel> {
    const first = this.#isHttp2Only || (want.http2 && !this.#http1Only) ? this.#http2 : this.#http1;
    const taken = first.take(permit, want);
    if (!(taken instanceof Promise)) return taken;
    return this.#orFrom(first === this.#http1 ? this.#http2 : this.#http1, taken, permit, want);
  }

  async #orFrom(
    second: UpstreamPool | Http2Pool,
    taken: Promise<UpstreamChannel>,
    permit: Permit,
    want: ConnectWant,
  ): Promise<UpstreamChannel> {
    this.#changing++;
    try {
      return await taken;
    } catch (thrown) {
      if (!(thrown instanceof ProtocolRefused)) throw thrown;
      this.#isHttp2Only = second === this.#http2;
      if (this.#isHttp2Only) this.#known.add(this.#key);
      else this.#known.delete(this.#key);
      return await second.take(permit, want);
    } finally {
      this.#changing--;
      this.#lookEmpty();
    }
  }

  async #dialHttp2(): Promise<Dialled> {
    const dialled = await this.#dialler.dial(["h2", "http/1.1"]);
    if (dialled.protocol === "h2") return dialled;
    this.#http1Only = true;
    this.#http1.adopt(dialled);
    throw new ProtocolRefused("the upstream chose HTTP/1.1");
  }

  #lookEmpty(): void {
    if (this.#changing === 0 && this.#http1.isEmpty && this.#http2.isEmpty) this.#onEmpty();
  }
}
