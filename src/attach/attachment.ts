import type { Clock } from "../core/clock.ts";
import { Denial } from "../core/denial.ts";
import type { AttachmentSpec, Destination } from "../core/destination.ts";
import type { Ask, Lease, OutboundHead, Permit } from "../core/exchange.ts";
import type { Material } from "../core/material.ts";
import type { SigningPort } from "../core/ports.ts";
import type { Secret } from "../core/secret.ts";
import type { AnswerHead, ClientIdentity, OutboundRequest, RequestBody } from "../core/wire.ts";

/** The member of the spec union that one file of this folder implements. */
export type SpecOf<As extends AttachmentSpec["as"]> = Extract<AttachmentSpec, { readonly as: As }>;

/** One attachment of one destination: made once, used for every exchange. */
export interface Attachment {
  /** Lower-case names of the fields that only the edge may say; every guest line of them is dropped. */
  readonly fieldNames: readonly string[];
  /** Cuts the guest's own copy out of a place that holds other things too (query, cookies); `null` when there is none. */
  readonly cut: ((head: OutboundHead) => void) | null;
  /**
   * How much of the body must be held whole before `apply`; left out: it does not look at bodies.
   * @returns bytes at most, or `null` when this body is relayed as it comes
   * @throws Denial for a request that can never be attached to
   */
  readonly wholeBodyBytes?: (ask: Ask, body: RequestBody) => number | null;
  /** The certificate that connections present; left out: it authorizes requests, not connections. */
  readonly identity?: (material: Material, lease: Lease) => ClientIdentity;
  /** Reads an answer's head. @returns `true` when the upstream asks for another proof, which the next `apply` brings */
  readonly observe?: (lease: Lease, answer: AnswerHead) => boolean;
  /**
   * Called once a lease, never once an exchange.
   * @throws Denial `lease_unusable` when the material does not fit
   */
  render(material: Material): Rendering;
}

/** What an attachment needs from outside, beside a lease. */
export interface AttachTools {
  readonly clock: Clock;
  readonly randomBytes: (size: number) => Buffer;
  /** Signs with the key of a lease that custody keeps; left out: none is kept anywhere. */
  readonly sign?: SigningPort["sign"];
}

/** One exchange, for attachments that need more of it than its head. */
export interface Occasion {
  readonly permit: Permit;
  readonly lease: Lease;
  /** Its body and filter may be replaced. */
  readonly request: OutboundRequest;
  /** Takes what was made for this exchange alone and must not come back, such as a signature. */
  readonly once: string[];
}

/** A lease turned into what goes on the wire. */
export interface Rendering {
  /** Every plain value that must never come back: the raw secret and what carried it. */
  readonly values: readonly string[];
  /** The upstream hands out cookies in place of the attached one: its `Set-Cookie` must not reach the guest. */
  readonly rotates?: "cookie";
  /**
   * Puts it on a cleansed head, which those that are listed before it have written to.
   * @returns whether it took hold; `false` only where the guest decides the place
   * @throws Denial of the attach stage
   */
  apply(head: OutboundHead, occasion: Occasion): boolean | Promise<boolean>;
}

/** Makes the attachment of a spec. @param destination where it belongs: its other attachments, its name */
export type AttachmentMaker<As extends AttachmentSpec["as"]> = (
  spec: SpecOf<As>,
  destination: Destination,
  tools: AttachTools,
) => Attachment;

/** @param cause for operators; names what does not fit and never holds a value */
export function unusable(cause: string): Denial {
  return new Denial("lease_unusable", { cause });
}

/** The text of a secret that is not zeroed. @throws Denial `lease_unusable` when it is empty */
export function revealed(secret: Secret): string {
  const text = secret.reveal();
  if (text === "") throw unusable("the material is empty");
  return text;
}

/**
 * RFC 9110 §5.5 field content: what may stand inside a field value. CR, LF and NUL would end the line early (header
 * injection), the other controls are invalid, and what lies above U+00FF has no Latin-1 byte.
 */
export function isFieldContent(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if ((code < 32 && code !== 9) || code === 127 || code > 255) return false;
  }
  return true;
}

/**
 * A whole field value. Blanks at either end are no part of a value (RFC 9110 §5.5): the upstream would see another one
 * than custody issued.
 * @throws Denial `lease_unusable`
 */
export function fieldValue(text: string): string {
  if (!isFieldContent(text)) throw unusable("the material holds a character that no field value may hold");
  if (/^[ \t]|[ \t]$/.test(text)) throw unusable("the material begins or ends with a blank");
  return text;
}
