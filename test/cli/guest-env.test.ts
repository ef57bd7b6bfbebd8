import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { DEFAULT_NO_PROXY, GUEST_FILES, guestEnv, type GuestEnvOptions } from "../../src/cli/guest-env.ts";
import { parseProxyUrl } from "../../src/cli/guest-env/proxy-url.ts";
import { GUEST_FORMATS, renderVariables, shellWord } from "../../src/cli/guest-env/render.ts";
import { certificatesOf, joinRoots, toBundle } from "../../src/cli/guest-env/roots.ts";
import { GUEST_VARIABLES, guestVariables, JAVA_VARIABLE } from "../../src/cli/guest-env/variables.ts";
import { makeCa, type TestCa } from "../house/support/certificates.ts";
import { bareEnv, isPresent, run } from "../house/support/run.ts";

let directory = "";
let ca: TestCa;
let out = "";
let count = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-guest-env-"));
  ca = await makeCa(join(directory, "ca"));
});

beforeEach(() => {
  out = join(directory, `out-${count++}`);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

function options(more: Partial<GuestEnvOptions> = {}): GuestEnvOptions {
  return {
    format: "json",
    proxy: "http://edge.internal:3128",
    caFile: ca.certificateFile,
    outDir: out,
    bundleFile: null,
    guestDir: null,
    systemRootsFile: null,
    noProxy: DEFAULT_NO_PROXY,
    java: false,
    ...more,
  };
}

async function asJson(
  more: Partial<GuestEnvOptions> = {},
): Promise<{ env: Record<string, string>; files: Record<string, string> }> {
  const { text } = await guestEnv(options({ ...more, format: "json" }));
  return JSON.parse(text) as { env: Record<string, string>; files: Record<string, string> };
}

describe("the table", () => {
  const names = GUEST_VARIABLES.map(({ name }) => name);

  test("names each variable once", () => {
    expect(names).toEqual([...new Set(names)]);
  });

  test("holds every variable that a measured client depends on", () => {
    expect(names).toEqual(
      expect.arrayContaining(
        `HTTP_PROXY http_proxy HTTPS_PROXY https_proxy ALL_PROXY all_proxy NO_PROXY no_proxy NODE_EXTRA_CA_CERTS
        NODE_USE_ENV_PROXY SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO PIP_CERT CARGO_HTTP_CAINFO
        DENO_CERT GRPC_DEFAULT_SSL_ROOTS_FILE_PATH YARN_HTTP_PROXY YARN_HTTPS_PROXY YARN_HTTPS_CA_FILE_PATH
        npm_config_https_proxy npm_config_cafile CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE`.split(/\s+/),
      ),
    );
  });

  test("never turns verification off, and leaves out what breaks clients", () => {
    for (const name of ["AWS_CA_BUNDLE", "NODE_TLS_REJECT_UNAUTHORIZED", "GIT_SSL_NO_VERIFY", "grpc_proxy"])
      expect(names).not.toContain(name);
  });

  test("gives the bundle to what replaces roots and the CA to what adds to them", () => {
    for (const { roots, value } of GUEST_VARIABLES) {
      if (roots === "replaces") expect(value).toBe("bundle");
      else if (roots === "adds") expect(value).toBe("ca");
      else expect(["proxy", "no_proxy", "object"]).toContain(typeof value === "object" ? "object" : value);
    }
    expect(JAVA_VARIABLE.roots).toBe("replaces");
  });

  const git = isPresent("git");
  test.skipIf(!git)(`keeps git from HTTP/2${git ? "" : " (skipped: git is absent)"}`, async () => {
    const { env } = await asJson();
    const told = await run("git", ["config", "http.version"], { env: { ...env, ...bareEnv(directory) } });
    expect(told).toMatchObject({ code: 0, stdout: "HTTP/1.1\n" });
  });

  test("says who needs each", () => {
    for (const { neededBy } of GUEST_VARIABLES) expect(neededBy.length).toBeGreaterThan(2);
  });
});

describe("the files", () => {
  test("the CA file holds the CA alone", async () => {
    const { files } = await asJson();
    const found = certificatesOf(await readFile(files["ca"]!, "utf8"), "ca");
    expect(found.map(({ fingerprint256 }) => fingerprint256)).toEqual([
      new X509Certificate(ca.certificate).fingerprint256,
    ]);
  });

  test("the bundle holds the system's roots and the CA, each once", async () => {
    const system = join(directory, "system.pem");
    const other = await makeCa(join(directory, "other"));
    await writeFile(system, `${other.certificate}${ca.certificate}${other.certificate}`);
    const { files } = await asJson({ systemRootsFile: system });
    const found = certificatesOf(await readFile(files["bundle"]!, "utf8"), "bundle");
    expect(found.map(({ fingerprint256 }) => fingerprint256)).toEqual(
      [other, ca].map(({ certificate }) => new X509Certificate(certificate).fingerprint256),
    );
  });

  test("without a chosen file the bundle keeps the roots of this system", async () => {
    const { files } = await asJson();
    const found = certificatesOf(await readFile(files["bundle"]!, "utf8"), "bundle");
    expect(found.length).toBeGreaterThan(50);
    expect(found.at(-1)?.fingerprint256).toBe(new X509Certificate(ca.certificate).fingerprint256);
  });

  test("a key beside the CA never reaches a guest", async () => {
    const combined = join(directory, "combined.pem");
    await writeFile(combined, `${await readFile(ca.keyFile, "utf8")}${ca.certificate}`);
    await guestEnv(options({ caFile: combined, java: true }));
    for (const file of await readdir(out)) {
      expect(await readFile(join(out, file), "latin1")).not.toContain("PRIVATE KEY");
    }
  });

  test("are readable by every user whatever the umask, and leave no draft behind", async () => {
    const before = process.umask(0o077);
    await guestEnv(options({ java: true }));
    process.umask(before);
    const files = await readdir(out);
    expect(files.toSorted()).toEqual(Object.values(GUEST_FILES).toSorted());
    for (const file of files) expect((await stat(join(out, file))).mode & 0o777).toBe(0o644);
  });

  test("are written again over the former ones", async () => {
    await guestEnv(options());
    await writeFile(join(out, GUEST_FILES.ca), "stale");
    await guestEnv(options());
    expect(await readFile(join(out, GUEST_FILES.ca), "utf8")).toContain("BEGIN CERTIFICATE");
  });

  test("stand beside the CA when no directory is given", async () => {
    const { files } = await asJson({ outDir: null });
    expect(files["bundle"]).toBe(join(directory, "ca", GUEST_FILES.bundle));
  });

  test("the bundle goes where it is told", async () => {
    const bundleFile = join(directory, "elsewhere.pem");
    const { env } = await asJson({ bundleFile, guestDir: "/etc/postern" });
    expect(env["SSL_CERT_FILE"]).toBe(bundleFile);
    expect(env["NODE_EXTRA_CA_CERTS"]).toBe("/etc/postern/postern-ca.pem");
  });

  test("are named as the guest sees them", async () => {
    const { env } = await asJson({ guestDir: "/etc/postern", java: true });
    expect(env["SSL_CERT_FILE"]).toBe("/etc/postern/postern-bundle.pem");
    expect(env["JAVA_TOOL_OPTIONS"]).toContain("-Djavax.net.ssl.trustStore=/etc/postern/postern-trust.p12");
  });
});

describe("errors end in a next step", () => {
  test.each([
    [
      "a CA that does not exist",
      { caFile: "/no/such/ca.pem" },
      /does not exist: name a PEM file with --ca, or make a CA/,
    ],
    ["roots that do not exist", { systemRootsFile: "/no/such/roots.pem" }, /name a PEM file with --system-roots$/],
    ["a proxy without its scheme", { proxy: "edge:3128" }, /needs its scheme: write it as http:\/\//],
    ["a SOCKS proxy without names", { proxy: "socks5://edge:1080" }, /has guests resolve names themselves: write/],
    ["a proxy of another kind", { proxy: "ftp://edge:21" }, /needs its scheme: write/],
    ["Java over TLS", { proxy: "https://edge:3129", java: true }, /takes no proxy at https:\/\/: give such guests/],
    ["Java over SOCKS", { proxy: "socks5h://edge:1080", java: true }, /takes no proxy at socks5h:\/\/: give such/],
    ["a proxy with a path", { proxy: "http://edge:3128/x" }, /has a path: write/],
    ["a proxy with a line break", { proxy: "http://edge:3128\nX=y" }, /holds a blank: write/],
    ["a directory that is a file", { outDir: "/dev/null/x" }, /cannot make \/dev\/null\/x .*: choose a directory/],
  ])("%s", async (_, more, message) => {
    await expect(guestEnv(options(more))).rejects.toThrow(message);
  });

  test("a file without a certificate", async () => {
    await expect(guestEnv(options({ caFile: ca.keyFile }))).rejects.toThrow(/holds no certificate: name the PEM file/);
  });

  test("a certificate that is cut off", async () => {
    const cut = join(directory, "cut.pem");
    await writeFile(cut, ca.certificate.slice(0, 200));
    await expect(guestEnv(options({ caFile: cut }))).rejects.toThrow(/cut off in the middle of a PEM block/);
    await writeFile(cut, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    await expect(guestEnv(options({ caFile: cut }))).rejects.toThrow(/certificate 1 of .* cannot be read/);
  });

  test("a place that cannot be written to", async () => {
    const bundleFile = "/no/such/directory/bundle.pem";
    await expect(guestEnv(options({ bundleFile }))).rejects.toThrow(/cannot write .*: choose a directory/);
  });
});

describe("the proxy URL", () => {
  test.each([
    ["http://127.0.0.1:3128", "http://127.0.0.1:3128", "127.0.0.1", 3128],
    ["http://EDGE:3128/", "http://edge:3128", "edge", 3128],
    ["http://edge", "http://edge:80", "edge", 80],
    ["http://[::1]:3128", "http://[::1]:3128", "::1", 3128],
    ["https://EDGE:3129/", "https://edge:3129", "edge", 3129],
    ["https://edge", "https://edge:443", "edge", 443],
    ["socks5h://EDGE:80", "socks5h://edge:80", "edge", 80],
    ["socks5h://u:p@[::1]", "socks5h://u:p@[::1]:1080", "::1", 1080],
    ["http://sandbox:to%20ken@edge:8080", "http://sandbox:to%20ken@edge:8080", "edge", 8080],
  ])("%s", (text, canonical, host, port) => {
    expect(parseProxyUrl(text)).toMatchObject({ text: canonical, host, port });
  });
});

describe("sh", () => {
  test("a real shell reads back every variable", async () => {
    const odd = join(directory, 'it\'s a "dir" $HOME `x` \\ * é');
    const { text } = await guestEnv(options({ format: "sh", outDir: odd }));
    const { env } = await asJson({ outDir: odd });
    const printed = execFileSync("sh", ["-c", `eval "$1" && env -0`, "sh", text], { env: { PATH: "/usr/bin:/bin" } });
    const seen = Object.fromEntries(
      printed
        .toString("utf8")
        .split("\0")
        .map((line) => line.split(/=(.*)/s) as [string, string]),
    );
    expect(seen).toMatchObject(env);
    expect(Object.keys(env)).toHaveLength(GUEST_VARIABLES.length);
  });

  test("quotes any text so that a real shell gives it back", () => {
    const texts = fc.sample(
      fc.string({ unit: "grapheme" }).filter((text) => !/\p{Cc}/u.test(text)),
      300,
    );
    const script = texts.map((text) => `printf '%s\\0' ${shellWord(text)}\n`).join("");
    const printed = execFileSync("sh", ["-c", script], { env: { LANG: "C.UTF-8" } }).toString("utf8");
    expect(printed.split("\0").slice(0, -1)).toEqual(texts);
  });
});

describe("docker and github", () => {
  test.each(["docker", "github"] as const)("%s takes a value to the end of its line, unquoted", async (format) => {
    const { text } = await guestEnv(options({ format, java: true, guestDir: "/etc/it's here" }));
    const { env } = await asJson({ java: true, guestDir: "/etc/it's here" });
    const read = text
      .split("\n")
      .slice(0, -1)
      .map((line) => line.split(/=(.*)/s).slice(0, 2));
    expect(Object.fromEntries(read)).toEqual(env);
  });

  test.each(GUEST_FORMATS)("%s refuses a value that could smuggle a line in", (format) => {
    const variables = [{ name: "X", value: "a\nPATH=/evil", neededBy: "nobody" }];
    expect(() => renderVariables(format, variables, {})).toThrow(/the value of X holds a control character/);
  });
});

describe("notes", () => {
  test("name what no variable reaches", async () => {
    const { notes } = await guestEnv(options());
    expect(notes.join("\n")).toMatch(/update-ca-certificates[\s\S]*certutil[\s\S]*--java/);
  });
});

describe("JAVA_TOOL_OPTIONS", () => {
  const view = {
    proxy: parseProxyUrl("http://edge:3128"),
    noProxy: ["localhost", "127.0.0.1", "::1", ".corp.example"],
    caFile: "/ca.pem",
    bundleFile: "/bundle.pem",
    trustStore: { file: "/with blank/trust.p12", password: "changeit" },
  };
  const value = guestVariables(view).at(-1)?.[1] ?? "";

  test("only when it was asked for", async () => {
    expect((await asJson()).env).not.toHaveProperty("JAVA_TOOL_OPTIONS");
  });

  test("speaks java.net's notation", () => {
    expect(value).toContain("-Dhttps.proxyHost=edge -Dhttps.proxyPort=3128");
    expect(value).toContain("-Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1]|*.corp.example");
    expect(value).toContain(`"-Djavax.net.ssl.trustStore=/with blank/trust.p12"`);
  });
});

const java = isPresent("java", ["-version"]);
describe.skipIf(!java)(`a real JVM${java ? "" : " (skipped: java is absent)"}`, () => {
  test("reads the trust store and finds every certificate trusted", async () => {
    const { files } = await asJson({ java: true });
    const args = ["-J-Dfile.encoding=UTF-8", "-list", "-keystore", files["java"]!, "-storepass", "changeit"];
    const keytool = await run("keytool", args, { env: bareEnv(directory) });
    expect(keytool.stdout).toContain("trustedCertEntry");
    const bundle = certificatesOf(await readFile(files["bundle"]!, "utf8"), "bundle");
    expect(keytool.stdout.match(/trustedCertEntry/g)).toHaveLength(bundle.length);
  });

  test("takes proxy and trust from JAVA_TOOL_OPTIONS, blanks in paths included", async () => {
    const { env } = await asJson({ java: true, outDir: join(directory, "java 'quoted' dir") });
    const source = join(directory, "Probe.java");
    await writeFile(source, PROBE);
    const result = await run("java", [source], {
      env: { ...bareEnv(directory), JAVA_TOOL_OPTIONS: env["JAVA_TOOL_OPTIONS"]! },
      timeoutMs: 60_000,
    });
    expect(result.stderr).toContain("Picked up JAVA_TOOL_OPTIONS");
    expect(result.stdout.trim().split("\n")).toEqual(["HTTP @ edge.internal", "DIRECT", "trusts the test CA"]);
  });
});

const PROBE = `
import java.net.*;
import java.util.*;
import javax.net.ssl.*;
import java.security.KeyStore;
import java.security.cert.X509Certificate;
public class Probe {
  public static void main(String[] a) throws Exception {
    Proxy p = ProxySelector.getDefault().select(new URI("https://api.example.com/")).get(0);
    System.out.println(p.type() + " @ " + ((InetSocketAddress) p.address()).getHostString());
    System.out.println(ProxySelector.getDefault().select(new URI("http://localhost:1/")).get(0).type());
    TrustManagerFactory f = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    f.init((KeyStore) null);
    for (X509Certificate c : ((X509TrustManager) f.getTrustManagers()[0]).getAcceptedIssuers())
      if (c.getSubjectX500Principal().getName().contains("Postern test CA")) System.out.println("trusts the test CA");
  }
}
`;

describe("roots", () => {
  test("a bundle reads back as the same certificates", async () => {
    const leaf = await ca.issue(["xn--bcher-kva.example"]);
    const certificates = [new X509Certificate(ca.certificate), new X509Certificate(leaf.certificate)];
    const again = certificatesOf(toBundle(certificates), "bundle");
    expect(again.map(({ raw }) => raw)).toEqual(certificates.map(({ raw }) => raw));
    expect(joinRoots(again, certificates)).toHaveLength(2);
  });
});

describe("the command", () => {
  const main = join(import.meta.dirname, "../../src/main.ts");
  const postern = (...args: string[]): ReturnType<typeof run> =>
    run(process.execPath, [main, "guest-env", ...args], { env: bareEnv(directory), cwd: directory });

  test("takes the proxy and the CA from the config", async () => {
    const config = {
      listeners: [
        { name: "socket", address: "unix:guests.sock", session: { mode: "open", id: "a" } },
        { name: "guests", address: "127.0.0.1:3128", session: { mode: "open" } },
      ],
      ca: { certificate: ca.certificateFile, key: ca.keyFile },
      audit: { file: "audit.jsonl" },
    };
    await writeFile(join(directory, "postern.yaml"), JSON.stringify(config));
    const result = await postern("--format", "json", "--out", out, "--direct", "localhost, .corp.example");
    expect(result.code).toBe(0);
    const { env } = JSON.parse(result.stdout) as { env: Record<string, string> };
    expect(env).toMatchObject({ HTTPS_PROXY: "http://127.0.0.1:3128", NO_PROXY: "localhost,.corp.example" });
    expect(env["SSL_CERT_FILE"]).toBe(join(out, GUEST_FILES.bundle));
    expect(result.stderr).toMatch(/^note: wget/);
  });

  test.each([
    [
      "https",
      { tls: { certificate: "edge.crt", key: "edge.key" } },
      /host of the proxy URL[^]*gRPC and Java speak to no/,
    ],
    ["socks5h", { protocol: "socks5" }, /not every client speaks SOCKS5: Node and gRPC do not/],
  ])("says %s:// where the listener speaks it, and passes one for a balancer by", async (scheme, way, note) => {
    const session = (id: string): object => ({ mode: "open", id });
    const config = {
      listeners: [
        { name: "behind", address: "127.0.0.1:3127", proxy_protocol: { from: ["127.0.0.9"] }, session: session("a") },
        { name: "guests", address: "127.0.0.1:3129", ...way, session: session("b") },
      ],
      audit: { file: "audit.jsonl" },
    };
    await writeFile(join(directory, "postern.yaml"), JSON.stringify(config));
    const result = await postern("--format", "json", "--out", out, "--ca", ca.certificateFile);
    expect(result.code).toBe(0);
    const { env } = JSON.parse(result.stdout) as { env: Record<string, string> };
    expect(env).toMatchObject({ HTTPS_PROXY: `${scheme}://127.0.0.1:3129`, http_proxy: `${scheme}://127.0.0.1:3129` });
    expect(result.stderr).toMatch(note);
  });

  test("says of each listener why guests cannot be given it, and asks for what the first one speaks", async () => {
    const session = (id: string): object => ({ mode: "listener", tenant: "t", id });
    const config = {
      listeners: [
        { name: "file", address: "unix:guests.sock", protocol: "socks5", session: session("a") },
        { name: "behind", address: "127.0.0.1:3127", proxy_protocol: { from: ["127.0.0.9"] }, session: session("b") },
        { name: "all", address: "0.0.0.0:3128", session: session("c") },
        { name: "some", address: "127.0.0.1:0", session: session("d") },
      ],
      audit: { file: "audit.jsonl" },
    };
    await writeFile(join(directory, "postern.yaml"), JSON.stringify(config));
    const result = await postern("--out", out, "--ca", ca.certificateFile);
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toContain(
      "(file: a unix socket; behind: guests come through a balancer; all: every address of this machine; " +
        "some: a port that is yet to be chosen): write --proxy socks5h://HOST:PORT",
    );
  });

  test("needs no config when the command line says all", async () => {
    const args = ["--config", "/no/such.yaml", "--proxy", "http://edge:3128", "--ca", ca.certificateFile, "--out", out];
    const result = await postern(...args);
    expect(result.code).toBe(0);
    expect(result.stdout).toMatch(/^export HTTP_PROXY='http:\/\/edge:3128'\n/);
  });

  test.each([
    [["--config", "/no/such.yaml"], /no such file/],
    [["--format", "xml"], /choices are sh, docker, github, json/],
    [["--proxy", "edge:3128", "--ca", "ca/ca.crt"], /needs its scheme/],
    [["--proxy", "http://edge:1", "--ca", "nowhere.pem"], /nowhere.pem does not exist/],
  ])("ends with exit code 2 and the next step: %j", async (args, message) => {
    const result = await postern(...args);
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toMatch(message);
  });
});
