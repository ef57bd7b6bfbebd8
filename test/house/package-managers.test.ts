import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { valuesOf } from "./support/recording.ts";
import { isPresent, run, type RunResult } from "./support/run.ts";
import { DOWN, type Service, SERVICE, startService } from "./support/service.ts";

/** npm and pip with what `postern guest-env` prints, from private registries whose token only the edge has. */

const TOKEN = "registry-token-51fe0c";

describe.skipIf(!isPresent("npm"))(`npm${isPresent("npm") ? "" : " (skipped: npm is absent)"}`, () => {
  let registry: Service;
  /** Path to what is served there; filled once the tarballs are made. */
  const files = new Map<string, { readonly type: string; readonly body: Buffer }>();

  beforeAll(async () => {
    registry = await startService({
      demand: { in: "header", name: "authorization", value: `Bearer ${TOKEN}` },
      secret: TOKEN,
      destination: { attach: { as: "bearer" } },
      serve(request, response) {
        const file = files.get(request.url ?? "");
        response.writeHead(file === undefined ? 404 : 200, { "content-type": file?.type ?? "application/json" });
        response.end(file?.body ?? "{}");
      },
    });
    await publish("plain-sample", { dependencies: { "@acme/inner": "^1.0.0" } });
    await publish("@acme/inner", {});
  });

  afterAll(() => registry?.stop());

  beforeEach(() => registry.upstream.reset());

  /** Makes a tarball as npm does and serves it with its packument. */
  async function publish(name: string, more: Readonly<Record<string, unknown>>): Promise<void> {
    const manifest = { name, version: "1.2.3", main: "index.js", ...more };
    const folder = join(registry.directory, encodeURIComponent(name), "package");
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "package.json"), JSON.stringify(manifest));
    await writeFile(
      join(folder, "index.js"),
      `module.exports = ${JSON.stringify(name)};\n`.padEnd(300_000, "// more\n"),
    );
    const packed = await run("tar", ["-czf", "-", "package"], { cwd: join(folder, "..") });
    if (packed.code !== 0) throw new Error(packed.stderr);
    const body = packed.stdoutBytes;
    const path = `/${name}/-/${name.split("/").at(-1)}-1.2.3.tgz`;
    const integrity = `sha512-${createHash("sha512").update(body).digest("base64")}`;
    const version = { ...manifest, dist: { tarball: registry.url(path), integrity } };
    const packument = { name, "dist-tags": { latest: "1.2.3" }, versions: { "1.2.3": version } };
    files.set(path, { type: "application/octet-stream", body });
    files.set(`/${name.replace("/", "%2f")}`, {
      type: "application/json",
      body: Buffer.from(JSON.stringify(packument)),
    });
  }

  async function install(folder: string, from: string, npmrc: string): Promise<RunResult> {
    const cwd = join(registry.directory, folder);
    await mkdir(cwd);
    await writeFile(join(cwd, "package.json"), '{ "name": "guest", "private": true }');
    await writeFile(join(cwd, ".npmrc"), npmrc);
    const quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=0", "--ignore-scripts"];
    const where = [`--registry=${from}`, `--cache=${join(cwd, "cache")}`];
    return run("npm", ["install", ...quiet, ...where, "plain-sample"], {
      cwd,
      env: await registry.guestEnv(),
      timeoutMs: 50_000,
    });
  }

  test.each([
    ["without any token", () => ""],
    ["with a stand-in for it", () => `//${SERVICE}:${registry.upstream.port}/:_authToken=postern-stand-in\n`],
  ])("installs a package and a scoped one that it needs, %s", async (name, npmrc) => {
    const result = await install(name.replaceAll(" ", "-"), registry.url("/"), npmrc());
    expect(result).toMatchObject({ code: 0 });
    const inner = join(registry.directory, name.replaceAll(" ", "-"), "node_modules/@acme/inner");
    expect(await readFile(join(inner, "index.js"), "utf8")).toMatch(/^module\.exports = "@acme\/inner";\n/);
    expect(registry.upstream.requests.map(({ url }) => url).sort()).toEqual([...files.keys()].sort());
    for (const seen of registry.upstream.requests) expect(valuesOf(seen, "authorization")).toEqual([`Bearer ${TOKEN}`]);
  });

  test("is told 503 when custody is down, and the registry hears nothing", async () => {
    const result = await install("down", registry.url("/", DOWN), "");
    expect(result.code).not.toBe(0);
    expect(result.stderr).toMatch(/503|E503/);
    expect(registry.upstream.connections).toBe(0);
  });
});

const hasPip = isPresent("python3", ["-m", "pip", "--version"]);

describe.skipIf(!hasPip)(`pip${hasPip ? "" : " (skipped: pip is absent)"}`, () => {
  let index: Service;
  const WHEEL = "postern_sample-1.2.3-py3-none-any.whl";
  const PASSWORD = "index-password-9a8b";

  beforeAll(async () => {
    let wheel = Buffer.alloc(0);
    index = await startService({
      demand: {
        in: "header",
        name: "authorization",
        value: `Basic ${Buffer.from(`reader:${PASSWORD}`).toString("base64")}`,
      },
      secret: PASSWORD,
      credential: { kind: "userpass", username: "reader" },
      destination: { attach: { as: "basic" } },
      serve(request, response) {
        const hash = createHash("sha256").update(wheel).digest("hex");
        if (request.url === "/simple/postern-sample/") {
          response.writeHead(200, { "content-type": "text/html" });
          response.end(`<!doctype html><body><a href="/files/${WHEEL}#sha256=${hash}">${WHEEL}</a></body>`);
        } else if (request.url === `/files/${WHEEL}`) {
          response.writeHead(200, { "content-type": "application/octet-stream", "content-length": wheel.length });
          response.end(wheel);
        } else response.writeHead(404).end();
      },
    });
    const file = join(index.directory, WHEEL);
    const made = await run("python3", ["-c", MAKE_WHEEL, file]);
    if (made.code !== 0) throw new Error(made.stderr);
    wheel = await readFile(file);
  });

  afterAll(() => index?.stop());

  beforeEach(() => index.upstream.reset());

  async function install(target: string, from: string): Promise<RunResult> {
    const quiet = ["--no-cache-dir", "--disable-pip-version-check", "--no-input", "--retries", "0", "--no-deps"];
    const args = ["install", ...quiet, "--target", target, "--index-url", from, "postern-sample"];
    const env = await index.guestEnv({ PIP_CONFIG_FILE: "/dev/null" });
    return run("python3", ["-m", "pip", ...args], { env, timeoutMs: 50_000 });
  }

  test("installs a wheel", async () => {
    const target = join(index.directory, "target");
    expect(await install(target, index.url("/simple/"))).toMatchObject({ code: 0 });
    expect(await readFile(join(target, "postern_sample.py"), "utf8")).toContain("installed = True");
    expect(index.upstream.requests.map(({ url }) => url)).toEqual(["/simple/postern-sample/", `/files/${WHEEL}`]);
    expect(index.upstream.credentialless()).toBe(0);
  });

  test("is told 503 when custody is down, and the index hears nothing", async () => {
    const result = await install(join(index.directory, "nothing"), index.url("/simple/", DOWN));
    expect(result.code).not.toBe(0);
    expect(result.stdout + result.stderr).toMatch(/503|No matching distribution/);
    expect(index.upstream.connections).toBe(0);
  });
});

/** A wheel (PEP 427) of 300 kB. */
const MAKE_WHEEL = `
import sys, zipfile
info = "postern_sample-1.2.3.dist-info"
files = {
    "postern_sample.py": "installed = True\\n" + "# more\\n" * 40000,
    info + "/METADATA": "Metadata-Version: 2.1\\nName: postern-sample\\nVersion: 1.2.3\\n",
    info + "/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
}
files[info + "/RECORD"] = "".join(name + ",,\\n" for name in [*files, info + "/RECORD"])
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    for name, text in files.items():
        wheel.writestr(name, text)
`;
