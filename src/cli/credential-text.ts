import type { CredentialRef } from "../core/destination.ts";
import type { Narrowable } from "../core/narrow.ts";

/** Values of one list that are told one by one. */
const MOST_VALUES = 5;

/** What leases of a credential are narrowed to, or within: ` (scopes read, write)`. */
export function narrowingText(lists: Narrowable): string {
  const told = Object.entries(lists).filter(([, values]) => values.length > 0);
  return told.length === 0 ? "" : ` (${told.map(([name, values]) => `${name} ${valuesText(values)}`).join("; ")})`;
}

function valuesText(values: readonly string[]): string {
  const more = values.length - MOST_VALUES;
  return `${values.slice(0, MOST_VALUES).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** What a destination refers to, and what its leases are narrowed to there. */
export function credentialText({ custody, name, narrow = {} }: CredentialRef): string {
  return `${custody}/${name}${narrowingText(narrow)}`;
}
