import type { LeaseRefusalReason, LeaseSession } from "../core/custody.ts";

/** What a caller may do: ask for leases, or operate (revoke, lift, approve, look). */
export const CALLER_RIGHTS = ["lease", "operate"] as const;
export type CallerRight = (typeof CALLER_RIGHTS)[number];

/** Who asks for a lease, as the transport proved it. */
export interface Caller {
  /** `embedded`, or the name in the certificate, or the socket. */
  readonly name: string;
  /** Tenants that this caller may lease for; `null` = every tenant. */
  readonly tenants: readonly string[] | null;
  /** Left out: it may lease and nothing else. */
  readonly may?: readonly CallerRight[];
}

/** What custody itself knows about a session. @returns why it gets no lease, or `null` */
export type SessionCheck = (caller: Caller, session: LeaseSession) => LeaseRefusalReason | null;

/** The caller is the edge, and its word for a session that it proved is what custody goes by. */
export const edgeVouches: SessionCheck = () => null;
