import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type House, startHouse, WAYS } from "./support/house.ts";
import { makeRepository } from "./support/git-backend.ts";
import { root } from "./support/postern-process.ts";
import { bareEnv, isPresent, run, type RunResult } from "./support/run.ts";

/** `eval "$(postern guest-env)"` is all that a guest's shell is told; then its programs work. */

let house: House;
let gitRoot = "";
let variables = "";

beforeAll(async () => {
  gitRoot = await mkdtemp(join(tmpdir(), "postern-repositories-"));
  await makeRepository(gitRoot, "sample");
  house = await startHouse({ gitRoot });
  variables = await printVariables();
});

afterAll(async () => {
  await house?.stop();
  await rm(gitRoot, { recursive: true, force: true });
});

beforeEach(() => house.reset());

/** What `postern guest-env` printed. */
async function printVariables(): Promise<string> {
  const command = [join(root, "src/main.ts"), "guest-env", "--config", house.edge.configFile];
  const out = ["--out", join(house.directory, "guest")];
  const printed = await run(process.execPath, [...command, ...out], { env: bareEnv(house.directory) });
  if (printed.code !== 0) throw new Error(printed.stderr);
  return printed.stdout;
}

/** Runs a shell line as a guest that was given the printed variables and nothing else. */
function guest(line: string): Promise<RunResult> {
  // git asks nobody for a password in a test.
  const env = { ...bareEnv(house.directory), PRINTED: variables, GIT_TERMINAL_PROMPT: "0" };
  return run("sh", ["-c", `eval "$PRINTED" && ${line}`], { env });
}

const python = "import urllib.request, sys; print(urllib.request.urlopen(sys.argv[1]).read().decode())";
const requests = "import requests, sys; print(requests.get(sys.argv[1]).text)";
const node = "fetch(process.argv[1]).then((response) => response.text()).then(console.log)";
const absent = (program: string, args?: string[]): string | null =>
  isPresent(program, args) ? null : `${program} is absent`;

const PROGRAMS: readonly (readonly [string, (url: string) => string, string | null])[] = [
  ["curl", (url) => `curl -sS ${url}`, absent("curl")],
  ["Node's fetch", (url) => `'${process.execPath}' -e '${node}' ${url}`, null],
  ["Python's urllib", (url) => `python3 -c '${python}' ${url}`, absent("python3")],
  ["Python's requests", (url) => `python3 -c '${requests}' ${url}`, absent("python3", ["-c", "import requests"])],
  // GnuTLS reads the system's store and no variable: an image installs the CA there, a test names the bundle.
  ["wget", (url) => `wget -q -O - --ca-certificate="$SSL_CERT_FILE" ${url}`, absent("wget")],
];

describe.each(WAYS)("%s", (way) => {
  for (const [name, line, missing] of PROGRAMS) {
    test.skipIf(missing !== null)(`${name}${missing === null ? "" : ` (skipped: ${missing})`}`, async () => {
      const result = await guest(line(house.url(way, "/hello")));
      expect(result).toMatchObject({ code: 0 });
      expect(JSON.parse(result.stdout)).toEqual({ method: "GET", url: "/hello", credential: "seen" });
    });
  }
});

test("git, and not over HTTP/2, where Debian 12's hangs", async () => {
  const result = await guest(`GIT_TRACE_CURL=1 git ls-remote ${house.url(WAYS[0], "/git/sample.git")}`);
  expect(result).toMatchObject({ code: 0 });
  expect(result.stderr).toMatch(/Send header: GET \/git\/sample\.git\/info\/refs\S* HTTP\/1\.1/);
  expect(result.stdout).toMatch(/^[0-9a-f]{40}\tHEAD\n/);
});

test("the bundle holds the system's roots and the CA; no key is among what guests are given", async () => {
  const bundle = await readFile(join(house.directory, "guest", "postern-bundle.pem"), "utf8");
  expect(bundle).toContain(house.edge.ca.certificate.trim().split("\n")[1]);
  expect(bundle.match(/BEGIN CERTIFICATE/g)?.length).toBeGreaterThan(1);
  expect(bundle).not.toContain("PRIVATE KEY");
});
