import { randomBytes, X509Certificate } from "node:crypto";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { ipRangeContains } from "../../src/core/ip.ts";
import { Secret } from "../../src/core/secret.ts";
import { writeCaDirectory } from "../../src/tls/ca-directory.ts";
import { CaError } from "../../src/tls/ca-error.ts";
import { loadCa } from "../../src/tls/ca-files.ts";
import { createCa, createThrowAwayCa, type NewCaOptions } from "../../src/tls/create-ca.ts";
import { readElement, readElements } from "../../src/tls/der-reader.ts";
import { encode } from "../../src/tls/der.ts";
import { nameConstraints, parsePermitted } from "../../src/tls/name-constraints.ts";
import { DAY_MS, NOW_MS } from "./make-certificate.ts";

const scratch = mkdtempSync(join(tmpdir(), "postern-new-ca-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const options: NewCaOptions = {
  name: "New CA",
  key: "ec",
  days: 30,
  permitted: [],
  intermediate: false,
  passphrase: null,
  nowMs: NOW_MS,
  randomBytes,
};

function refusal(act: () => unknown): CaError {
  try {
    act();
  } catch (error) {
    if (error instanceof CaError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

describe("a new CA", () => {
  test.each(["ec", "rsa"] as const)("with an %s key stands by itself", (key) => {
    const made = createCa({ ...options, key });
    const certificate = new X509Certificate(made.certificatesPem);
    expect(certificate.subject).toBe("CN=New CA");
    expect(certificate.ca).toBe(true);
    expect(certificate.checkIssued(certificate)).toBe(true);
    expect(certificate.validToDate.getTime()).toBe(NOW_MS + 30 * DAY_MS);
    expect(certificate.validFromDate.getTime()).toBe(NOW_MS - DAY_MS);
    expect(made.anchorPem).toBe(made.certificatesPem);
    expect(String(made.keyPem)).toBe("[secret]");
  });

  test("under a root of its own: the root's key is nowhere", () => {
    const made = createCa({ ...options, intermediate: true });
    const [issuing, root] = made.certificatesPem
      .split(/(?<=END CERTIFICATE-----\n)/)
      .map((pem) => new X509Certificate(pem));
    expect([issuing?.subject, issuing?.issuer]).toEqual(["CN=New CA", "CN=New CA root"]);
    expect(issuing?.verify((root as X509Certificate).publicKey)).toBe(true);
    expect(made.anchorPem).toBe(root?.toString());
    expect(made.keyPem.reveal().match(/BEGIN/g)).toHaveLength(1);
    expect(issuing?.publicKey.equals((root as X509Certificate).publicKey)).toBe(false);
  });

  test.each([
    ["an empty name", { name: "" }],
    ["a name of 65 characters", { name: "x".repeat(65) }],
    ["no days", { days: 0 }],
    ["half a day", { days: 0.5 }],
    ["no number", { days: Number.NaN }],
    ["more than ten years", { days: 3651 }],
  ])("of %s is refused", (_, some) => {
    expect(refusal(() => createCa({ ...options, ...some })).code).toBe("ca_argument");
  });

  test("a name of 64 characters goes, with a root too", () => {
    expect(() => createCa({ ...options, name: "ü".repeat(64), intermediate: true })).not.toThrow();
  });
});

test("the throw-away CA has no warnings, lives for a week, and no two are called alike", () => {
  const one = createThrowAwayCa({ nowMs: NOW_MS, randomBytes });
  const other = createThrowAwayCa({ nowMs: NOW_MS, randomBytes });
  expect(one.warnings).toEqual([]);
  expect(one.notAfterMs).toBe(NOW_MS + 7 * DAY_MS);
  expect(one.subject).not.toBe(other.subject);
  expect(one.chainPem).toBe("");
});

describe("name constraints", () => {
  test.each([
    ["example.com", { kind: "dns", name: "example.com" }],
    ["Example.COM", { kind: "dns", name: "example.com" }],
  ])("%s", (text, permitted) => {
    expect(parsePermitted(text)).toEqual(permitted);
  });

  test.each([
    ["*.example.com", /write "example.com"/],
    [".example.com", /write "example.com"/],
    ["10.1.2.3/8", /write a name/],
    ["10.0.0.0/33", /write a name/],
    ["bücher.example", /write a name/],
    ["", /write a name/],
  ])("%j is refused", (text, next) => {
    const error = refusal(() => parsePermitted(text));
    expect(error.code).toBe("ca_argument");
    expect(error.message).toMatch(next);
  });

  test("a block becomes address and mask, bit for bit", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(4, 16),
        fc.nat(128),
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        (size, length, random) => {
          const prefix = Math.min(length, size * 8);
          const address = random.slice(0, size);
          const base = address.map((byte, i) => byte & ~(0xff >> Math.min(8, Math.max(0, prefix - i * 8))));
          const der = encode(nameConstraints([{ kind: "ip", range: { base, prefix } }]));
          const [permitted] = readElements(readElement(der).contents);
          const general = readElement(readElement(permitted?.contents ?? Buffer.alloc(0)).contents).contents;
          const [net, mask] = [general.subarray(0, size), general.subarray(size)];
          expect(mask).toHaveLength(size);
          expect(address.every((byte, i) => (byte & (mask[i] as number)) === net[i])).toBe(true);
          const bits = [...mask].map((byte) => byte.toString(2).padStart(8, "0")).join("");
          expect(bits).toBe("1".repeat(prefix).padEnd(size * 8, "0"));
          expect(ipRangeContains({ base: net, prefix }, address)).toBe(true);
        },
      ),
    );
  });
});

describe("on disk", () => {
  const made = createCa(options);
  let count = 0;
  const fresh = (): string => join(scratch, `dir-${count++}`);

  test("directory 0700, key 0600, certificate written by its owner only", () => {
    const paths = writeCaDirectory(join(fresh(), "deeper"), made);
    expect(statSync(join(paths.key, "..")).mode & 0o777).toBe(0o700);
    expect(statSync(paths.key).mode & 0o777).toBe(0o600);
    expect(statSync(paths.certificate).mode & 0o133).toBe(0);
    expect(paths.anchor).toBe(paths.certificate);
    expect(loadCa({ ...paths, passphraseFile: null }, NOW_MS).warnings).toEqual([]);
  });

  test("a root goes into a file of its own", () => {
    const directory = fresh();
    const paths = writeCaDirectory(directory, createCa({ ...options, intermediate: true }));
    expect(readdirSync(directory).sort()).toEqual(["ca.crt", "ca.key", "root.crt"]);
    const ca = loadCa({ ...paths, passphraseFile: null }, NOW_MS);
    expect(readFileSync(paths.anchor, "utf8")).toBe(ca.anchorPem);
    expect(ca.chainPem.match(/BEGIN/g)).toHaveLength(1);
  });

  test("an encrypted key opens with its passphrase only", () => {
    const passphrase = Secret.of("a long enough passphrase");
    const paths = writeCaDirectory(fresh(), createCa({ ...options, passphrase }));
    expect(readFileSync(paths.key, "utf8")).toContain("ENCRYPTED");
    expect(refusal(() => loadCa({ ...paths, passphraseFile: null }, NOW_MS)).code).toBe("ca_passphrase_missing");
    const passphraseFile = join(scratch, "passphrase");
    writeFileSync(passphraseFile, "a long enough passphrase\n", { mode: 0o600 });
    expect(loadCa({ ...paths, passphraseFile }, NOW_MS).warnings).toEqual([]);
  });

  test.each(["ca.key", "ca.crt"])("never over a %s that is there", (name) => {
    const directory = fresh();
    mkdirSync(directory);
    writeFileSync(join(directory, name), "precious");
    const error = refusal(() => writeCaDirectory(directory, made));
    expect(error.code).toBe("ca_file_exists");
    expect(error.message).toMatch(/name another --out/);
    expect(readdirSync(directory)).toEqual([name]);
    expect(readFileSync(join(directory, name), "utf8")).toBe("precious");
  });

  test("never through a symbolic link that was laid in the way, and no half of a CA stays behind", () => {
    const directory = fresh();
    mkdirSync(directory);
    symlinkSync(join(scratch, "elsewhere"), join(directory, "ca.crt"));
    expect(refusal(() => writeCaDirectory(directory, made)).code).toBe("ca_file_exists");
    expect(readdirSync(directory)).toEqual(["ca.crt"]);
    expect(readdirSync(scratch)).not.toContain("elsewhere");
  });

  const root = process.getuid?.() === 0;
  test.skipIf(root)(
    `a directory that may not be written to${root ? " (SKIPPED: root may write anywhere)" : ""}`,
    () => {
      const directory = fresh();
      mkdirSync(directory);
      chmodSync(directory, 0o500);
      expect(refusal(() => writeCaDirectory(directory, made)).code).toBe("ca_file_unreadable");
    },
  );

  test("a file where the directory should be", () => {
    const path = fresh();
    writeFileSync(path, "");
    expect(refusal(() => writeCaDirectory(path, made)).message).toMatch(/name/);
  });
});
