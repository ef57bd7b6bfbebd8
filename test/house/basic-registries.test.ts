import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { denialIn } from "../hostile/raw-guest.ts";
import { valuesOf } from "./support/recording.ts";
import { isPresent, run } from "./support/run.ts";
import { type Service, SERVICE, startService } from "./support/service.ts";

/**
 * Registries and repositories that want a user name and a password: npm with what it calls `_auth`, pip with a pair in its URL, a build
 * that asks as Maven does, and what would publish. Whatever a guest's settings say, the pair that arrives is custody's.
 */

const PASSWORD = "repository-password-c4e2";
const PAIR = `Basic ${Buffer.from(`reader:${PASSWORD}`).toString("base64")}`;
const GUEST_PAIR = Buffer.from("guest:made-up").toString("base64");

let service: Service;
/** Path to what is served there. */
const files = new Map<string, Buffer>();

beforeAll(async () => {
  service = await startService({
    demand: { in: "header", name: "authorization", value: PAIR },
    secret: PASSWORD,
    credential: { kind: "userpass", username: "reader" },
    destination: {
      attach: { as: "basic" },
      // Reading alone: who publishes has a destination of their own.
      allow: [{ methods: ["GET", "HEAD"], paths: ["/npm/**", "/simple/**", "/files/**", "/maven2/**"] }],
    },
    serve(request, response) {
      const body = files.get(request.url ?? "");
      const type = request.url?.startsWith("/simple/") === true ? "text/html" : "application/json";
      response.writeHead(body === undefined ? 404 : 200, { "content-type": type });
      response.end(body);
    },
  });
});

afterAll(() => service?.stop());

beforeEach(() => service.upstream.reset());

/** Every request that arrived brought the one pair, once. */
function mustHaveSeenItsPair(): void {
  expect(service.upstream.requests.length).toBeGreaterThan(0);
  for (const seen of service.upstream.requests) expect(valuesOf(seen, "authorization")).toEqual([PAIR]);
}

describe.skipIf(!isPresent("npm"))(`npm${isPresent("npm") ? "" : " (skipped: npm is absent)"}`, () => {
  beforeAll(async () => {
    const folder = join(service.directory, "sample", "package");
    await mkdir(folder, { recursive: true });
    const about = { name: "basic-sample", version: "1.2.3" };
    await writeFile(join(folder, "package.json"), JSON.stringify(about));
    const packed = await run("tar", ["-czf", "-", "package"], { cwd: dirname(folder) });
    if (packed.code !== 0) throw new Error(packed.stderr);
    const integrity = `sha512-${createHash("sha512").update(packed.stdoutBytes).digest("base64")}`;
    const tarball = "/npm/basic-sample/-/basic-sample-1.2.3.tgz";
    const version = { ...about, dist: { tarball: service.url(tarball), integrity } };
    const packument = { name: about.name, "dist-tags": { latest: "1.2.3" }, versions: { "1.2.3": version } };
    files.set(tarball, packed.stdoutBytes);
    files.set("/npm/basic-sample", Buffer.from(JSON.stringify(packument)));
  });

  const quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=0", "--ignore-scripts"];

  async function npm(folder: string, settings: readonly string[], ...args: string[]) {
    const cwd = join(service.directory, folder);
    await mkdir(cwd);
    await writeFile(join(cwd, "package.json"), '{ "name": "guest", "version": "1.0.0" }');
    const at = `//${SERVICE}:${service.upstream.port}/npm/:`;
    await writeFile(join(cwd, ".npmrc"), settings.map((line) => `${at}${line}\n`).join(""));
    const where = [`--registry=${service.url("/npm/")}`, `--cache=${join(cwd, "cache")}`];
    return { cwd, result: await run("npm", [...args, ...quiet, ...where], { cwd, env: await service.guestEnv() }) };
  }

  test.each([
    ["nothing", []],
    ["a pair that it made up", [`_auth=${GUEST_PAIR}`]],
    ["a user name and a password", ["username=guest", `_password=${Buffer.from("made-up").toString("base64")}`]],
  ])("installs with %s in its settings", async (name, settings) => {
    const { cwd, result } = await npm(`npm ${name}`.replaceAll(" ", "-"), settings, "install", "basic-sample");
    expect(result).toMatchObject({ code: 0 });
    expect(await readFile(join(cwd, "node_modules/basic-sample/package.json"), "utf8")).toContain("1.2.3");
    mustHaveSeenItsPair();
  });

  test("publishes nothing", async () => {
    const { result } = await npm("npm-publish", [`_auth=${GUEST_PAIR}`], "publish");
    expect(result.code).not.toBe(0);
    expect(result.stderr).toMatch(/403|E403|method_not_allowed/);
    expect(service.upstream.requests.filter(({ method }) => method !== "GET")).toEqual([]);
  });
});

const hasPip = isPresent("python3", ["-m", "pip", "--version"]);

describe.skipIf(!hasPip)(`pip${hasPip ? "" : " (skipped: pip is absent)"}`, () => {
  const WHEEL = "basic_sample-1.2.3-py3-none-any.whl";

  test("downloads with a pair in the URL of its index that it made up", async () => {
    const target = join(service.directory, "wheels");
    const made = await run("python3", ["-c", MAKE_WHEEL, join(service.directory, WHEEL)]);
    if (made.code !== 0) throw new Error(made.stderr);
    const wheel = await readFile(join(service.directory, WHEEL));
    const hash = createHash("sha256").update(wheel).digest("hex");
    const link = `<a href="/files/${WHEEL}#sha256=${hash}">${WHEEL}</a>`;
    files.set("/simple/basic-sample/", Buffer.from(`<!doctype html><body>${link}</body>`));
    files.set(`/files/${WHEEL}`, wheel);
    const index = service.url("/simple/").replace("https://", "https://guest:made-up@");
    const quiet = ["--no-cache-dir", "--disable-pip-version-check", "--no-input", "--retries", "0", "--no-deps"];
    const args = ["-m", "pip", "download", ...quiet, "--dest", target, "--index-url", index, "basic-sample"];
    const result = await run("python3", args, { env: await service.guestEnv({ PIP_CONFIG_FILE: "/dev/null" }) });
    expect(result).toMatchObject({ code: 0 });
    expect((await readFile(join(target, WHEEL))).equals(wheel)).toBe(true);
    mustHaveSeenItsPair();
  });
});

const noCurl = !isPresent("curl");

describe.skipIf(noCurl)(`curl${noCurl ? " (skipped: curl is absent)" : ""}`, () => {
  test.each([
    ["a path that is not for reading", "/legacy/", "path_not_allowed"],
    ["the index itself", "/simple/", "method_not_allowed"],
  ])("an upload as twine makes it, to %s, is refused by policy", async (_name, path, code) => {
    const form = [":action=file_upload", "protocol_version=1", "name=basic-sample", "version=9.9.9"];
    const fields = [...form, "content=@/dev/null;filename=basic_sample-9.9.9.tar.gz"].flatMap((one) => ["-F", one]);
    const args = ["-sS", "-D", "-", "-u", "__token__:pypi-made-up", ...fields, service.url(path)];
    const result = await run("curl", args, { env: await service.guestEnv() });
    expect(denialIn(result.stdout)).toBe(code);
    expect(service.upstream.requests).toEqual([]);
  });
});

const hasJava = isPresent("javac", ["-version"]) && isPresent("keytool", ["-help"]);

describe.skipIf(!hasJava)(`a build that asks as Maven does${hasJava ? "" : " (skipped: a JDK is absent)"}`, () => {
  const source = join(dirname(fileURLToPath(import.meta.url)), "clients", "Maven.java");

  beforeAll(async () => {
    const jar = randomBytes(300_000);
    const at = "/maven2/org/acme/lib";
    files.set(
      `${at}/maven-metadata.xml`,
      Buffer.from("<metadata><versioning><release>1.0</release></versioning></metadata>"),
    );
    files.set(`${at}/1.0/lib-1.0.pom`, Buffer.from("<project><artifactId>lib</artifactId></project>"));
    files.set(`${at}/1.0/lib-1.0.jar`, jar);
    files.set(`${at}/1.0/lib-1.0.jar.sha1`, Buffer.from(createHash("sha1").update(jar).digest("hex")));
    const ca = ["-alias", "edge", "-file", service.edge.ca.certificateFile];
    const trust = ["-keystore", join(service.directory, "trust.p12"), "-storetype", "PKCS12", "-storepass", "changeit"];
    const imported = await run("keytool", ["-importcert", "-noprompt", ...ca, ...trust]);
    const compiled = await run("javac", ["-d", service.directory, source]);
    if (imported.code !== 0 || compiled.code !== 0) throw new Error(imported.stderr + compiled.stderr);
  });

  test.each(["preemptive", "challenged"])("resolves with %s authentication, and deploys nothing", async (mode) => {
    const properties = [
      "-Dhttps.proxyHost=127.0.0.1",
      `-Dhttps.proxyPort=${service.edge.proxyPort}`,
      `-Djavax.net.ssl.trustStore=${join(service.directory, "trust.p12")}`,
      "-Djavax.net.ssl.trustStorePassword=changeit",
    ];
    const command = [...properties, "-cp", service.directory, "Maven", mode, service.url("")];
    const result = await run("java", command, { env: service.edge.guestEnv(), timeoutMs: 55_000 });
    // Nobody challenges a build whose requests arrive with the pair.
    expect(result.stdout.trimEnd().split("\n")).toEqual([
      "metadata true",
      "pom true",
      "jar true",
      "deploy 403 method_not_allowed",
      "asked 0",
    ]);
    expect(service.upstream.requests).toHaveLength(4);
    mustHaveSeenItsPair();
  });
});

/** A wheel (PEP 427). */
const MAKE_WHEEL = `
import sys, zipfile
info = "basic_sample-1.2.3.dist-info"
files = {
    "basic_sample.py": "installed = True\\n",
    info + "/METADATA": "Metadata-Version: 2.1\\nName: basic-sample\\nVersion: 1.2.3\\n",
    info + "/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
}
files[info + "/RECORD"] = "".join(name + ",,\\n" for name in [*files, info + "/RECORD"])
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    for name, text in files.items():
        wheel.writestr(name, text)
`;
