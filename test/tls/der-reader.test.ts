import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readCertificateFields } from "../../src/tls/certificate-fields.ts";
import { readElement, readElements } from "../../src/tls/der-reader.ts";
import { encode, octets, sequence, tagged } from "../../src/tls/der.ts";
import { NameLimits } from "../../src/tls/name-limits.ts";
import { pemBlocks, toPem } from "../../src/tls/pem.ts";
import { makeCertificate } from "./make-certificate.ts";

/** Either a result or a RangeError: nothing else may come out of a reader. */
function readsOrRefuses(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError);
  }
}

describe("DER", () => {
  test("what was encoded is read back as slices of the same bytes, at every length", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 70_000, size: "max" }), { maxLength: 4 }), (parts) => {
        const nodes = parts.map((part) => octets(Buffer.from(part)));
        const der = encode(sequence(...nodes, tagged(3)));
        const elements = readElements(readElement(der).contents);
        expect(elements.map(({ tag }) => tag)).toEqual([...parts.map(() => 4), 0xa3]);
        expect(elements.slice(0, -1).every(({ contents }, i) => contents.equals(parts[i] as Uint8Array))).toBe(true);
        expect(Buffer.concat(elements.map(({ whole }) => whole)).equals(readElement(der).contents)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    ["nothing", ""],
    ["a tag alone", "30"],
    ["an indefinite length", "30800000"],
    ["a length of five bytes", "30850000000001ff"],
    ["a length that is cut off", "3082ff"],
    ["contents that are cut off", "300205"],
    ["bytes behind", "0500ff"],
    ["a high tag number", "1f2000"],
  ])("%s is refused", (_, hex) => {
    expect(() => readElement(Buffer.from(hex, "hex"))).toThrow(RangeError);
  });

  test("random bytes are read or refused, never more", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (random) => {
        const bytes = Buffer.from(random);
        readsOrRefuses(() => readElements(bytes));
        readsOrRefuses(() => readCertificateFields(bytes));
        readsOrRefuses(() => NameLimits.read([bytes]));
      }),
      { numRuns: 2000 },
    );
  });

  test("a certificate with a flipped byte is read or refused, never more", () => {
    const { der } = makeCertificate({ basicConstraints: { pathLength: 3 } });
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const bytes = Buffer.from(der);
        bytes[at] = (bytes[at] as number) ^ mask;
        readsOrRefuses(() => readCertificateFields(bytes));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("PEM", () => {
  test("blocks come back in order, whatever text is around them", () => {
    const noise = fc.stringMatching(/^[A-Za-z0-9 :=\n]{0,40}$/);
    const block = fc.tuple(noise, fc.constantFrom("CERTIFICATE", "EC PRIVATE KEY"), fc.uint8Array({ maxLength: 200 }));
    fc.assert(
      fc.property(fc.array(block, { maxLength: 5 }), noise, (parts, tail) => {
        const pems = parts.map(([, label, bytes]) => ({ label, text: toPem(label, Buffer.from(bytes)) }));
        const text = parts.map(([before], i) => `${before}\n${pems[i]?.text ?? ""}`).join("") + tail;
        expect(pemBlocks(text)).toEqual(pems);
        expect(pems.every((pem) => pem.text.split("\n").every((line) => line.length <= 64))).toBe(true);
      }),
    );
  });
});
