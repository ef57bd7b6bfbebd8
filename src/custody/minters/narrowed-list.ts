import { LeaseRefusal } from "../../core/custody.ts";
import type { Narrowing } from "../../core/narrow.ts";

/**
 * One list of an entry as a lease may have it. The issuer has looked at the narrowing before; a minter that looks again can
 * never be the place where scope widens.
 * @returns never more than `list`
 * @throws LeaseRefusal `scope_not_allowed` when the narrowing asks for what is not in it
 */
export function narrowedList(name: string, list: readonly string[], narrow: Narrowing | undefined): readonly string[] {
  const wanted = narrow !== undefined && Object.hasOwn(narrow, name) ? narrow[name] : undefined;
  if (wanted === undefined) return list;
  if (wanted.length > 0 && wanted.every((one) => list.includes(one))) return wanted;
  throw new LeaseRefusal("scope_not_allowed", `narrow.${name} is not within the entry`);
}
