import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EDGE_NAME, ZONE } from "../wire/fixtures.ts";

/** Keys and certificates of one run, made by `openssl`. */
export interface Certificates {
  /** The customer's CA, EC P-256: what contenders mint leaves with and guests trust. */
  readonly ca: string;
  readonly caKey: string;
  /** RSA-2048 CA in the folder layout of http-mitm-proxy, whose X.509 library can load no EC key. */
  readonly rsaCaFolder: string;
  readonly rsaCa: string;
  /** What signed the upstream's certificate. */
  readonly upstreamCa: string;
  readonly upstream: string;
  readonly upstreamKey: string;
  /** What an edge shows to custody; signed as the upstream's, which serves as custody's own. */
  readonly edge: string;
  readonly edgeKey: string;
  /** Leaf and key in one file for a contender that mints none. */
  readonly fixedLeaf: string;
}

/** @throws Error when `openssl` is absent or fails */
export function makeCertificates(folder: string): Certificates {
  mkdirSync(folder, { recursive: true });
  const path = (name: string): string => join(folder, name);
  writeFileSync(path("openssl.cnf"), OPENSSL_CONFIG);

  const ca = makeCa(folder, "ca", EC);
  const rsa = makeCa(folder, "rsa-ca", RSA);
  const upstreamCa = makeCa(folder, "upstream-ca", EC);
  const upstream = makeLeaf(folder, "upstream", upstreamCa);
  const edge = makeLeaf(folder, "edge", upstreamCa, "client_leaf");
  const fixed = makeLeaf(folder, "fixed-leaf", ca);
  const fixedLeaf = path("fixed-leaf.pem");
  writeFileSync(fixedLeaf, openssl("x509", "-in", fixed.certificate) + openssl("pkey", "-in", fixed.key));

  return {
    ca: ca.certificate,
    caKey: ca.key,
    rsaCaFolder: makeMitmProxyFolder(path("http-mitm-proxy"), rsa),
    rsaCa: rsa.certificate,
    upstreamCa: upstreamCa.certificate,
    upstream: upstream.certificate,
    upstreamKey: upstream.key,
    edge: edge.certificate,
    edgeKey: edge.key,
    fixedLeaf,
  };
}

interface Pair {
  readonly certificate: string;
  readonly key: string;
}

const EC = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const RSA = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

function makeCa(folder: string, name: string, algorithm: readonly string[]): Pair {
  const pair = { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  openssl("genpkey", ...algorithm, "-out", pair.key);
  chmodSync(pair.key, 0o600);
  const subject = ["-subj", `/O=Postern bench/CN=${name}`, "-days", "30", "-sha256"];
  const config = ["-config", join(folder, "openssl.cnf"), "-extensions", "ca"];
  openssl("req", "-x509", "-new", "-key", pair.key, "-out", pair.certificate, ...subject, ...config);
  return pair;
}

function makeLeaf(folder: string, name: string, ca: Pair, extensions: "leaf" | "client_leaf" = "leaf"): Pair {
  const pair = { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  const request = join(folder, `${name}.csr`);
  const config = join(folder, "openssl.cnf");
  openssl("genpkey", ...EC, "-out", pair.key);
  chmodSync(pair.key, 0o600);
  openssl("req", "-new", "-key", pair.key, "-subj", `/CN=${ZONE}`, "-config", config, "-out", request);
  const signer = ["-CA", ca.certificate, "-CAkey", ca.key, "-set_serial", "1000", "-days", "30", "-sha256"];
  openssl(
    "x509",
    "-req",
    "-in",
    request,
    "-out",
    pair.certificate,
    ...signer,
    "-extfile",
    config,
    "-extensions",
    extensions,
  );
  return pair;
}

function makeMitmProxyFolder(folder: string, rsa: Pair): string {
  mkdirSync(join(folder, "certs"), { recursive: true });
  mkdirSync(join(folder, "keys"), { recursive: true });
  copyFileSync(rsa.certificate, join(folder, "certs", "ca.pem"));
  // The library reads PKCS #1 ("RSA PRIVATE KEY").
  writeFileSync(join(folder, "keys", "ca.private.key"), openssl("rsa", "-in", rsa.key, "-traditional"), {
    mode: 0o600,
  });
  writeFileSync(join(folder, "keys", "ca.public.key"), openssl("pkey", "-in", rsa.key, "-pubout"));
  return folder;
}

function openssl(...args: string[]): string {
  return execFileSync("openssl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 30_000 });
}

const OPENSSL_CONFIG = `
[req]
distinguished_name = subject
prompt = no
[subject]
CN = bench
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:*.${ZONE}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[client_leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = DNS:${EDGE_NAME}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
`;
