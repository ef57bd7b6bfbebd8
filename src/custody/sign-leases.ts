import { type Bucket, type BucketRate, refill, takeToken } from "./token-bucket.ts";
import { createHash } from "node:crypto";
import { Authority } from "../core/authority.ts";
import type { Clock } from "../core/clock.ts";
import type { CredentialEntry } from "../core/credential.ts";
import { type LeaseGrant, LeaseRefusal } from "../core/custody.ts";
import { htuOf, jwkText, type ProofClaims, readProofInput } from "../core/dpop-proof.ts";
import type { LeaseScope } from "../core/exchange.ts";
import { zeroMaterial } from "../core/material.ts";
import { DpopKey } from "./minters/dpop-key.ts";

/** How far the clock of an edge may be from this one, `s`: a proof that is made for later would outlive its lease. */
const MOST_SKEW_S = 120;
/** Signatures that one lease may ask for at once, and how many more each second. */
const RATE: BucketRate = { most: 400, perSecond: 200 };
/** Leases whose keys are kept, all edges together. */
const MOST_LEASES = 50_000;

/** A lease whose key stays here. */
interface Kept extends Bucket {
  readonly caller: string;
  readonly scope: LeaseScope;
  readonly key: DpopKey;
  /** Base64url of the SHA-256 of the token that the key belongs to. */
  readonly ath: string;
  /** Monotonic ms. */
  readonly endsAtMs: number;
  /** Whether the credential that it was leased of is the one in force. */
  readonly isInForce: () => boolean;
  warned: boolean;
}

/**
 * Keys of bound tokens that custody keeps while their leases live: what an edge can lose is then a token that is good for nothing
 * alone. It signs DPoP proofs of the token that was leased, for the host that it was leased for, and nothing else: what is to be
 * signed is read, and has to be to the byte what this house would have made.
 */
export class SignLeases {
  readonly #clock: Clock;
  readonly #warn: (text: string) => void;
  readonly #most: number;
  readonly #leases = new Map<string, Kept>();

  /**
   * @param warn told of edges that ask for what they must not have. Never secret
   * @param most leases whose keys are kept
   */
  constructor(clock: Clock, warn: (text: string) => void, most = MOST_LEASES) {
    this.#clock = clock;
    this.#warn = warn;
    this.#most = most;
  }

  /**
   * Takes the key out of a grant that is about to be answered, where the entry says that it stays here.
   * @param longestMs how long the lease may live, renewals included
   * @returns the grant as it may leave
   * @throws LeaseRefusal when there is no key to keep, or no room; the material is zeroed
   */
  keep(
    caller: string,
    entry: CredentialEntry,
    grant: LeaseGrant,
    longestMs: number,
    isInForce: () => boolean,
  ): LeaseGrant {
    const { material, leaseId, scope } = grant;
    if (material.kind !== "dpop" || entry.keyAt === "edge") return grant;
    const nowMs = this.#clock.monotonicMs();
    this.#forgetDead(nowMs);
    const key = material.key === null ? null : DpopKey.read(material.key.reveal());
    if (key === null || this.#leases.size >= this.#most) {
      zeroMaterial(material);
      throw key === null
        ? new LeaseRefusal("source_unavailable", "the bound token came without a key that signs")
        : new LeaseRefusal("overloaded", "the keys of too many leases are kept");
    }
    const ath = createHash("sha256").update(material.token.reveal()).digest("base64url");
    material.key?.zero();
    const endsAtMs = nowMs + longestMs;
    const bucket = { tokens: RATE.most, atMs: nowMs, warned: false };
    this.#leases.set(leaseId, { caller, scope, key, ath, endsAtMs, isInForce, ...bucket });
    return { ...grant, material: { ...material, key: null } };
  }

  /**
   * @param caller as the transport proved it: a lease signs for whom it was issued to
   * @returns the signature, base64url
   * @throws LeaseRefusal `lease_unknown`, `overloaded`, `input_unfit`
   */
  sign(caller: string, leaseId: string, input: string): string {
    const nowMs = this.#clock.monotonicMs();
    const kept = this.#leases.get(leaseId);
    if (kept === undefined || kept.caller !== caller || nowMs >= kept.endsAtMs || !kept.isInForce())
      throw new LeaseRefusal("lease_unknown");
    refill(kept, RATE, nowMs);
    if (!takeToken(kept)) throw new LeaseRefusal("overloaded", "the lease asks for too many signatures");
    if (!this.#fits(kept, input)) {
      if (!kept.warned)
        this.#warn(`${caller}: asked lease ${leaseId} to sign what is no proof of it: look at that edge and its clock`);
      kept.warned = true;
      throw new LeaseRefusal("input_unfit");
    }
    return kept.key.sign(input);
  }

  /** The lease ended before its time. */
  end(leaseId: string): void {
    this.#leases.delete(leaseId);
  }

  close(): void {
    this.#leases.clear();
  }

  #fits({ key, ath, scope }: Kept, input: string): boolean {
    const proof = readProofInput(input);
    if (proof === null) return false;
    const skewS = Math.abs(proof.claims.iat - this.#clock.wallMs() / 1000);
    return (
      jwkText(proof.key) === key.publicJwk &&
      proof.claims.ath === ath &&
      skewS <= MOST_SKEW_S &&
      leadsTo(scope, proof.claims)
    );
  }

  /** Leases differ in their lives, and none is longer than 15 minutes: whatever stands in front ends first, or soon. */
  #forgetDead(nowMs: number): void {
    for (const [leaseId, { endsAtMs }] of this.#leases) {
      if (nowMs < endsAtMs && this.#leases.size < this.#most) return;
      if (nowMs >= endsAtMs) this.#leases.delete(leaseId);
    }
  }
}

/** The host and the port of the lease, spelled as `htuOf` spells them. */
function leadsTo({ host, port }: LeaseScope, { htu }: ProofClaims): boolean {
  const authority = Authority.parse(`${host.includes(":") ? `[${host}]` : host}:${port}`, null);
  if (authority === null) return false;
  return (["https", "http"] as const).some((scheme) => {
    const front = htuOf(scheme, authority, "*");
    return htu === front || htu.startsWith(`${front}/`);
  });
}
