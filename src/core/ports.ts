import type { Authority } from "./authority.ts";
import type { Denial } from "./denial.ts";
import type { Ask, Lease, OutboundHead, Permit, Pinned, Session } from "./exchange.ts";
import type { Fields } from "./fields.ts";
import type { ExchangeRecord } from "./record.ts";
import type { AnswerHead, ClientIdentity, OutboundRequest, RequestBody, SessionProof } from "./wire.ts";

/** The sockets of the house: what the line asks of the other folders. Each has one production adapter and is joined in cli/. */

/** Sessions: proven by the listener or a token, looked at again for every exchange. */
export interface SessionPort {
  /** @throws Denial from the identify stage */
  identify(proof: SessionProof): Session;
}

/** Policy: deny is what happens when nothing else does. */
export interface PolicyPort {
  /**
   * First check of a CONNECT, before any TLS. It grants no standing right: every request inside is decided again.
   * @returns the permit of the CONNECT itself (rule `connect`): its destination tells how the tunnel is treated, and for a
   *   pass-through destination it is the permit that the tunnel runs on
   *   or the denial `destination_not_allowed` when no destination names the authority: a flood of them is what guests can make at
   *   least cost, and to throw would double it
   */
  admit(session: Session, authority: Authority): Permit | Denial;
  /** Whether the allow-list spells this very name: it was then not a guest that chose it. `false` for addresses. */
  spells(authority: Authority): boolean;
  /** Decides one exchange. @throws Denial from the permit stage */
  decide(session: Session, ask: Ask): Permit;
}

/** Resolves and checks addresses. */
export interface AddressPort {
  /**
   * A pinned address that is still fresh comes back at once; otherwise a lookup is made, single-flight. A name is pinned as a name
   * only for a destination whose parent is to resolve it.
   * @throws Denial `name_unresolved`, `address_denied`, `loop_detected`
   */
  pin(permit: Permit): Pinned | Promise<Pinned>;
}

/** Leases for permits; the keeper at the edge. */
export interface LeasePort {
  /**
   * A live lease that is held comes back at once; otherwise custody is asked, single-flight, time-boxed.
   * @throws Denial `custody_unavailable`, `lease_denied`, `lease_unusable`
   */
  lease(permit: Permit): Lease | Promise<Lease>;
  /**
   * Asks custody when no live lease is held, and hands none out: nothing is used up of one that serves so many exchanges.
   * @throws Denial as `lease`
   */
  fetchAhead(permit: Permit): void | Promise<void>;
  /**
   * The upstream answered 401, or a parent 407: the lease is dropped so that the next call fetches a fresh one.
   * @returns `false` when it was kept: the next call would hand out this very lease
   */
  reject(lease: Lease): boolean;
}

/** Signatures by keys that custody keeps; the keeper at the edge. */
export interface SigningPort {
  /**
   * Asks the custody of a lease, time-boxed.
   * @param input a JWS signing input; custody signs nothing but what the lease is for
   * @returns the signature, base64url
   * @throws LeaseGone when the lease is not live there any more; Denial `custody_unavailable`, `lease_denied`
   */
  sign(lease: Lease, input: string): Promise<string>;
}

/** Writes down what happened. */
export interface AccountPort {
  /**
   * Called before the first upstream byte of an exchange that carries a credential.
   * @returns nothing, or a promise to wait for when the audit mode is strict
   * @throws Denial `audit_unavailable`
   */
  admit(record: ExchangeRecord): void | Promise<void>;
  /** Called once for every exchange and refused connection, whatever happened. Never throws. */
  close(record: ExchangeRecord): void;
}

/** What went out of the house with one exchange: every plain value that must never come back. Empty = nothing attached. */
export interface Injected {
  /** Raw secrets and the rendered values that carried them, longest first. The same array for all exchanges of one lease. */
  readonly values: readonly string[];
  /** A cookie was attached: the upstream's `Set-Cookie` would hand its successor to the guest and does not pass. */
  readonly cookieAttached?: boolean;
  /** What was made for this exchange alone, such as a signature: looked for as it is, besides `values`. */
  readonly once?: readonly string[];
}

/** What the attachments of one destination ask of the line beyond a head to write to. The same object for every exchange. */
export interface AttachDemands {
  /** Some of them look at the body before the head is written: `wholeBodyBytes` tells for each exchange. */
  readonly body: boolean;
  /** The lease is presented as a TLS client certificate: the connection itself is authorized. */
  readonly identity: boolean;
  /** They read answers: `observe` is called with each head. */
  readonly answers: boolean;
}

/** Turns a lease into upstream authorization. */
export interface AttachPort {
  /**
   * Cuts what the guest must not say to this destination, whether or not a credential follows: injected field names and
   * query keys, `drop_headers`. Refuses a stand-in that nothing will replace.
   * @throws Denial `placeholder_stray`
   */
  cleanse(permit: Permit, head: OutboundHead): void;
  /**
   * The same for a request's trailer section, where nothing is ever attached.
   * @throws Denial `placeholder_stray`
   */
  cleanseTrailers(permit: Permit, trailers: Fields): void;
  /** What the destination of a permit asks for; nothing where the permit needs no credential. */
  demands(permit: Permit): AttachDemands;
  /**
   * How much of the body must be held before the head can be written; asked only where `demands` says so.
   * @returns bytes, at most, or `null` when the body is relayed as it comes
   * @throws Denial for a request that can never be attached to
   */
  wholeBodyBytes(permit: Permit, ask: Ask, body: RequestBody): number | null;
  /** The certificate that the connection of this exchange presents. @throws Denial `lease_unusable` */
  identity(permit: Permit, lease: Lease, nowMs: number): ClientIdentity;
  /**
   * Attaches the lease to a cleansed head, in the order of the config, and puts another body or a filter into `request` where
   * that is how it is attached. What is awaited is bounded in time; the caller looks at the lease again afterwards.
   * @throws Denial `lease_unusable` when the lease is dead, names another scope, or its material does not fit the attachment;
   *   other denials of the attach stage for a request that cannot be attached to
   */
  attach(
    permit: Permit,
    lease: Lease,
    head: OutboundHead,
    request: OutboundRequest,
    nowMs: number,
  ): Injected | Promise<Injected>;
  /**
   * The head of an answer, before it is guarded; asked only where `demands` says so.
   * @returns `true` when the upstream asks for another proof of the same lease, and the next `attach` will bring it
   */
  observe(permit: Permit, lease: Lease, answer: AnswerHead): boolean;
}

/** An answer that the edge makes itself. */
export interface SyntheticAnswer {
  readonly status: number;
  /** Name and value, without framing. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: Buffer;
}

/** Answers in place of an upstream, for destinations that say so. */
export interface SyntheticPort {
  /** @param body the whole body of the request. Total: what makes no sense gets the endpoint's own kind of error */
  answer(permit: Permit, ask: Ask, body: Buffer): SyntheticAnswer;
}

/** Keeps what was injected from coming back. */
export interface GuardPort {
  /** Reason phrase with every form of the injected values masked. */
  maskText(injected: Injected, text: string): string;
  /** Masks values of a head or trailer section in place. @returns how many were masked */
  maskFields(injected: Injected, fields: Fields): number;
}
