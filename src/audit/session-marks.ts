import { hash } from "node:crypto";

const KEPT = 10_000;

/**
 * Digests that stand for session ids in audit and log. The salt is in the header of the file: who knows a session's tenant
 * and id can find its records, who has only the file cannot list sessions, and marks of two boots do not compare.
 * `mark = first 16 hex digits of SHA-256(salt LF tenant LF session)`.
 */
export class SessionMarks {
  readonly salt: string;
  readonly #byTenant = new Map<string, Map<string, string>>();
  #kept = 0;

  constructor(salt: string) {
    this.salt = salt;
  }

  of(tenant: string, session: string): string {
    return this.#byTenant.get(tenant)?.get(session) ?? this.#make(tenant, session);
  }

  #make(tenant: string, session: string): string {
    if (this.#kept >= KEPT) {
      this.#byTenant.clear();
      this.#kept = 0;
    }
    const mark = sessionMark(this.salt, tenant, session);
    let sessions = this.#byTenant.get(tenant);
    if (sessions === undefined) this.#byTenant.set(tenant, (sessions = new Map()));
    sessions.set(session, mark);
    this.#kept++;
    return mark;
  }
}

/** @returns 16 hex digits */
export function sessionMark(salt: string, tenant: string, session: string): string {
  return hash("sha256", `${salt}\n${tenant}\n${session}`).slice(0, 16);
}
