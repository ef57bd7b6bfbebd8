import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { run } from "./run.ts";

/** A CA of one test, made by OpenSSL: a second opinion beside the house's own minting. */
export interface TestCa {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** PEM */
  readonly certificate: string;
  /** Issues a server (and client) certificate for the names and addresses. */
  issue(names: readonly string[], options?: IssueOptions): Promise<TestLeaf>;
}

export interface TestLeaf {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** PEM, leaf alone */
  readonly certificate: string;
  /** PEM */
  readonly key: string;
}

export interface IssueOptions {
  readonly days?: number;
  readonly extendedKeyUsage?: string;
}

/** @param directory is made when absent and holds every file of the CA */
export async function makeCa(directory: string, name = "Postern test CA"): Promise<TestCa> {
  await mkdir(directory, { recursive: true });
  const certificateFile = join(directory, "ca.crt");
  const keyFile = join(directory, "ca.key");
  const config = join(directory, "ca.cnf");
  await writeFile(config, CA_CONFIG);
  const subject = ["-subj", `/CN=${name}`, "-config", config];
  await openssl("req", "-x509", "-sha256", ...NEW_KEY, keyFile, "-out", certificateFile, "-days", "30", ...subject);
  await chmod(keyFile, 0o600);
  let issued = 0;
  return {
    certificateFile,
    keyFile,
    certificate: await readFile(certificateFile, "utf8"),
    issue: (names, options = {}) => issue(directory, `leaf-${issued++}`, names, options),
  };
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout"] as const;

/** Spelled out, so that no system's openssl.cnf has a say. */
const CA_CONFIG = `[req]
distinguished_name = dn
x509_extensions = ca
[dn]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
`;

async function issue(
  directory: string,
  stem: string,
  names: readonly string[],
  { days = 30, extendedKeyUsage = "serverAuth, clientAuth" }: IssueOptions,
): Promise<TestLeaf> {
  const at = (suffix: string): string => join(directory, `${stem}.${suffix}`);
  const san = names.map((name) => `${isIP(name) === 0 ? "DNS" : "IP"}:${name}`).join(", ");
  const extensions = `basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = ${extendedKeyUsage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = ${san}
`;
  await writeFile(at("ext"), extensions);
  const config = join(directory, "ca.cnf");
  const request = ["-out", at("csr"), "-subj", "/CN=leaf", "-config", config];
  await openssl("req", "-new", "-sha256", ...NEW_KEY, at("key"), ...request);
  // Not counted in a file: two leaves may be issued at once.
  const serial = ["-set_serial", `0x${randomBytes(8).toString("hex")}`];
  const signer = ["-CA", join(directory, "ca.crt"), "-CAkey", join(directory, "ca.key"), ...serial];
  const validity = ["-days", String(days), "-extfile", at("ext")];
  await openssl("x509", "-req", "-sha256", "-in", at("csr"), ...signer, ...validity, "-out", at("crt"));
  return {
    certificateFile: at("crt"),
    keyFile: at("key"),
    certificate: await readFile(at("crt"), "utf8"),
    key: await readFile(at("key"), "utf8"),
  };
}

async function openssl(...args: string[]): Promise<void> {
  const result = await run("openssl", args, { timeoutMs: 20_000 });
  if (result.code !== 0) throw new Error(`openssl ${args.join(" ")}\n${result.stderr}`);
}
