import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Authority } from "../../src/core/authority.ts";
import { CertificateAuthority } from "../../src/tls/certificate-authority.ts";
import { commonName, extension, OID_NAME_CONSTRAINTS } from "../../src/tls/certificate-builder.ts";
import { type Der, sequence, tagged, taggedBytes } from "../../src/tls/der.ts";
import { type LeafIssuer, LeafMinter } from "../../src/tls/leaf-minter.ts";
import { NameLimits } from "../../src/tls/name-limits.ts";
import { toPem } from "../../src/tls/pem.ts";
import { DAY_MS, type Made, makeCertificate, NOW_MS } from "./make-certificate.ts";

const scratch = mkdtempSync(join(tmpdir(), "postern-limits-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const dns = (name: string): Der => taggedBytes(2, Buffer.from(name));
const ip = (hex: string): Der => taggedBytes(7, Buffer.from(hex, "hex"));
const trees = (number: number, bases: readonly Der[]): Der[] =>
  bases.length === 0 ? [] : [tagged(number, ...bases.map((base) => sequence(base)))];

function constrained(permitted: readonly Der[], excluded: readonly Der[], issuer?: Made): Made {
  const constraints = sequence(...trees(0, permitted), ...trees(1, excluded));
  const extensions = [extension(OID_NAME_CONSTRAINTS, true, constraints)];
  return makeCertificate({
    name: issuer === undefined ? "constrained root" : "constrained",
    extensions,
    ...(issuer && { issuer }),
  });
}

function load(...chain: Made[]): CertificateAuthority {
  const certificates = chain.map(({ pem }) => pem).join("");
  const key = (chain[0] as Made).keyPem;
  return CertificateAuthority.fromPem(
    { certificates, certificateName: "ca.crt", key, keyName: "ca.key", passphrase: null },
    NOW_MS,
  );
}

function authority(host: string): Authority {
  const parsed = Authority.parse(host, 443);
  if (parsed === null) throw new Error(host);
  return parsed;
}

const minter = (ca: LeafIssuer): LeafMinter =>
  new LeafMinter({
    ca,
    leafKey: "ec",
    lifetimeMs: DAY_MS,
    clock: { wallMs: () => NOW_MS, monotonicMs: () => 0 },
    randomBytes,
  });

const root = makeCertificate({ name: "root" });
const upper = constrained([dns("example.test")], []);
const CHAINS: [string, Made[]][] = [
  ["nothing", [root]],
  ["one name", [constrained([dns("example.test")], [])]],
  ["one name, in capitals", [constrained([dns("Example.TEST")], [])]],
  ["two names", [constrained([dns("example.test"), dns("b.other.test")], [])]],
  ["a name but not one below it", [constrained([dns("example.test")], [dns("deny.example.test")])]],
  ["all but a name", [constrained([], [dns("example.test")])]],
  ["no name at all", [constrained([], [dns("")])]],
  ["a block", [constrained([ip("0a000000ff000000")], [])]],
  ["all but a block", [constrained([], [ip("0a010000ffff0000")])]],
  ["an IPv6 block", [constrained([ip("20010db8000000000000000000000000ffffffff000000000000000000000000")], [])]],
  ["a name, and no address", [constrained([dns("example.test")], [ip("0000000000000000"), ip("0".repeat(64))])]],
  ["what intermediate and root share", [constrained([dns("a.example.test"), dns("b.other.test")], [], upper), upper]],
];

const HOSTS = [
  "example.test",
  "a.example.test",
  "x.a.example.test",
  "deny.example.test",
  "x.deny.example.test",
  "notexample.test",
  "b.other.test",
  "other.test",
  "10.1.2.3",
  "10.200.0.1",
  "192.0.2.1",
  "[2001:db8::1]",
  "[2001:db9::1]",
];

const present = spawnSync("openssl", ["version"]).status === 0;
describe.skipIf(!present)(present ? "as OpenSSL has it" : "as OpenSSL has it (SKIPPED: no openssl)", () => {
  test.each(CHAINS)("%s", (name, chain) => {
    const ca = load(...chain);
    const { subject, issuerName, keyIdentifier, chainPem, notBeforeMs, notAfterMs, signatureIdentifier } = ca;
    const parts = { subject, issuerName, keyIdentifier, chainPem, notBeforeMs, notAfterMs, signatureIdentifier };
    const careless = minter({ ...parts, limits: NameLimits.read([]), sign: (tbs) => ca.sign(tbs) });
    const anchor = join(scratch, `${name}.anchor.pem`);
    const untrusted = join(scratch, `${name}.chain.pem`);
    writeFileSync(anchor, ca.anchorPem);
    writeFileSync(untrusted, ca.chainPem === "" ? ca.anchorPem : ca.chainPem);
    const verified = HOSTS.map((host) => {
      const leaf = join(scratch, "leaf.pem");
      writeFileSync(leaf, toPem("CERTIFICATE", careless.mint(authority(host)).der));
      const at = ["-attime", String(NOW_MS / 1000)];
      return spawnSync("openssl", ["verify", ...at, "-CAfile", anchor, "-untrusted", untrusted, leaf]).status === 0;
    });
    expect(HOSTS.map((host) => [host, ca.limits.permits(authority(host))])).toEqual(
      HOSTS.map((host, i) => [host, verified[i]]),
    );
  });
});

test("a base with a leading dot covers what is below only", () => {
  const { limits } = load(constrained([dns(".example.test")], []));
  expect(["a.example.test", "example.test"].map((host) => limits.permits(authority(host)))).toEqual([true, false]);
});

test("a host outside is refused when the leaf is due, and says why", () => {
  const one = minter(load(constrained([dns("example.test")], [])));
  expect(() => one.mint(authority("a.example.test"))).not.toThrow();
  expect(() => one.mint(authority("a.example.com"))).toThrow(/may not sign for a\.example\.com: use a CA that may/);
});

test("a CA that limits subjects gets leaves without one", () => {
  const directory = tagged(4, commonName("Corporate"));
  const one = minter(load(constrained([dns("example.test"), directory], [])));
  const subject = (der: Buffer): string => der.toString("latin1");
  expect(subject(one.mint(authority("a.example.test")).der).split("a.example.test")).toHaveLength(2);
  const free = minter(load(constrained([dns("example.test")], [])));
  expect(subject(free.mint(authority("a.example.test")).der).split("a.example.test")).toHaveLength(3);
});
