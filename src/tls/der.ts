import asn1, { type Asn1 } from "node-forge/lib/asn1.js";
import { readElement } from "./der-reader.ts";

/**
 * The DER node kinds (X.690) that a certificate is made of, built with node-forge's asn1 alone. Strings are binary strings,
 * one character a byte, as forge has them. Nothing here knows what a certificate is.
 */
export type Der = Asn1;

const { Class, Type } = asn1;

export function encode(node: Der): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), "latin1");
}

/** Bytes that are DER already (a Name of the CA, a constant part that was encoded once): taken over as they are. */
export function encoded(der: Buffer): Der {
  const { tag, contents } = readElement(der);
  // forge writes `class | type` as the identifier octet and a non-constructed value as it stands, so the whole octet
  // given as the type reproduces the element byte for byte, without a tree being walked.
  return asn1.create(Class.UNIVERSAL, tag, false, contents.toString("latin1"));
}

export function sequence(...parts: Der[]): Der {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, parts);
}

export function set(...parts: Der[]): Der {
  return asn1.create(Class.UNIVERSAL, Type.SET, true, parts);
}

/** `[number]` EXPLICIT or constructed. */
export function tagged(number: number, ...parts: Der[]): Der {
  return asn1.create(Class.CONTEXT_SPECIFIC, number, true, parts);
}

/** `[number]` IMPLICIT over a primitive type: the bytes without a tag of their own. */
export function taggedBytes(number: number, bytes: Buffer): Der {
  return asn1.create(Class.CONTEXT_SPECIFIC, number, false, bytes.toString("latin1"));
}

/** @param bytes big-endian two's complement, as short as it can be */
export function integer(bytes: Buffer): Der {
  return asn1.create(Class.UNIVERSAL, Type.INTEGER, false, bytes.toString("latin1"));
}

/** @param dotted `"2.5.29.17"` */
export function oid(dotted: string): Der {
  return asn1.create(Class.UNIVERSAL, Type.OID, false, asn1.oidToDer(dotted).getBytes());
}

export function boolean(value: boolean): Der {
  return asn1.create(Class.UNIVERSAL, Type.BOOLEAN, false, value ? "\xff" : "\x00");
}

export function nothing(): Der {
  return asn1.create(Class.UNIVERSAL, Type.NULL, false, "");
}

export function utf8(text: string): Der {
  return asn1.create(Class.UNIVERSAL, Type.UTF8, false, Buffer.from(text, "utf8").toString("latin1"));
}

export function octets(bytes: Buffer): Der {
  return asn1.create(Class.UNIVERSAL, Type.OCTETSTRING, false, bytes.toString("latin1"));
}

/** @param unusedBits how many bits at the end of the last byte do not count (0 to 7) */
export function bits(bytes: Buffer, unusedBits = 0): Der {
  return asn1.create(
    Class.UNIVERSAL,
    Type.BITSTRING,
    false,
    String.fromCharCode(unusedBits) + bytes.toString("latin1"),
  );
}

/** RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on; whole seconds, `Z`. @param ms since the epoch */
export function time(ms: number): Der {
  const date = new Date(ms);
  return date.getUTCFullYear() < 2050
    ? asn1.create(Class.UNIVERSAL, Type.UTCTIME, false, asn1.dateToUtcTime(date))
    : asn1.create(Class.UNIVERSAL, Type.GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(date));
}
