/**
 * Reads DER (X.690 §10) as slices of the bytes that came, so that what is copied out of a CA is never re-encoded. Only for
 * certificates of the operator that OpenSSL has parsed before: low tag numbers, definite lengths, nothing else.
 */
export interface Element {
  /** Identifier octet: class, constructed bit and tag number. */
  readonly tag: number;
  readonly contents: Buffer;
  /** Identifier, length and contents. */
  readonly whole: Buffer;
}

/** @throws RangeError when `bytes` is not exactly one element */
export function readElement(bytes: Buffer): Element {
  const element = next(bytes, 0);
  if (element.whole.length !== bytes.length) throw new RangeError("DER: bytes follow the element");
  return element;
}

/** @returns the elements that `bytes` is made of, in order. @throws RangeError when they do not fill it exactly */
export function readElements(bytes: Buffer): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length;) {
    const element = next(bytes, at);
    elements.push(element);
    at += element.whole.length;
  }
  return elements;
}

function next(bytes: Buffer, at: number): Element {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) throw new RangeError("DER: header is cut off");
  if ((tag & 0x1f) === 0x1f) throw new RangeError("DER: tag number above 30");
  let length = first;
  let header = 2;
  if (first > 0x7f) {
    const size = first & 0x7f;
    if (size === 0 || size > 4 || at + 2 + size > bytes.length) throw new RangeError("DER: length is not definite");
    length = bytes.readUIntBE(at + 2, size);
    header += size;
  }
  const end = at + header + length;
  if (end > bytes.length) throw new RangeError("DER: contents are cut off");
  return { tag, contents: bytes.subarray(at + header, end), whole: bytes.subarray(at, end) };
}
