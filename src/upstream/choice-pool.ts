import { Denial } from "../core/denial.ts";
import type { Permit } from "../core/exchange.ts";
import type { ConnectWant, UpstreamChannel } from "../core/wire.ts";
import { type Dialled, type Dialler, ProtocolRefused } from "./dial.ts";
import { Http2Pool } from "./http2-pool.ts";
import type { KnownHttp } from "./known-http.ts";
import { type PoolOptions, UpstreamPool } from "./pool.ts";

/**
 * `http: auto` over TLS: HTTP/1.1 is asked for first, since it costs the edge less than half; HTTP/2 where the call needs it, or
 * where the upstream speaks nothing else. What turned out is kept for the next exchange.
 */
export class ChoicePool {
  readonly #key: string;
  readonly #dialler: Dialler;
  readonly #http1: UpstreamPool;
  readonly #http2: Http2Pool;
  readonly #known: KnownHttp;
  readonly #options: PoolOptions;
  #http1Only = false;
  #isHttp2Only: boolean;
  /** Exchanges on their way from one pool to the other. */
  #changing = 0;

  constructor(dialler: Dialler, known: KnownHttp, options: PoolOptions) {
    const { pinned } = dialler;
    this.#key = pinned.key;
    this.#dialler = dialler;
    this.#known = known;
    this.#isHttp2Only = known.get(pinned.key) === "h2";
    this.#options = options;
    const both = { ...options, onEmpty: () => this.#lookEmpty() };
    this.#http1 = new UpstreamPool(pinned, () => this.#dialHttp1(), both);
    this.#http2 = new Http2Pool(pinned, () => this.#dialHttp2(), "https", both);
  }

  take(permit: Permit, want: ConnectWant): UpstreamChannel | Promise<UpstreamChannel> {
    const first = this.#isHttp2Only || (want.http2 && !this.#http1Only) ? this.#http2 : this.#http1;
    const taken = first.take(permit, want);
    if (!(taken instanceof Promise)) return taken;
    return this.#orFrom(first === this.#http1 ? this.#http2 : this.#http1, taken, permit, want);
  }

  get isIdle(): boolean {
    return this.#changing === 0 && this.#http1.isIdle && this.#http2.isIdle;
  }

  retire(gone: Denial): void {
    this.#http1.retire(gone);
    this.#http2.retire(gone);
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
      const other = await second.take(permit, want);
      this.#isHttp2Only = second === this.#http2;
      this.#known.set(this.#key, this.#isHttp2Only ? "h2" : "http/1.1");
      return other;
    } finally {
      this.#changing--;
      this.#lookEmpty();
    }
  }

  /** An upstream that chooses nothing knows no ALPN, or, as Go's servers do, nothing of what was offered: the first time it is asked. */
  async #dialHttp1(): Promise<Dialled> {
    const dialled = await this.#dialler.dial(["http/1.1"]);
    if (dialled.protocol !== null || this.#known.get(this.#key) === "http/1.1") return dialled;
    if (await this.#choosesHttp2()) {
      dialled.socket.destroy();
      throw new ProtocolRefused("the upstream chose no HTTP/1.1, and HTTP/2 where it was offered");
    }
    this.#known.set(this.#key, "http/1.1");
    return dialled;
  }

  async #choosesHttp2(): Promise<boolean> {
    try {
      const { socket, protocol } = await this.#dialler.dial(["h2", "http/1.1"]);
      socket.destroy();
      return protocol === "h2";
    } catch (thrown) {
      // The connection that asks is good; what this one met is met again by whoever needs it.
      if (thrown instanceof Denial) return false;
      throw thrown;
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
    if (this.#changing === 0 && this.#http1.isEmpty && this.#http2.isEmpty) this.#options.onEmpty();
  }
}
