import type { Fields } from "../core/fields.ts";
import type { BodyPlace } from "../core/signing.ts";
import { foldName } from "./guest-fields.ts";

/**
 * Why the head does not say that the body is one that the credential can be put into, or `null`. It has to say so once and
 * plainly: an upstream that takes the body for something else reads other fields out of it.
 */
export function bodyTypeFault(fields: Fields, wanted: BodyPlace["in"]): string | null {
  const types: string[] = [];
  for (let i = 0; i < fields.length; i++) {
    if (fields.isDropped(i)) continue;
    const name = fields.names[i] as string;
    const folded = foldName(name);
    if (folded === "content-encoding") return "the body has a content-encoding";
    if (folded !== "content-type") continue;
    if (name !== "content-type") return "a field reads like content-type";
    types.push(fields.value(i));
  }
  if (types.length !== 1) return types.length === 0 ? "the body has no content-type" : "the body has two content-types";
  const [type = "", ...parameters] = (types[0] as string).split(";").map((part) => part.trim());
  if (!(wanted === "json" ? JSON_TYPE : FORM_TYPE).test(type)) return `the content-type is not one of ${wanted}`;
  return parameters.every(isHarmless) ? null : "a parameter of the content-type is not understood";
}

/** RFC 8259 §11 and RFC 6839 §3.1. */
const JSON_TYPE = /^application\/(?:json|[a-z0-9!#$&^_.+-]+\+json)$/i;
const FORM_TYPE = /^application\/x-www-form-urlencoded$/i;

const PARAMETER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)=("?)([!#$%&'*+.^_`|~0-9A-Za-z/:=-]+)\2$/;

/** No other charset than the one that the body is read in. */
function isHarmless(text: string): boolean {
  if (text === "") return true;
  const match = PARAMETER.exec(text);
  if (match === null) return false;
  return match[1]?.toLowerCase() !== "charset" || /^utf-?8$/i.test(match[3] as string);
}
