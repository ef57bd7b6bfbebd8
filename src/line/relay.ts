import type { Denial } from "../core/denial.ts";
import type { Lease, Permit } from "../core/exchange.ts";
import type { Fields } from "../core/fields.ts";
import { CertificateRefused } from "../core/lease-denials.ts";
import type { AttachDemands, Injected } from "../core/ports.ts";
import type {
  AnswerHead,
  AnswerSink,
  GuestExchange,
  GuestWatcher,
  OutboundRequest,
  RawStream,
  Standing,
  UpstreamChannel,
} from "../core/wire.ts";
import type { WholeBody } from "../core/whole-body.ts";
import type { KeptBody } from "./kept-body.ts";
import type { Line } from "./line.ts";
import { joinStreams } from "./join-streams.ts";

/** How an attempt ended: `settled` = the guest has its answer or is gone; the others ask for one more attempt. */
export type Verdict = "settled" | "untouched" | "stale" | "gone" | "unauthorized" | "challenged";

/** Which attempts are left. */
export interface AttemptsLeft {
  readonly mayRetryUntouched: boolean;
  readonly mayRetryStale: boolean;
  readonly mayRetryGone: boolean;
  readonly mayRetryLease: boolean;
  readonly mayMeetChallenge: boolean;
  /** The guest's body, where it is held whole. */
  readonly held: WholeBody | null;
  /** The guest's body, where what was sent of it may be sent again. */
  readonly kept: KeptBody | null;
}

/** Methods that may be sent twice without harm (RFC 9110 §9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

/**
 * Carries one answer from the upstream to the guest: guards head and trailers, passes the body on as it comes, back-pressure
 * both ways, and settles once. A body scrubber takes its place in `data`.
 */
export class Relay implements AnswerSink, GuestWatcher {
  /** Rejects with a `Denial` only while no answer byte has reached the guest. */
  readonly verdict: Promise<Verdict>;
  readonly #line: Line;
  readonly #guest: GuestExchange;
  readonly #channel: UpstreamChannel;
  readonly #permit: Permit;
  readonly #lease: Lease | null;
  readonly #injected: Injected;
  readonly #left: AttemptsLeft;
  readonly #guarded: boolean;
  readonly #request: OutboundRequest;
  readonly #demands: AttachDemands;
  #resolve!: (verdict: Verdict) => void;
  #reject!: (denial: Denial) => void;
  #settled = false;

  /** @param demands of the attachments of the destination */
  constructor(
    line: Line,
    guest: GuestExchange,
    channel: UpstreamChannel,
    permit: Permit,
    lease: Lease | null,
    injected: Injected,
    left: AttemptsLeft,
    request: OutboundRequest,
    demands: AttachDemands,
  ) {
    this.#line = line;
    this.#guest = guest;
    this.#channel = channel;
    this.#permit = permit;
    this.#lease = lease;
    this.#injected = injected;
    this.#left = left;
    this.#guarded = injected.values.length > 0;
    this.#request = request;
    this.#demands = demands;
    this.verdict = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    guest.watcher = this;
  }

  interim(head: AnswerHead): void {
    if (this.#settled) return;
    this.#left.kept?.release();
    this.#guardHead(head);
    this.#guest.interim(head);
  }

  head(head: AnswerHead): void {
    if (this.#settled) return;
    this.#left.kept?.release();
    const { record } = this.#guest;
    record.firstByteMs = this.#line.clock.monotonicMs();
    if (this.#demands.answers && this.#lease !== null && this.#line.attach.observe(this.#permit, this.#lease, head)) {
      if (this.#mayMeetChallenge) {
        this.#settle("challenged");
        this.#channel.abort();
        return;
      }
    } else if (head.status === 401 && this.#lease !== null) {
      const hasFresh = this.#line.leases.reject(this.#lease);
      if (hasFresh && this.#left.mayRetryLease && this.#isReplayable) {
        this.#settle("unauthorized");
        this.#channel.abort();
        return;
      }
    }
    this.#guardHead(head);
    record.status = head.status;
    this.#guest.answer(head);
  }

  data(chunk: Buffer): void {
    if (this.#settled) return;
    this.#guest.record.bytesToGuest += chunk.length;
    this.#guest.data(chunk);
  }

  end(trailers: Fields | null): void {
    if (this.#settled) return;
    if (trailers !== null && this.#guarded) {
      this.#guest.record.masked += this.#line.guard.maskFields(this.#injected, trailers);
    }
    this.#guest.record.outcome = "completed";
    this.#guest.end(trailers);
    this.#settle("settled");
  }

  flush(): boolean {
    return this.#settled || this.#guest.flush();
  }

  upgraded(head: AnswerHead, stream: RawStream): void {
    if (this.#settled) {
      stream.destroy();
      return;
    }
    const { record } = this.#guest;
    this.#guardHead(head);
    record.status = 101;
    record.outcome = "completed";
    const raw = this.#guest.switchProtocols(head);
    const guestStream =
      this.#request.filter === null ? raw : this.#request.filter(raw, (denial) => this.#refused(denial));
    void joinStreams(guestStream, stream, record).then(() => this.#settle("settled"));
  }

  /** What a guest said after the upgrade must not leave. */
  #refused(denial: Denial): void {
    const { record } = this.#guest;
    record.outcome = "denied";
    record.denial = denial.code;
    record.detail = denial.detail;
  }

  failed(denial: Denial, standing: Standing, resetCode: number | null): void {
    if (this.#settled) return;
    if (this.#guest.answered) {
      this.#broken(denial);
      // Settled first: to break a TLS guest off ends its connection at once, which is no abort of the guest's.
      this.#settle("settled");
      this.#guest.breakOff(resetCode);
      return;
    }
    if (denial instanceof CertificateRefused && this.#demands.identity && this.#lease !== null)
      this.#line.leases.reject(this.#lease);
    if (standing === "untouched" && this.#left.mayRetryUntouched && this.#canSendAgain) {
      this.#left.kept?.detach();
      this.#settle("untouched");
      return;
    }
    if (standing === "stale" && this.#left.mayRetryStale && this.#isReplayable) {
      this.#settle("stale");
      return;
    }
    this.#settled = true;
    if (resetCode !== null && this.#guest.passReset(resetCode)) {
      this.#broken(denial);
      this.#resolve("settled");
    } else this.#reject(denial);
  }

  #broken(denial: Denial): void {
    const { record } = this.#guest;
    record.outcome = "upstream_aborted";
    record.detail = denial.detail;
  }

  guestDrained(): void {
    this.#channel.resume();
  }

  guestAborted(): void {
    if (this.#settled) return;
    this.#guest.record.outcome = this.#guest.aborted ?? "guest_aborted";
    this.#channel.abort();
    this.#settle("settled");
  }

  /** An upgrade is such a request as well: no byte of what follows it is sent before the upstream has agreed. */
  get #isReplayable(): boolean {
    return this.#guest.body.length === "none" && IDEMPOTENT.has(this.#guest.method);
  }

  /** Whatever the method. */
  get #canSendAgain(): boolean {
    const { held, kept } = this.#left;
    return this.#guest.body.length === "none" || held !== null || kept?.isKept === true;
  }

  /** Whatever the method: an upstream that asks for another proof has done nothing (RFC 9449 §8). */
  get #mayMeetChallenge(): boolean {
    return this.#left.mayMeetChallenge && (this.#guest.body.length === "none" || this.#left.held !== null);
  }

  #guardHead(head: AnswerHead): void {
    if (!this.#guarded || !this.#permit.needsCredential) return;
    const { record } = this.#guest;
    const reason = this.#line.guard.maskText(this.#injected, head.reason);
    if (reason !== head.reason) {
      head.reason = reason;
      record.masked++;
    }
    record.masked += this.#line.guard.maskFields(this.#injected, head.fields);
  }

  #settle(verdict: Verdict): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#resolve(verdict);
  }
}
