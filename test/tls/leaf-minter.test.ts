import { randomBytes, X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { Authority } from "../../src/core/authority.ts";
import type { Clock } from "../../src/core/clock.ts";
import { CertificateAuthority } from "../../src/tls/certificate-authority.ts";
import { readElement, readElements } from "../../src/tls/der-reader.ts";
import { LeafMinter, type LeafMinterOptions } from "../../src/tls/leaf-minter.ts";
import { DAY_MS, type Made, makeCertificate, NOW_MS } from "./make-certificate.ts";

const HOUR_MS = 3_600_000;

class ManualClock implements Clock {
  nowMs = NOW_MS;
  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    throw new Error("certificates go by the wall clock");
  }
}

function caOf(...chain: Made[]): CertificateAuthority {
  const pem = chain.map((one) => one.pem).join("");
  const key = (chain[0] as Made).keyPem;
  return CertificateAuthority.fromPem(
    { certificates: pem, certificateName: "ca.crt", key, keyName: "ca.key", passphrase: null },
    NOW_MS,
  );
}

function minter(options: Partial<LeafMinterOptions> = {}): LeafMinter {
  const ca = options.ca ?? caOf(makeCertificate());
  return new LeafMinter({ leafKey: "ec", lifetimeMs: DAY_MS, clock: new ManualClock(), randomBytes, ...options, ca });
}

function authority(text: string): Authority {
  const parsed = Authority.parse(text, 443);
  if (parsed === null) throw new Error(`not an authority: ${text}`);
  return parsed;
}

const leafOf = (options: Partial<LeafMinterOptions>, host: string): X509Certificate =>
  new X509Certificate(minter(options).mint(authority(host)).der);

describe("names", () => {
  const long = `${"a".repeat(60)}.${"b".repeat(30)}.example.test`;
  const name64 = `${"a".repeat(51)}.example.test`;

  test.each([
    ["api.example.test", "CN=api.example.test", "DNS:api.example.test"],
    ["under_score.example.test", "CN=under_score.example.test", "DNS:under_score.example.test"],
    ["xn--bcher-kva.example", "CN=xn--bcher-kva.example", "DNS:xn--bcher-kva.example"],
    [name64, `CN=${name64}`, `DNS:${name64}`],
  ])("%s is CN and alternative name", (host, subject, alternative) => {
    const leaf = leafOf({}, host);
    expect(leaf.subject).toBe(subject);
    expect(leaf.subjectAltName).toBe(alternative);
    expect(extensionsOf(leaf).get("551d11")?.critical).toBe(false);
  });

  test.each([
    [long, `DNS:${long}`],
    [`a${name64}`, `DNS:a${name64}`],
    ["192.0.2.7", "IP Address:192.0.2.7"],
    ["[2001:db8::7]", "IP Address:2001:DB8:0:0:0:0:0:7"],
  ])("%s has no CN: the alternative name alone, critical", (host, alternative) => {
    const leaf = leafOf({}, host);
    expect(leaf.subject ?? "").toBe("");
    expect(leaf.subjectAltName).toBe(alternative);
    expect(extensionsOf(leaf).get("551d11")?.critical).toBe(true);
  });

  test("a case that the guest chose does not reach the leaf, nor does the port", () => {
    expect(leafOf({}, "API.Example.TEST:8443").subjectAltName).toBe("DNS:api.example.test");
  });
});

describe("the fixed part", () => {
  test("an EC leaf may sign, and serve TLS, and nothing else", () => {
    const leaf = leafOf({}, "a.test");
    const extensions = extensionsOf(leaf);
    expect(leaf.ca).toBe(false);
    expect(leaf.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
    expect(leaf.publicKey.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
    expect(extensions.get("551d13")).toEqual({ critical: true, value: "3000" });
    expect(extensions.get("551d0f")).toEqual({ critical: true, value: "03020780" });
    expect([...extensions.keys()].sort()).toEqual(["551d0e", "551d0f", "551d11", "551d13", "551d23", "551d25"]);
  });

  test("an RSA leaf may be used for key exchange too", () => {
    const leaf = leafOf({ leafKey: "rsa" }, "a.test");
    expect(leaf.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
    expect(extensionsOf(leaf).get("551d0f")).toEqual({ critical: true, value: "030205a0" });
  });

  test("the authority key identifier is the CA's own, whatever that was made from", () => {
    const made = makeCertificate();
    const leaf = leafOf({ ca: caOf(made) }, "a.test");
    expect(extensionsOf(leaf).get("551d23")?.value).toBe(`30168014${made.identifier.toString("hex")}`);
  });

  test("one key for all leaves of a minter", () => {
    const one = minter();
    const keys = ["a.test", "b.test"].map((host) => new X509Certificate(one.mint(authority(host)).der).publicKey);
    expect(keys[0]?.equals(keys[1] as never)).toBe(true);
    expect(String(one.keyPem)).toBe("[secret]");
  });

  test("the issuer is the CA's subject byte for byte", () => {
    const made = makeCertificate({ name: "Zürich CA" });
    const ca = caOf(made);
    const leaf = leafOf({ ca }, "a.test");
    expect(tbsOf(leaf)[3]?.equals(ca.issuerName)).toBe(true);
    expect(leaf.checkIssued(new X509Certificate(made.der))).toBe(true);
  });
});

describe("serial numbers", () => {
  test.each([0x00, 0xff, 0x80, 0x40])("of bytes 0x%s are positive, minimal and 16 bytes long", (byte) => {
    const leaf = leafOf({ randomBytes: (size) => Buffer.alloc(size, byte) }, "a.test");
    const serial = tbsOf(leaf)[1] as Buffer;
    expect(serial.subarray(0, 2).toString("hex")).toBe("0210");
    expect(serial[2]).toBeGreaterThanOrEqual(0x40);
    expect(serial[2]).toBeLessThan(0x80);
  });

  test("differ", () => {
    const one = minter();
    const serials = Array.from(
      { length: 200 },
      () => new X509Certificate(one.mint(authority("a.test")).der).serialNumber,
    );
    expect(new Set(serials).size).toBe(200);
  });
});

describe("validity", () => {
  const datesOf = (leaf: X509Certificate): [number, number] => [
    leaf.validFromDate.getTime(),
    leaf.validToDate.getTime(),
  ];

  test("from an hour ago, for the lifetime", () => {
    expect(datesOf(leafOf({ lifetimeMs: 6 * HOUR_MS }, "a.test"))).toEqual([NOW_MS - HOUR_MS, NOW_MS + 6 * HOUR_MS]);
  });

  test("never outside of what the CA and its intermediates are valid for", () => {
    const root = makeCertificate({ name: "root", notAfterMs: NOW_MS + 3 * HOUR_MS });
    const issuing = makeCertificate({ name: "issuing", issuer: root, notBeforeMs: NOW_MS - 60_000 });
    const leaf = minter({ ca: caOf(issuing, root) }).mint(authority("a.test"));
    expect([leaf.notBeforeMs, leaf.notAfterMs]).toEqual([NOW_MS - 60_000, NOW_MS + 3 * HOUR_MS]);
    expect(datesOf(new X509Certificate(leaf.der))).toEqual([leaf.notBeforeMs, leaf.notAfterMs]);
  });

  test("a CA that has run out meanwhile signs nothing", () => {
    const clock = new ManualClock();
    const one = minter({ ca: caOf(makeCertificate({ notAfterMs: NOW_MS + HOUR_MS })), clock });
    clock.nowMs = NOW_MS + HOUR_MS - 1000;
    expect(() => one.mint(authority("a.test"))).not.toThrow();
    clock.nowMs = NOW_MS + HOUR_MS;
    expect(() => one.mint(authority("a.test"))).toThrow(/has run out/);
  });

  test("UTCTime through 2049, GeneralizedTime from 2050 on (RFC 5280 §4.1.2.5)", () => {
    const ca = caOf(makeCertificate({ notAfterMs: Date.UTC(2060, 0, 1) }));
    const clock = new ManualClock();
    clock.nowMs = Date.UTC(2049, 11, 31, 12);
    const leaf = new X509Certificate(minter({ ca, clock, lifetimeMs: DAY_MS }).mint(authority("a.test")).der);
    const [from, to] = readElements(readElement(tbsOf(leaf)[4] as Buffer).contents);
    expect([from?.tag, from?.contents.toString()]).toEqual([23, "491231110000Z"]);
    expect([to?.tag, to?.contents.toString()]).toEqual([24, "20500101120000Z"]);
  });
});

test("leaf first, then the intermediates", () => {
  const root = makeCertificate({ name: "root" });
  const issuing = makeCertificate({ name: "issuing", issuer: root });
  const leaf = minter({ ca: caOf(issuing, root) }).mint(authority("a.test"));
  expect(leaf.chainPem.split("-----BEGIN CERTIFICATE-----").length - 1).toBe(2);
  expect(leaf.chainPem.endsWith(issuing.pem)).toBe(true);
  expect(new X509Certificate(leaf.chainPem).subjectAltName).toBe("DNS:a.test");
});

function tbsOf(leaf: X509Certificate): Buffer[] {
  const tbs = readElements(readElement(leaf.raw).contents)[0];
  return readElements(tbs?.contents ?? Buffer.alloc(0)).map(({ whole }) => whole);
}

function extensionsOf(leaf: X509Certificate): Map<string, { critical: boolean; value: string }> {
  const last = readElement(tbsOf(leaf).at(-1) as Buffer);
  const entries = readElements(readElement(last.contents).contents).map(({ contents }) => {
    const [id, ...rest] = readElements(contents);
    const value = rest.at(-1)?.contents.toString("hex") ?? "";
    return [id?.contents.toString("hex") ?? "", { critical: rest.length === 2, value }] as const;
  });
  return new Map(entries);
}
