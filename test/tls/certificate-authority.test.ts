import { createPrivateKey } from "node:crypto";
import { describe, expect, test } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import { CaError, type CaErrorCode } from "../../src/tls/ca-error.ts";
import { CertificateAuthority } from "../../src/tls/certificate-authority.ts";
import { extension, OID_NAME_CONSTRAINTS } from "../../src/tls/certificate-builder.ts";
import { octets } from "../../src/tls/der.ts";
import { DAY_MS, type KeyKind, makeCertificate, NOW_MS, type Shape } from "./make-certificate.ts";

function load(certificates: string, key: string, passphrase: string | null = null): CertificateAuthority {
  return CertificateAuthority.fromPem(
    {
      certificates,
      certificateName: "ca.crt",
      key,
      keyName: "ca.key",
      passphrase: passphrase === null ? null : Secret.of(passphrase),
    },
    NOW_MS,
  );
}

function refusal(act: () => unknown): CaError {
  try {
    act();
  } catch (error) {
    if (error instanceof CaError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

describe("keys", () => {
  test.each([
    ["p256", "ecdsa-with-SHA256"],
    ["p384", "ecdsa-with-SHA384"],
    ["p521", "ecdsa-with-SHA512"],
    ["rsa2048", "sha256WithRSAEncryption"],
    ["ed25519", "ed25519"],
  ] as const)("%s signs with %s", (key, name) => {
    const made = makeCertificate({ key });
    expect(load(made.pem, made.keyPem).signatureName).toBe(name);
  });

  test.each([
    ["p256", "pkcs8"],
    ["p256", "sec1"],
    ["rsa2048", "pkcs8"],
    ["rsa2048", "pkcs1"],
  ] as const)("%s as %s, plain and encrypted", (kind, type) => {
    const made = makeCertificate({ key: kind });
    const plain = made.key.export({ type, format: "pem" }) as string;
    expect(load(made.pem, plain).warnings).toEqual([]);
    const encrypted = made.key.export({
      type,
      format: "pem",
      cipher: "aes-256-cbc",
      passphrase: "open sesame",
    }) as string;
    expect(encrypted).toMatch(/ENCRYPTED/);
    expect(load(made.pem, encrypted, "open sesame").warnings).toEqual([]);
    const missing = refusal(() => load(made.pem, encrypted));
    expect(missing.code).toBe("ca_passphrase_missing");
    expect(missing.message).toMatch(/passphrase_file/);
    const wrong = refusal(() => load(made.pem, encrypted, "open barley"));
    expect(wrong.code).toBe("ca_passphrase_wrong");
    expect(wrong.message).not.toContain("barley");
  });

  test("EC parameters before the key and text around it do not matter", () => {
    const made = makeCertificate();
    const parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    const sec1 = made.key.export({ type: "sec1", format: "pem" }) as string;
    expect(load(`Certificate:\n    Data: ...\n${made.pem}`, `Bag Attributes\n${parameters}${sec1}`).warnings).toEqual(
      [],
    );
  });

  test("a passphrase for a plain key is worth a warning", () => {
    const made = makeCertificate();
    expect(load(made.pem, made.keyPem, "unused").warnings).toEqual([expect.stringMatching(/not encrypted/)]);
  });

  test.each<[string, KeyKind]>([
    ["RSA of 1024 bits", "rsa1024"],
    ["secp256k1", "secp256k1"],
  ])("%s is refused", (_, kind) => {
    // Self-signed with another key's algorithm: only the key is judged.
    const issuer = makeCertificate({ name: "root" });
    const made = makeCertificate({ key: kind, issuer });
    expect(refusal(() => load(made.pem + issuer.pem, made.keyPem)).code).toBe("ca_key_unsupported");
  });

  test("the key of another CA is refused", () => {
    const one = makeCertificate();
    const other = makeCertificate();
    const error = refusal(() => load(one.pem, other.keyPem));
    expect(error.code).toBe("ca_key_mismatch");
    expect(error.message).toMatch(/ca\.key.*ca\.crt/);
  });

  test("nothing of the key shows in any rendering", () => {
    const made = makeCertificate();
    const ca = load(made.pem, made.keyPem);
    const d = createPrivateKey(made.keyPem).export({ format: "jwk" }).d as string;
    const hex = Buffer.from(d, "base64url").toString("hex");
    const shown = `${JSON.stringify(ca)}${Object.values(ca).map(String).join()}`;
    expect(shown).not.toContain(d);
    expect(shown).not.toContain(hex);
  });
});

describe("what every client would refuse stops the start", () => {
  test.each<[CaErrorCode, string, Shape]>([
    ["ca_expired", "expired yesterday", { notBeforeMs: NOW_MS - 9 * DAY_MS, notAfterMs: NOW_MS - DAY_MS }],
    ["ca_not_yet_valid", "valid from tomorrow on", { notBeforeMs: NOW_MS + DAY_MS }],
    ["ca_not_a_ca", "basicConstraints CA:FALSE", { basicConstraints: { ca: false } }],
    ["ca_not_a_ca", "no basicConstraints", { basicConstraints: null }],
    ["ca_not_a_ca", "no subject", { name: "" }],
    ["ca_key_usage", "keyUsage without keyCertSign", { keyUsage: 0x82 }],
    ["ca_key_usage", "extendedKeyUsage clientAuth alone", { extendedKeyUsage: ["1.3.6.1.5.5.7.3.2"] }],
  ])("%s: %s", (code, _, shape) => {
    const made = makeCertificate(shape);
    const error = refusal(() => load(made.pem, made.keyPem));
    expect(error.code).toBe(code);
    // Every refusal names the file and ends in a next step.
    expect(error.message).toMatch(/^ca\.crt: .+: .+/);
  });

  test.each<[string, Shape]>([
    ["extendedKeyUsage with serverAuth", { extendedKeyUsage: ["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1"] }],
    ["any purpose", { extendedKeyUsage: ["2.5.29.37.0"] }],
    ["the last second of its life", { notAfterMs: NOW_MS }],
    ["pathlen:0", { basicConstraints: { pathLength: 0 } }],
  ])("but not %s", (_, shape) => {
    const made = makeCertificate(shape);
    expect(load(made.pem, made.keyPem).warnings).toEqual([]);
  });

  test.each([
    ["no PEM at all", "hello"],
    ["nothing", ""],
    ["a block that is not closed", "-----BEGIN CERTIFICATE-----\nAAAA\n"],
    [
      "a block in a block",
      "-----BEGIN CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
    ["a block of nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
  ])("%s is broken PEM, as certificate and as key", (_, text) => {
    const made = makeCertificate();
    expect(refusal(() => load(text, made.keyPem)).code).toBe("ca_pem_broken");
    const key = text.replaceAll("CERTIFICATE", "PRIVATE KEY");
    expect(refusal(() => load(made.pem, key)).code).toBe("ca_pem_broken");
  });
});

test("name constraints that cannot be read are refused, not ignored", () => {
  const made = makeCertificate({
    extensions: [extension(OID_NAME_CONSTRAINTS, true, octets(Buffer.from("3005", "hex")))],
  });
  expect(refusal(() => load(made.pem, made.keyPem)).code).toBe("ca_pem_broken");
});

describe("chains", () => {
  const root = makeCertificate({ name: "root" });
  const middle = makeCertificate({ name: "middle", issuer: root });
  const issuing = makeCertificate({ name: "issuing", issuer: middle, notAfterMs: NOW_MS + 30 * DAY_MS });

  test.each([
    ["in order", [issuing, middle, root]],
    ["upside down", [root, middle, issuing]],
    ["one of them twice", [issuing, middle, middle, root]],
  ])("%s: intermediates are served, the root is not", (_, certificates) => {
    const ca = load(certificates.map(({ pem }) => pem).join(""), issuing.keyPem);
    expect(ca.chainPem).toBe(issuing.pem + middle.pem);
    expect(ca.anchorPem).toBe(root.pem);
    expect(ca.subject).toBe("CN=issuing");
    expect(ca.keyIdentifier.equals(issuing.identifier)).toBe(true);
    expect(ca.warnings).toEqual([]);
  });

  test("validity is what all of them share", () => {
    const ca = load(issuing.pem + middle.pem + root.pem, issuing.keyPem);
    expect(ca.notAfterMs).toBe(NOW_MS + 30 * DAY_MS);
    expect(ca.notBeforeMs).toBe(NOW_MS - DAY_MS);
  });

  test("a lone root serves nothing beside the leaf", () => {
    const ca = load(root.pem, root.keyPem);
    expect(ca.chainPem).toBe("");
    expect(ca.anchorPem).toBe(root.pem);
  });

  test("without the root the top is served too, and a warning says what to do", () => {
    const ca = load(issuing.pem + middle.pem, issuing.keyPem);
    expect(ca.chainPem).toBe(issuing.pem + middle.pem);
    expect(ca.warnings).toEqual([expect.stringMatching(/append its root/)]);
  });

  test("a gap is refused", () => {
    const error = refusal(() => load(issuing.pem + root.pem, issuing.keyPem));
    expect(error.code).toBe("ca_chain_broken");
    expect(error.message).toContain('"CN=root"');
  });

  test("a stranger of the right name is refused: the signature counts", () => {
    const impostor = makeCertificate({ name: "middle", issuer: root, keyIdentifier: false });
    expect(refusal(() => load(issuing.pem + impostor.pem + root.pem, issuing.keyPem)).code).toBe("ca_chain_broken");
  });

  test("an expired intermediate is refused", () => {
    const old = makeCertificate({ name: "old", issuer: root, notBeforeMs: 0, notAfterMs: NOW_MS - 1000 });
    const last = makeCertificate({ name: "last", issuer: old });
    const error = refusal(() => load(last.pem + old.pem + root.pem, last.keyPem));
    expect(error.code).toBe("ca_expired");
    expect(error.message).toContain('"CN=old"');
  });

  test("a path length that leaves no room for the intermediate is refused", () => {
    const tight = makeCertificate({ name: "tight", basicConstraints: { pathLength: 0 } });
    const below = makeCertificate({ name: "below", issuer: tight });
    expect(refusal(() => load(below.pem + tight.pem, below.keyPem)).code).toBe("ca_path_length");
    const roomy = makeCertificate({ name: "roomy", basicConstraints: { pathLength: 1 } });
    const fits = makeCertificate({ name: "fits", issuer: roomy });
    expect(load(fits.pem + roomy.pem, fits.keyPem).warnings).toEqual([]);
  });
});

describe("what a part of the clients refuses is a warning", () => {
  test.each<[RegExp, Shape]>([
    [/subjectKeyIdentifier/, { keyIdentifier: false }],
    [/basicConstraints not critical/, { basicConstraints: { critical: false } }],
    [/no keyUsage/, { keyUsage: null }],
    [/Ed25519.*browsers/, { key: "ed25519" }],
    [/P-521.*Chromium/, { key: "p521" }],
  ])("%s", (warning, shape) => {
    const made = makeCertificate(shape);
    expect(load(made.pem, made.keyPem).warnings).toEqual([expect.stringMatching(warning)]);
  });
});
