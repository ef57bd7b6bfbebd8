import { Authority } from "../core/authority.ts";
import { Denial } from "../core/denial.ts";
import type { SessionProof } from "../core/wire.ts";
import type { Framing, RequestControl } from "../http1/framing.ts";
import { Http1Error } from "../http1/grammar.ts";
import type { RequestHead } from "../http1/head.ts";
import { cutRequestHopByHop } from "../http1/hop-by-hop.ts";
import { parseTarget, type Target } from "../http1/target.ts";
import type { ConnectionPlace } from "./place.ts";
import type { ExchangeTarget } from "./exchange.ts";

/** What a head asks for. */
export type ReadRequest =
  | { readonly kind: "connect"; readonly authority: Authority; readonly proof: SessionProof }
  | {
      readonly kind: "exchange";
      readonly head: RequestHead;
      readonly control: RequestControl;
      readonly target: ExchangeTarget;
      readonly proof: SessionProof;
      /** It can be answered, but only with this. */
      readonly refusal: Denial | null;
    };

/**
 * Gives a head its one canonical authority, or finds that it names several. Hop-by-hop fields are cut here, so that what the
 * policy reads is what the upstream will see.
 * @throws Http1Error, Denial when the request cannot be answered inside its connection
 */
export function readRequest(head: RequestHead, control: RequestControl, place: ConnectionPlace): ReadRequest {
  const proxyAuthorization = head.fields.get("proxy-authorization");
  const { listener, clientCertificate } = place;
  const proof = place.tunnel?.proof ?? { listener, proxyAuthorization, clientCertificate };
  const target = parseTarget(head.method, head.target);
  // RFC 9110 §9.3.6: content has no meaning in a CONNECT; what would follow could be read as the tunnel's first bytes.
  if (target.form === "authority" && hasContent(control.framing)) {
    throw new Denial("request_malformed", { cause: "CONNECT with content" });
  }
  if (control.upgrade.includes("websocket") && hasContent(control.framing)) {
    throw new Denial("request_malformed", { cause: "an upgrade request with content" });
  }
  if (target.form === "authority") return { kind: "connect", authority: target.authority, proof };
  const resolved = resolve(head, target, place);
  const refusal = refusalOf(control, resolved, place);
  cutRequestHopByHop(head.fields, control.nominated);
  if (refusal === null) writeHost(head, control, resolved);
  return { kind: "exchange", head, control, target: resolved, proof, refusal };
}

/** A length of 0 is none: Java's WebSocket client says it in its handshake, others in a CONNECT. */
function hasContent(framing: Framing): boolean {
  return framing.kind !== "none" && !(framing.kind === "length" && framing.length === 0);
}

/** Scheme, authority and origin-form path of a request; on the listener only absolute-form has them. */
function resolve(
  head: RequestHead,
  target: Exclude<Target, { form: "authority" }>,
  place: ConnectionPlace,
): ExchangeTarget {
  const { tunnel } = place;
  if (target.form === "absolute") {
    return { scheme: target.scheme, authority: target.authority, path: target.path };
  }
  // RFC 9112 §3.2.1: a request to a proxy is in absolute-form. The listener answers nothing by itself.
  if (tunnel === null)
    throw new Denial("request_malformed", { cause: "not a proxy request: the target names no authority" });
  return {
    scheme: tunnel.scheme,
    authority: tunnel.authority,
    path: target.form === "origin" ? target.path : head.target,
  };
}

function refusalOf(control: RequestControl, target: ExchangeTarget, place: ConnectionPlace): Denial | null {
  const { tunnel } = place;
  if (tunnel?.refusal) return new Denial(tunnel.refusal);
  if (tunnel !== null && (target.scheme !== tunnel.scheme || !target.authority.equals(tunnel.authority))) {
    return new Denial("authority_mismatch", { cause: "the target differs from the tunnel" });
  }
  // Nearly every Host is one of the authority's own two spellings, which name it.
  if (control.host !== null && !isOwnSpelling(control.host, target)) {
    const host = Authority.parse(control.host, target.scheme === "https" ? 443 : 80);
    if (host === null || !host.equals(target.authority)) {
      return new Denial("authority_mismatch", { cause: "Host differs from the target" });
    }
  }
  if (control.upgrade.some(isUnknownUpgrade))
    return new Denial("upgrade_unsupported", { cause: "unknown upgrade protocol" });
  return null;
}

/** Offers that a hop may ignore (RFC 9110 §7.8): Java sends h2c on every plain request, and TLS upgrade is history. */
const DROPPED_OFFERS: ReadonlySet<string> = new Set(["h2c", "tls/1.0", "tls/1.2"]);

function isOwnSpelling(host: string, { authority, scheme }: ExchangeTarget): boolean {
  return host === authority.hostField(scheme) || host === authority.text;
}

function isUnknownUpgrade(protocol: string): boolean {
  return protocol !== "websocket" && !DROPPED_OFFERS.has(protocol);
}

/** Host says the canonical authority; the guest's spelling of the default port is kept. */
function writeHost(head: RequestHead, control: RequestControl, target: ExchangeTarget): void {
  const { authority, scheme } = target;
  if (control.host === null) head.fields.append("Host", authority.hostField(scheme));
  else if (!isOwnSpelling(control.host, target)) head.fields.replace(control.hostLine, authority.hostField(scheme));
}

/** Path of an origin-form target, without its query. */
export function pathOf(target: string): string {
  const query = target.indexOf("?");
  return query < 0 ? target : target.slice(0, query);
}

/** What could not be read, as the guest is told. */
export function grammarDenial(thrown: unknown): Denial {
  if (!(thrown instanceof Http1Error)) return Denial.from(thrown);
  if (thrown.rule === "expectation") return new Denial("expectation_unsupported", { cause: thrown });
  return new Denial(thrown.isLimit ? "header_limit" : "request_malformed", { cause: thrown });
}
