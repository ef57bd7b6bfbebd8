import type { IpRange } from "./ip.ts";
import type { Narrowing } from "./narrow.ts";
import type { BodySpec, HmacSpec, MessageSignatureSpec } from "./signing.ts";

/** Where a stand-in of the guest may be found and replaced. */
export interface PlaceholderSpot {
  readonly in: "header" | "query" | "websocket";
  /** Field name (lower case) or query key; `first` is the first message of a WebSocket. */
  readonly name: string;
}

/** How a lease becomes upstream authorization. One member a file in `src/attach/`. */
export type AttachmentSpec =
  | { readonly as: "bearer" }
  | { readonly as: "basic"; readonly username: string | null }
  | { readonly as: "header"; readonly name: string; readonly format: string }
  | { readonly as: "query"; readonly name: string }
  | { readonly as: "cookie"; readonly name: string }
  | { readonly as: "placeholder"; readonly value: string; readonly spots: readonly PlaceholderSpot[] }
  | { readonly as: "client_certificate" }
  | { readonly as: "dpop" }
  | HmacSpec
  | BodySpec
  | MessageSignatureSpec
  | Sigv4Spec;

/**
 * What the edge itself answers in place of an upstream: a token endpoint for programs that insist on asking one. What it hands out
 * is a stand-in, the same for everybody and worthless elsewhere. One member a file in `src/synthetic/`.
 */
export type SyntheticSpec =
  | { readonly as: "oauth2_token"; readonly token: string; readonly expiresInSeconds: number }
  | { readonly as: "registry_token"; readonly token: string; readonly expiresInSeconds: number }
  | { readonly as: "github_installation_token"; readonly token: string; readonly expiresInSeconds: number }
  | {
      readonly as: "aws_sts";
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly sessionToken: string;
      readonly expiresInSeconds: number;
    };

/** AWS Signature Version 4. */
export interface Sigv4Spec {
  readonly as: "sigv4";
  /** As the scope of a signature names them. */
  readonly region: string;
  readonly service: string;
  /** Access key id that guests sign with. */
  readonly standIn: string;
  /** What becomes of a request that the guest did not sign. */
  readonly unsigned: "sign" | "refuse";
  /** Calls whose answer is a credential. */
  readonly credentialCalls: "refuse" | "accept";
  /** Copies of S3 from an object that the rules of the path do not see. */
  readonly copySources: "refuse" | "accept";
  /** Most bytes of a body, or of one chunk of it, that are held for their signature. */
  readonly bodyBytes: number;
}

/**
 * Which HTTP an upstream is spoken to with. `auto` takes HTTP/1.1 where it can be had and HTTP/2 where that is needed; `h1`
 * and `h2` nothing else; `h2c` is HTTP/2 without TLS, known ahead to be spoken (RFC 9113 §3.3).
 */
export type HttpChoice = "auto" | "h1" | "h2" | "h2c";

/** Which custody holds a credential, and its name there. */
export interface CredentialRef {
  readonly custody: string;
  readonly name: string;
  /** What its leases are narrowed to here; absent: as wide as the catalogue says. */
  readonly narrow?: Narrowing;
}

/** One named entry of the allow-list, compiled. Frozen: a reload makes new ones. */
export interface Destination {
  readonly name: string;
  readonly scheme: "http" | "https";
  readonly tls: "inspect" | "passthrough";
  readonly http: HttpChoice;
  /** `report`: what would be denied is let through, without any credential, and counted. */
  readonly mode: "enforce" | "report";
  readonly credential: CredentialRef | null;
  readonly attachments: readonly AttachmentSpec[];
  /** Lower-case names of guest fields that never go to this destination, beside the injected ones. */
  readonly dropHeaders: readonly string[];
  /** Address ranges that this destination may use although their class is denied. */
  readonly addresses: readonly IpRange[];
  /** PEM roots that replace the edge's own for this destination, or `null`. */
  readonly trust: string | null;
  /** The edge answers itself, and nothing is ever sent anywhere; or `null`. */
  readonly synthetic: SyntheticSpec | null;
  /** The proxy that its connections go through, or `null`: they are dialled directly. */
  readonly parent: UpstreamParent | null;
}

/** A parent proxy. Plain data: like all of a destination it travels between processes. */
export interface UpstreamParent {
  readonly name: string;
  /** Canonical `host:port`. */
  readonly address: string;
  /** What CONNECT names: the address that the edge has checked, or the name, which the parent then resolves. Never both. */
  readonly connectBy: "address" | "name";
  /** Name that the parent's certificate must carry; means something over https only. */
  readonly serverName: string;
  /**
   * What the parent is to the address guard, to custody and to attachments: a destination of its own, which no rule leads to.
   * Its scheme says how the parent is spoken to, its `addresses` where it may stand, its credential what CONNECT carries.
   */
  readonly destination: Destination;
}

/** What a rule's `host:` may say. */
export type HostPattern =
  | { readonly kind: "exact"; readonly host: string }
  /** `*.example.com`: every name below `suffix` ("example.com"), never the apex. */
  | { readonly kind: "subdomains"; readonly suffix: string }
  /** IP literal or CIDR: matches authorities that are spelled as IP literals only. */
  | { readonly kind: "ip"; readonly range: IpRange };

/** One `allow:` entry. Everything that is written must hold. */
export interface AllowRule {
  /** Upper-case method tokens; `null` = `["*"]` was spelled out. */
  readonly methods: readonly string[] | null;
  /** Path patterns: `*` is (part of) one segment, `**` any number of segments. */
  readonly paths: readonly string[];
  /** Query key -> value patterns (`*` wildcard); a key that is present must match one of them. */
  readonly query: Readonly<Record<string, readonly string[]>> | null;
  /** Lower-case field name -> value patterns (`*` wildcard); the field must be present and each of its lines match one. */
  readonly headers: Readonly<Record<string, readonly string[]>> | null;
}

/** One entry of the allow-list as the config says it, checked and typed; the policy compiles it. */
export interface DestinationRule {
  readonly destination: Destination;
  readonly host: HostPattern;
  readonly port: number;
  readonly allow: readonly AllowRule[];
}
