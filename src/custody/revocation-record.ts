import { REVOCATION_SCOPES, type RevocationTarget } from "../core/revocation.ts";
import { unreadable } from "./journal.ts";

/** One revocation that is in force. */
export interface Revocation extends RevocationTarget {
  readonly id: string;
  /** The operator's words. */
  readonly reason: string;
  readonly by: string;
  /** Wall clock, ms. */
  readonly madeAtMs: number;
  /** Wall clock, ms, or `null` = until it is lifted. */
  readonly untilMs: number | null;
}

/** What stands in the journal: one `Head`, what was in force when it was written anew, then each change. */
export interface Head {
  readonly format: 1;
  readonly epoch: string;
  /** Changes that came before this file. */
  readonly sequence: number;
}

export type ChangeRecord = { readonly made: Revocation } | { readonly lifted: string };

export interface Contents {
  readonly head: Head;
  readonly kept: readonly Revocation[];
  readonly changes: readonly ChangeRecord[];
}

/** @throws Error with a next step for anything that custody would not have written */
export function contentsOf(records: readonly unknown[], path: string): Contents {
  const [head, ...rest] = records;
  if (!isHead(head)) throw unreadable(`${path}:1`, "does not begin as a state file does");
  const kept: Revocation[] = [];
  const changes: ChangeRecord[] = [];
  for (const [i, record] of rest.entries()) {
    const { kept: one, made, lifted } = record as { kept?: unknown; made?: unknown; lifted?: unknown };
    if (isRevocation(one) && changes.length === 0) kept.push(one);
    else if (isRevocation(made)) changes.push({ made });
    else if (typeof lifted === "string") changes.push({ lifted });
    else throw unreadable(`${path}:${i + 2}`, "says what this version does not know");
  }
  return { head, kept, changes };
}

function isHead(value: unknown): value is Head {
  if (typeof value !== "object" || value === null) return false;
  const { format, epoch, sequence } = value as Record<string, unknown>;
  return format === 1 && typeof epoch === "string" && /^[0-9a-f]{16}$/.test(epoch) && Number.isSafeInteger(sequence);
}

function isRevocation(value: unknown): value is Revocation {
  if (typeof value !== "object" || value === null) return false;
  const one = value as Record<string, unknown>;
  return (
    (REVOCATION_SCOPES as readonly unknown[]).includes(one["scope"]) &&
    ["id", "value", "reason", "by"].every((name) => typeof one[name] === "string") &&
    (one["tenant"] === null || typeof one["tenant"] === "string") &&
    Number.isFinite(one["madeAtMs"]) &&
    (one["untilMs"] === null || Number.isFinite(one["untilMs"]))
  );
}
