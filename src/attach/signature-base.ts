import type { BareItem } from "structured-headers";
import type { Authority } from "../core/authority.ts";
import { Denial } from "../core/denial.ts";
import type { OutboundHead } from "../core/exchange.ts";
import type { SignatureComponent } from "../core/signing.ts";
import { WholeBody } from "../core/whole-body.ts";
import type { RequestBody } from "../core/wire.ts";
import { percentDecode } from "./percent.ts";
import { structuredFields } from "./structured-fields.ts";
import { splitTarget } from "./template.ts";

/** A request as RFC 9421 looks at it. */
export interface SignedRequest {
  readonly head: OutboundHead;
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  readonly body: RequestBody;
}

export interface SignatureBase {
  /** The value of `@signature-params`, which goes behind the label in `Signature-Input`. */
  readonly input: string;
  /** RFC 9421 §2.5. */
  readonly base: string;
}

/** @throws Denial `signing_unsupported` when something that is to be covered is not there, or not in a form that can be */
export function signatureBase(
  request: SignedRequest,
  components: readonly SignatureComponent[],
  parameters: ReadonlyMap<string, BareItem>,
): SignatureBase {
  const { serializeInnerList, serializeItem } = structuredFields();
  const lines: string[] = [];
  const covered: [BareItem, Map<string, BareItem>][] = [];
  for (const component of components) {
    const value = componentValue(component, request);
    if (value === null) {
      if (component.optional) continue;
      throw unsupported(`the request has no ${nameOf(component)}`);
    }
    // §2.1: the base is ASCII, and a line break would be another component.
    if (!/^[\t -~]*$/.test(value)) throw unsupported(`${nameOf(component)} holds a character that cannot be signed`);
    const identifier: [BareItem, Map<string, BareItem>] = [component.name, identifierParameters(component)];
    covered.push(identifier);
    lines.push(`${serializeItem(identifier)}: ${value}\n`);
  }
  const input = serializeInnerList([covered, new Map(parameters)]);
  return { input, base: `${lines.join("")}"@signature-params": ${input}` };
}

function identifierParameters({ parameter, key }: SignatureComponent): Map<string, BareItem> {
  if (parameter !== null) return new Map([["name", parameter]]);
  return key === null ? new Map() : new Map([["key", key]]);
}

/** @returns `null` when the request has no such thing */
function componentValue(component: SignatureComponent, request: SignedRequest): string | null {
  const { head, scheme, authority } = request;
  switch (component.name) {
    case "@method":
      return head.method;
    case "@scheme":
      return scheme;
    // §2.2.3: in lower case, without the port that is the scheme's own.
    case "@authority":
      return authority.hostField(scheme);
    case "@target-uri":
      return `${scheme}://${authority.hostField(scheme)}${head.target}`;
    case "@request-target":
      return head.target;
    case "@path":
      return splitTarget(head.target).path;
    // §2.2.7: the question mark belongs to it, and is there without a query as well.
    case "@query":
      return `?${splitTarget(head.target).query ?? ""}`;
    case "@query-param":
      return queryParameter(head.target, component.parameter as string);
    case "content-length":
      return lengthOf(request);
    default:
      return fieldOf(component, head);
  }
}

/** What the line will say once the body is known. */
function lengthOf({ head, body }: SignedRequest): string | null {
  if (!(body instanceof WholeBody)) return head.fields.allSent("content-length")[0] ?? null;
  return body.length === "stream" ? null : String(body.bytes.length);
}

/** §2.1: all lines, joined; §2.1.2: or one member of them. */
function fieldOf({ name, key }: SignatureComponent, { fields }: OutboundHead): string | null {
  const lines = fields.allSent(name);
  if (lines.length === 0) return null;
  const value = lines.map((line) => line.trim()).join(", ");
  return key === null ? value : memberOf(value, name, key);
}

function memberOf(value: string, name: string, key: string): string | null {
  const { isInnerList, parseDictionary, serializeInnerList, serializeItem } = structuredFields();
  try {
    const member = parseDictionary(value).get(key);
    if (member === undefined) return null;
    return isInnerList(member) ? serializeInnerList(member) : serializeItem(member);
  } catch {
    throw unsupported(`${name} is no dictionary`);
  }
}

/** §2.2.8: read as a form, and encoded anew. */
function queryParameter(target: string, name: string): string | null {
  const values: string[] = [];
  for (const pair of (splitTarget(target).query ?? "").split("&")) {
    const equals = pair.indexOf("=");
    const key = equals < 0 ? pair : pair.slice(0, equals);
    if (decoded(key) === name) values.push(decoded(equals < 0 ? "" : pair.slice(equals + 1)));
  }
  if (values.length > 1) throw unsupported(`the query has ${name} more than once`);
  const [value] = values;
  if (value === undefined) return null;
  // Readers of the standard differ on whether these are encoded.
  if (/[!'()~]/.test(value)) throw unsupported(`the value of ${name} is encoded in more than one way`);
  return encodeURIComponent(value);
}

function decoded(raw: string): string {
  return Buffer.from(percentDecode(raw.replaceAll("+", " ")), "latin1").toString("utf8");
}

function nameOf({ name, parameter, key }: SignatureComponent): string {
  return parameter === null ? (key === null ? name : `${name};key=${key}`) : `${name};name=${parameter}`;
}

function unsupported(cause: string): Denial {
  return new Denial("signing_unsupported", { cause });
}
