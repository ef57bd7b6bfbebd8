/** What may be revoked at a custody, and how edges are told of it. */

export const REVOCATION_SCOPES = ["lease", "credential", "session", "tenant", "all"] as const;
export type RevocationScope = (typeof REVOCATION_SCOPES)[number];

/** What a revocation reaches. */
export interface RevocationTarget {
  readonly scope: RevocationScope;
  /** Id of a lease or a session, name of a credential or a tenant; "" for `all`. */
  readonly value: string;
  /** For `session`: the tenant whose session it is; `null` = every session of that id. `null` for the other scopes. */
  readonly tenant: string | null;
}

/** One change of what is revoked. */
export interface RevocationChange extends RevocationTarget {
  readonly type: "revoked" | "lifted";
  /** Of the revocation. */
  readonly id: string;
}

/** One answer of the feed. */
export interface RevocationPage {
  /** Where the next question goes on: `epoch.sequence`. */
  readonly cursor: string;
  /** Nobody can tell what happened since the cursor that was asked with: whatever is held of this custody has to go. */
  readonly reset: boolean;
  /** Oldest first. */
  readonly changes: readonly RevocationChange[];
}

/** What a revocation is held against. `lease` is `null` while there is none. */
export interface Revocable {
  readonly lease: string | null;
  readonly credential: string;
  readonly session: string;
  readonly tenant: string;
}

/** Whether a revocation reaches this lease, or what might become one. */
export function reaches({ scope, value, tenant }: RevocationTarget, it: Revocable): boolean {
  switch (scope) {
    case "lease":
      return it.lease === value;
    case "credential":
      return it.credential === value;
    case "session":
      return it.session === value && (tenant === null || it.tenant === tenant);
    case "tenant":
      return it.tenant === value;
    case "all":
      return true;
  }
}
