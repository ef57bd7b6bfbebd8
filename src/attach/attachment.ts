import { Denial } from "../core/denial.ts";
import type { AttachmentSpec, Destination } from "../core/destination.ts";
import type { OutboundHead } from "../core/exchange.ts";
import type { Material } from "../core/material.ts";
import type { Secret } from "../core/secret.ts";

/** The member of the spec union that one file of this folder implements. */
export type SpecOf<As extends AttachmentSpec["as"]> = Extract<AttachmentSpec, { readonly as: As }>;

/** One attachment of one destination: made once, used for every exchange. */
export interface Attachment {
  /** Lower-case names of the fields that only the edge may say; every guest line of them is dropped. */
  readonly fieldNames: readonly string[];
  /** Cuts the guest's own copy out of a place that holds other things too (query, cookies); `null` when there is none. */
  readonly cut: ((head: OutboundHead) => void) | null;
  /**
   * Called once a lease, never once an exchange.
   * @throws Denial `lease_unusable` when the material does not fit
   */
  render(material: Material): Rendering;
}

/** A lease turned into what goes on the wire. */
export interface Rendering {
  /** Every plain value that must never come back: the raw secret and what carried it. */
  readonly values: readonly string[];
  /** The upstream hands out cookies in place of the attached one: its `Set-Cookie` must not reach the guest. */
  readonly rotates?: "cookie";
  /**
   * Puts it on a cleansed head.
   * @returns whether it took hold; `false` only where the guest decides the place
   * @throws Denial `lease_unusable`
   */
  apply(head: OutboundHead): boolean;
}

/** Makes the attachment of a spec. @param destination where it belongs: its other attachments, its name */
export type AttachmentMaker<As extends AttachmentSpec["as"]> = (
  spec: SpecOf<As>,
  destination: Destination,
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
