import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import { clientCertificate } from "../../src/custody/minters/client-certificate.ts";
import { SourceError, type SourceReading } from "../../src/custody/sources/source.ts";
import { DAY_MS, makeCertificate, NOW_MS } from "../tls/make-certificate.ts";

/** What a source may yield for a client certificate, and what is made of it. */

const MONOTONIC_MS = 5_000;
const clock = { monotonicMs: () => MONOTONIC_MS, wallMs: () => NOW_MS };

const ca = makeCertificate({ name: "CA" });
const intermediate = makeCertificate({ name: "Intermediate", issuer: ca });
const leaf = makeCertificate({
  name: "leaf",
  issuer: intermediate,
  basicConstraints: null,
  notAfterMs: NOW_MS + DAY_MS,
});
const other = makeCertificate({ name: "other", key: "rsa2048", basicConstraints: null });

function reading(text: string, expiresAtMs: number | null = null): SourceReading {
  return { username: null, secret: Secret.of(text), expiresAtMs };
}

const minted = (text: string, expiresAtMs: number | null = null) =>
  clientCertificate("id", reading(text, expiresAtMs), clock);

function materialOf(text: string) {
  const { material } = minted(text);
  if (material.kind !== "client_certificate") throw new Error(material.kind);
  return material;
}

describe("PEM of leaf, intermediates and key", () => {
  test.each([
    ["leaf, intermediate, key", leaf.pem + intermediate.pem + leaf.keyPem],
    ["key first", leaf.keyPem + leaf.pem + intermediate.pem],
    [
      "with text in between and CRLF",
      `Bag Attributes\n${leaf.pem}\nsubject=x\n${intermediate.pem}${leaf.keyPem}`.replaceAll("\n", "\r\n"),
    ],
  ])("%s", (_how, text) => {
    const { chain, key } = materialOf(text);
    const [first = "", second = "", ...more] = chain.match(/-----BEGIN[^]*?END CERTIFICATE-----/g) ?? [];
    expect(more).toEqual([]);
    expect(new X509Certificate(first).subject).toContain("leaf");
    expect(new X509Certificate(second).subject).toContain("Intermediate");
    expect(chain).not.toMatch(/Bag|subject|\r/);
    expect(key.reveal()).toMatch(/^-----BEGIN PRIVATE KEY-----\n[^]*-----END PRIVATE KEY-----\n$/);
  });

  test.each([
    ["pkcs8", leaf.keyPem],
    ["sec1", leaf.key.export({ type: "sec1", format: "pem" }).toString()],
  ])("a key in %s form", (_form, key) => {
    expect(
      materialOf(leaf.pem + key)
        .key.reveal()
        .trim(),
    ).toBe(key.trim());
  });

  test("an RSA key in its own form", () => {
    const key = other.key.export({ type: "pkcs1", format: "pem" }).toString();
    expect(
      materialOf(other.pem + key)
        .key.reveal()
        .trim(),
    ).toBe(key.trim());
  });
});

describe("it is good", () => {
  test("as long as the leaf is, on the monotonic clock", () => {
    expect(minted(leaf.pem + leaf.keyPem).expiresAtMs).toBe(MONOTONIC_MS + DAY_MS);
  });

  test("shorter where the source says so, never longer", () => {
    expect(minted(leaf.pem + leaf.keyPem, 6_000).expiresAtMs).toBe(6_000);
    expect(minted(leaf.pem + leaf.keyPem, 10 * DAY_MS).expiresAtMs).toBe(MONOTONIC_MS + DAY_MS);
  });

  test("not once the leaf has ended", () => {
    const ended = makeCertificate({ name: "ended", basicConstraints: null, notAfterMs: NOW_MS - 1_000 });
    expect(minted(ended.pem + ended.keyPem).expiresAtMs).toBeLessThan(MONOTONIC_MS);
  });
});

test("the root is zeroed, and what is minted belongs to the receiver", () => {
  const root = reading(leaf.pem + leaf.keyPem);
  const { material, release } = clientCertificate("id", root, clock);
  expect(root.secret.isZeroed).toBe(true);
  expect(material.kind === "client_certificate" && material.key.isZeroed).toBe(false);
  expect(release).toBeNull();
});

describe("refused, and nothing of it is said", () => {
  const encrypted = leaf.key
    .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "p" })
    .toString();
  test.each([
    ["no certificate", leaf.keyPem, /yields no certificate with its key/],
    ["no key", leaf.pem, /yields no certificate with its key/],
    ["an encrypted key", leaf.pem + encrypted, /one unencrypted key/],
    ["two keys", leaf.pem + leaf.keyPem + other.keyPem, /yields no certificate with its key/],
    ["the intermediate first", intermediate.pem + leaf.pem + leaf.keyPem, /put the leaf first/],
    ["a key of another", leaf.pem + other.keyPem, /put the leaf first/],
    [
      "bytes that are none",
      `${leaf.pem.replace(/\n.{64}\n/, "\nAAAA\n")}${leaf.keyPem}`,
      /check it with `openssl x509`/,
    ],
    ["nothing", "", /yields no certificate with its key/],
  ])("%s", (_what, text, message) => {
    const error = (() => {
      try {
        minted(text);
        return null;
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(SourceError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toMatch(/^credential "id": /);
    expect((error as Error).message).not.toContain("BEGIN");
  });
});
