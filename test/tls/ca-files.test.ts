import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { CaError } from "../../src/tls/ca-error.ts";
import { type CaFiles, loadCa } from "../../src/tls/ca-files.ts";
import { makeCertificate, NOW_MS } from "./make-certificate.ts";

const scratch = mkdtempSync(join(tmpdir(), "postern-ca-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let count = 0;
function file(text: string, mode: number): string {
  const path = join(scratch, `file-${count++}`);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const made = makeCertificate();
const encrypted = made.key.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "äöü sesame" });
const good: CaFiles = { certificate: file(made.pem, 0o644), key: file(made.keyPem, 0o600), passphraseFile: null };

function refusal(files: Partial<CaFiles>): CaError {
  try {
    loadCa({ ...good, ...files }, NOW_MS);
  } catch (error) {
    if (error instanceof CaError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

test("certificate and key from two files", () => {
  expect(loadCa(good, NOW_MS).subject).toBe("CN=Test CA");
});

test.each(["äöü sesame", "äöü sesame\n", "äöü sesame\r\n", "äöü sesame\nanother line"])(
  "passphrase from a file: %j",
  (text) => {
    const files = { ...good, key: file(encrypted as string, 0o400), passphraseFile: file(text, 0o600) };
    expect(loadCa(files, NOW_MS).warnings).toEqual([]);
  },
);

describe("a key that others may use is refused", () => {
  test.each([0o604, 0o640, 0o660, 0o602, 0o601, 0o610, 0o777])("mode %i", (mode) => {
    const key = file(made.keyPem, mode);
    const error = refusal({ key });
    expect(error.code).toBe("ca_file_exposed");
    expect(error.message).toContain(`chmod 600 ${key}`);
  });

  test.each([0o600, 0o400, 0o700])("but not mode %i", (mode) => {
    expect(loadCa({ ...good, key: file(made.keyPem, mode) }, NOW_MS).subject).toBe("CN=Test CA");
  });

  test("a symbolic link counts as what it leads to", () => {
    const exposed = join(scratch, "link-to-exposed");
    symlinkSync(file(made.keyPem, 0o644), exposed);
    expect(refusal({ key: exposed }).code).toBe("ca_file_exposed");
    const kept = join(scratch, "link-to-private");
    symlinkSync(good.key, kept);
    expect(loadCa({ ...good, key: kept }, NOW_MS).subject).toBe("CN=Test CA");
  });

  test("in the certificate's file as well", () => {
    const combined = made.pem + made.keyPem;
    expect(refusal({ certificate: file(combined, 0o644) }).code).toBe("ca_file_exposed");
    const kept = file(combined, 0o600);
    expect(loadCa({ ...good, certificate: kept, key: kept }, NOW_MS).subject).toBe("CN=Test CA");
  });

  test("a passphrase file that others may read is refused too", () => {
    const error = refusal({ key: file(encrypted as string, 0o600), passphraseFile: file("äöü sesame", 0o644) });
    expect(error.code).toBe("ca_file_exposed");
  });
});

describe("what cannot be read", () => {
  test("is not there", () => {
    for (const part of ["certificate", "key", "passphraseFile"] as const) {
      const error = refusal({ [part]: join(scratch, "nowhere", "x") });
      expect(error.code).toBe("ca_file_missing");
      expect(error.message).toMatch(part === "passphraseFile" ? /nowhere.*write one/ : /nowhere.*postern ca init/);
    }
  });

  test("is a directory", () => {
    expect(refusal({ key: scratch }).code).toBe("ca_file_unreadable");
  });

  const fifos = spawnSync("mkfifo", ["--version"]).error === undefined;
  test.skipIf(!fifos)(fifos ? "is a FIFO: refused, not waited for" : "is a FIFO (SKIPPED: no mkfifo)", () => {
    const path = join(scratch, "fifo");
    expect(spawnSync("mkfifo", ["-m", "600", path]).status).toBe(0);
    expect(refusal({ key: path }).code).toBe("ca_file_unreadable");
  });

  test("is larger than any key", () => {
    expect(refusal({ key: file("x".repeat(1_048_577), 0o600) }).code).toBe("ca_file_unreadable");
  });

  test("is an empty passphrase", () => {
    expect(refusal({ passphraseFile: file("\n", 0o600) }).code).toBe("ca_passphrase_missing");
  });
});

const present = spawnSync("openssl", ["version"]).status === 0;
describe.skipIf(!present)(present ? "as OpenSSL writes them" : "as OpenSSL writes them (SKIPPED: no openssl)", () => {
  const openssl = (...args: string[]): void => {
    const { status, stderr } = spawnSync("openssl", args, { encoding: "utf8", cwd: scratch });
    if (status !== 0) throw new Error(stderr);
  };
  const forms: [string, string, string[]][] = [
    ["EC, SEC1 with parameters", "ec", ["ecparam", "-name", "prime256v1", "-genkey", "-out"]],
    ["EC, SEC1 encrypted", "ec", ["ec", "-in", "ec-plain.pem", "-aes256", "-passout", "pass:open sesame", "-out"]],
    [
      "RSA, PKCS#1 encrypted",
      "rsa",
      ["rsa", "-in", "rsa-plain.pem", "-traditional", "-aes128", "-passout", "pass:open sesame", "-out"],
    ],
    [
      "RSA, PKCS#8 scrypt",
      "rsa",
      ["pkcs8", "-topk8", "-scrypt", "-in", "rsa-plain.pem", "-passout", "pass:open sesame", "-out"],
    ],
    [
      "EC, PKCS#8 PBKDF2",
      "ec",
      ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", "ec-plain.pem", "-passout", "pass:open sesame", "-out"],
    ],
  ];

  test.each(forms)("%s", (name, kind, command) => {
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ec-plain.pem");
    openssl("genrsa", "-out", "rsa-plain.pem", "2048");
    const key = join(scratch, `${name.replaceAll(/\W+/g, "-")}.pem`);
    openssl(...command, key);
    chmodSync(key, 0o600);
    const certificate = join(scratch, "openssl.crt");
    const subject = ["-subj", "/C=DE/O=Zürich/CN=Corporate CA", "-utf8", "-days", "9"];
    const usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"];
    const source = name.endsWith("parameters") ? key : `${kind}-plain.pem`;
    openssl("req", "-x509", "-new", "-key", source, ...subject, ...usage, "-out", certificate);
    const passphraseFile = name.endsWith("parameters") ? null : file("open sesame\n", 0o600);
    const ca = loadCa({ certificate, key, passphraseFile }, Date.now());
    expect(ca.warnings).toEqual([]);
    expect(ca.subject).toBe("C=DE, O=Zürich, CN=Corporate CA");
  });
});
