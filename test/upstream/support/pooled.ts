import { Authority } from "../../../src/core/authority.ts";
import type { Denial } from "../../../src/core/denial.ts";
import type { Destination } from "../../../src/core/destination.ts";
import { Permit, PinnedAddress, Session } from "../../../src/core/exchange.ts";
import { Fields } from "../../../src/core/fields.ts";
import type {
  AnswerHead,
  AnswerSink,
  BodySink,
  ConnectWant,
  RawStream,
  RequestBody,
  Standing,
  UpstreamChannel,
} from "../../../src/core/wire.ts";
import type { AnswerLimits } from "../../../src/upstream/answer-reader.ts";
import { UpstreamPools } from "../../../src/upstream/pools.ts";
import type { UpstreamTimeouts } from "../../../src/upstream/states.ts";
import { UpstreamTrust } from "../../../src/upstream/trust.ts";
import { startFairSweep } from "../../core/support/fair-sweep.ts";
import { DESTINATION, eventually, LIMITS, TIMEOUTS } from "../../line/support/joined.ts";

export interface PooledOptions {
  readonly destination?: Partial<Destination>;
  readonly timeouts?: Partial<UpstreamTimeouts>;
  readonly limits?: Partial<AnswerLimits>;
  readonly maxConnections?: number;
  readonly isShared?: boolean;
  /** PEM roots. */
  readonly roots?: readonly string[];
}

/** The edge's pools alone, towards one upstream on the loopback, and what they count. */
export class Pooled {
  opened = 0;
  reused = 0;
  closed = 0;
  readonly faults: unknown[] = [];
  readonly #time = startFairSweep();
  readonly sweep = this.#time.sweep;
  readonly #pools: UpstreamPools;
  readonly #authority: Authority;
  readonly #destination: Destination;
  readonly #pinned: PinnedAddress;
  readonly #onFault = (thrown: unknown): void => void this.faults.push(thrown);

  constructor(port: number, options: PooledOptions = {}) {
    const { clock } = this.#time;
    this.#pools = new UpstreamPools(new UpstreamTrust(options.roots ?? []), {
      clock,
      sweep: this.sweep,
      timeouts: { ...TIMEOUTS, ...options.timeouts },
      limits: { ...LIMITS, ...options.limits },
      maxConnections: options.maxConnections ?? 8,
      isShared: options.isShared ?? false,
      events: {
        opened: () => void this.opened++,
        reused: () => void this.reused++,
        closed: () => void this.closed++,
      },
    });
    const authority = Authority.parse(`api.test:${port}`, null) as Authority;
    this.#authority = authority;
    this.#destination = { ...DESTINATION, ...options.destination };
    this.#pinned = PinnedAddress.check(authority, ["127.0.0.1"]);
    process.on("uncaughtException", this.#onFault);
    process.on("unhandledRejection", this.#onFault);
  }

  /** @param id of the session */
  connect(want: Partial<ConnectWant> = {}, id = "s"): UpstreamChannel | Promise<UpstreamChannel> {
    const session = Session.prove({ id, tenant: "t", workspace: "w", subject: "u", roles: [] });
    const permit = Permit.grant(session, this.#authority, this.#destination, "allow[0]");
    return this.#pools.connect(permit, this.#pinned, { fresh: false, http2: false, identity: null, ...want });
  }

  /** One whole exchange. @throws Denial when no connection could be had */
  async ask(asked: Asked = {}, want: Partial<ConnectWant> = {}, id?: string): Promise<Answer> {
    const answer = this.begin(await this.connect(want, id), asked);
    await answer.over;
    return answer;
  }

  begin(channel: UpstreamChannel, asked: Asked = {}): Answer {
    const answer = new Answer(channel, asked.takes ?? true);
    const { method = "GET", target = "/", fields = [], body = NO_BODY, upgrade = null, edit } = asked;
    const head = { method, target, fields: Fields.of([["Host", "api.test"], ...fields]) };
    edit?.(head.fields);
    const request = {
      body,
      upgrade,
      filter: null,
      wantsTrailers: asked.wantsTrailers ?? false,
      cleanseTrailers: () => undefined,
    };
    try {
      answer.isSent = channel.send(head, request, answer);
    } catch (thrown) {
      channel.release();
      throw thrown;
    }
    return answer;
  }

  /** Resolves once `ms` have passed by the edge's clock. */
  passed(ms: number): Promise<void> {
    return this.#time.passed(ms);
  }

  /** `ms` of the edge's clock. */
  nowMs(): number {
    return this.#time.clock.monotonicMs();
  }

  /** Everything must have ended by then, and nothing may have gone unnoticed. */
  async stop(): Promise<void> {
    try {
      await eventually(() => this.opened === this.closed && this.sweep.size === 0, "the end of every connection");
    } finally {
      this.#time.stop();
      process.off("uncaughtException", this.#onFault);
      process.off("unhandledRejection", this.#onFault);
    }
    if (this.faults.length > 0) throw this.faults[0];
  }
}

export interface Asked {
  readonly method?: string;
  readonly target?: string;
  readonly fields?: readonly [string, string][];
  readonly body?: RequestBody;
  readonly upgrade?: "websocket" | null;
  readonly wantsTrailers?: boolean;
  /** What the edge does to the fields. */
  readonly edit?: (fields: Fields) => void;
  /** `false`: the taker is full until it is told otherwise. */
  readonly takes?: boolean;
}

/** Everything that a taker was told of one exchange. */
export class Answer implements AnswerSink {
  readonly channel: UpstreamChannel;
  isSent = false;
  takes: boolean;
  readonly interims: AnswerHead[] = [];
  /** The final head. */
  finalHead: AnswerHead | null = null;
  readonly chunks: Buffer[] = [];
  bytes = 0;
  flushes = 0;
  trailers: Fields | null = null;
  ended = false;
  failure: { readonly denial: Denial; readonly standing: Standing; readonly resetCode: number | null } | null = null;
  stream: RawStream | null = null;
  /** Resolves at the end, whichever it is. */
  readonly over: Promise<void>;
  #over!: () => void;

  constructor(channel: UpstreamChannel, takes: boolean) {
    this.channel = channel;
    this.takes = takes;
    this.over = new Promise((resolve) => {
      this.#over = resolve;
    });
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString("latin1");
  }

  get status(): number {
    return this.finalHead?.status ?? 0;
  }

  interim(head: AnswerHead): void {
    this.#told();
    this.interims.push(head);
  }

  head(head: AnswerHead): void {
    this.#told();
    if (this.finalHead !== null) throw new Error("a second head");
    this.finalHead = head;
  }

  data(chunk: Buffer): void {
    this.#told();
    this.bytes += chunk.length;
    if (this.bytes < 1_000_000) this.chunks.push(chunk);
  }

  end(trailers: Fields | null): void {
    this.#told();
    this.ended = true;
    this.trailers = trailers;
    this.#over();
  }

  flush(): boolean {
    this.flushes++;
    return this.takes;
  }

  upgraded(head: AnswerHead, stream: RawStream): void {
    this.#told();
    this.finalHead = head;
    this.stream = stream;
    this.#over();
  }

  failed(denial: Denial, standing: Standing, resetCode: number | null): void {
    this.#told();
    this.failure = { denial, standing, resetCode };
    this.#over();
  }

  #told(): void {
    if (this.ended || this.failure !== null || this.stream !== null) throw new Error("told after the end");
  }
}

const NO_BODY: RequestBody = {
  length: "none",
  expectContinue: false,
  start: () => undefined,
  resume: () => undefined,
};

/** A request body that the test pushes. */
export class Body implements RequestBody {
  readonly length: RequestBody["length"];
  readonly expectContinue: boolean;
  resumes = 0;
  sink: BodySink | null = null;
  readonly #onStart: ((sink: BodySink) => void) | null;

  constructor(
    length: RequestBody["length"],
    onStart: ((sink: BodySink) => void) | null = null,
    expectContinue = false,
  ) {
    this.length = length;
    this.#onStart = onStart;
    this.expectContinue = expectContinue;
  }

  /** The whole body at once. */
  static of(text: string, trailers: Fields | null = null): Body {
    return new Body(trailers === null ? text.length : "stream", (sink) => {
      sink.bodyData(Buffer.from(text));
      sink.bodyEnd(trailers);
      sink.bodyFlush();
    });
  }

  start(sink: BodySink): void {
    this.sink = sink;
    this.#onStart?.(sink);
  }

  resume(): void {
    this.resumes++;
  }
}

export function pairsOf(fields: Fields | null | undefined): [string, string][] {
  return [...(fields?.pairs() ?? [])];
}
