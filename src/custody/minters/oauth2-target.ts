import type { OAuth2Target } from "../../core/mint.ts";
import type { Narrowing } from "../../core/narrow.ts";
import type { FormField } from "../outbound.ts";
import { narrowedList } from "./narrowed-list.ts";

/** What a token is asked to be good for: the entry's lists, or what they are narrowed to. @throws LeaseRefusal */
export function targetFields(target: OAuth2Target, narrow: Narrowing | undefined): readonly FormField[] {
  const scopes = narrowedList("scopes", target.scopes, narrow);
  return [
    ...(scopes.length === 0 ? [] : [["scope", scopes.join(" ")] as const]),
    ...narrowedList("audiences", target.audiences, narrow).map((text) => ["audience", text] as const),
    ...narrowedList("resources", target.resources, narrow).map((text) => ["resource", text] as const),
  ];
}
