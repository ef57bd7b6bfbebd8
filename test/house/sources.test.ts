import { chmod, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { denialIn } from "../hostile/raw-guest.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { root } from "./support/postern-process.ts";
import { run, type RunResult } from "./support/run.ts";
import { valuesOf } from "./support/recording.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** Where custody reads a credential, as far as the upstream; and what a 401 does: one fresh lease, one more try. */

/** Credentials that a helper yields. Each has its own: a replacement that is rejected at once is not replaced again. */
const HELPED = ["exec", "get", "always", "post", "empty-post", "put", "patch"];

let directory = "";
let upstream: Upstream;
let edge: Edge;
const at = (name: string): string => join(directory, name);
const storeSection = () => ({ file: at("secrets.store"), key: { file: at("store.key") } });

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-sources-"));
  upstream = await startUpstream();
  await put("token", "first-file-token\n");
  // Prints another token at each run, so that a fresh lease shows.
  const script = `#!/bin/sh
echo x >> "${directory}/runs-$1"
printf '{"token":"exec-token-%s","expires_in_s":600}' "$(wc -l < "${directory}/runs-$1" | tr -d ' ')"
`;
  await writeFile(at("helper.sh"), script, { mode: 0o700 });
  await writeFile(at("broken.sh"), "#!/bin/sh\necho no credential today\n", { mode: 0o700 });
  const sources = {
    env: { env: "THE_TOKEN" },
    file: { file: at("token") },
    watched: { file: at("watched") },
    brief: { file: at("brief") },
    gone: { file: at("gone") },
    open: { file: at("open") },
    ...Object.fromEntries(HELPED.map((name) => [name, { exec: [at("helper.sh"), name] }])),
    broken: { exec: [at("broken.sh")] },
    unset: { env: "NOT_SET" },
    stored: { store: "house/stored" },
  };
  await put("gone", "x");
  await put("open", "x");
  await put("watched", "watched-token-1");
  await put("brief", "brief-token");
  await put("store.key", "5".repeat(64));
  await secret("set", "stored-token-1");
  const names = Object.keys(sources);
  edge = await startEdge({
    hosts: Object.fromEntries(names.map((name) => [`${name}.test`, ["127.0.0.1"]])),
    env: { THE_TOKEN: "env-token-1" },
    store: storeSection(),
    credentials: Object.entries(sources).map(([name, source]) => ({
      name,
      kind: "token",
      source,
      hosts: [`${name}.test:${upstream.port}`],
      ...(name === "brief" ? { ttl_seconds: 3 } : {}),
    })),
    destinations: names.map((name) =>
      destinationFor(upstream, `${name}.test`, {
        credential: `main/${name}`,
        attach: { as: "bearer" },
        plain_http_credential: "accept",
      }),
    ),
  });
  await rm(at("gone"));
  await chmod(at("open"), 0o644);
});

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => upstream.reset());

/** As a secret is replaced: a finished file is renamed over the old one. */
async function put(name: string, text: string): Promise<void> {
  await writeFile(at(`${name}.new`), text, { mode: 0o600 });
  await rename(at(`${name}.new`), at(name));
}

/** As an operator changes the store: a command of its own, on a config that names the same one. */
async function secret(what: "set" | "rotate", value: string): Promise<void> {
  const listen = { address: `unix:${at("c.sock")}` };
  const config = { listen, credentials: [], store: storeSection(), audit: { file: at("a.jsonl") } };
  await writeFile(at("custody.yaml"), JSON.stringify(config));
  const words = [join(root, "src/main.ts"), "custody", "secret", what, "house/stored"];
  expect(await run(process.execPath, words, { cwd: directory, input: value })).toMatchObject({ code: 0, stderr: "" });
}

function curl(name: string, path: string, ...args: string[]): Promise<RunResult> {
  const url = upstream.urlFor(`${name}.test`, path);
  return run("curl", ["-sS", "-D", "-", ...args, url], { env: edge.guestEnv() });
}

const bearers = (): string[] => upstream.requests.flatMap((request) => valuesOf(request, "authorization"));

describe("a credential", () => {
  test("from the environment", async () => {
    await curl("env", "/a");
    expect(bearers()).toEqual(["Bearer env-token-1"]);
  });

  test("from a file, its last line break cut", async () => {
    await curl("file", "/a");
    expect(bearers()).toEqual(["Bearer first-file-token"]);
  });

  test("from a helper; the lease is kept, the helper not run for every request", async () => {
    await curl("exec", "/a");
    await curl("exec", "/b");
    expect(bearers()).toEqual(["Bearer exec-token-1", "Bearer exec-token-1"]);
    expect(await readFile(at("runs-exec"), "utf8")).toBe("x\n");
  });

  test.each(["gone", "open", "broken", "unset"])("that cannot be read (%s): nothing is sent", async (name) => {
    const result = await curl(name, "/a");
    expect(denialIn(result.stdout)).toBe("custody_unavailable");
    expect(upstream.connections).toBe(0);
  });
});

describe("a file that changes while leases of it are held", () => {
  test("rotated: its new value is sent without a restart, and long before the lease is over", async () => {
    await curl("watched", "/a");
    expect(bearers()).toEqual(["Bearer watched-token-1"]);
    await put("watched", "watched-token-2");
    const last = async (): Promise<string | undefined> => {
      await curl("watched", "/b");
      return bearers().at(-1);
    };
    await expect.poll(last, { timeout: 30_000, interval: 200 }).toBe("Bearer watched-token-2");
  });

  test("an entry of the store, rotated by a command beside the edge: the same", { timeout: 60_000 }, async () => {
    await curl("stored", "/a");
    expect(bearers()).toEqual(["Bearer stored-token-1"]);
    await secret("rotate", "stored-token-2");
    const last = async (): Promise<string | undefined> => {
      await curl("stored", "/b");
      return bearers().at(-1);
    };
    await expect.poll(last, { timeout: 30_000, interval: 200 }).toBe("Bearer stored-token-2");
  });

  test("opened to everybody: once the lease is over nothing is sent any more, until it is private again", async () => {
    const denial = async (): Promise<string | null> => denialIn((await curl("brief", "/a")).stdout);
    expect(await denial()).toBeNull();
    await chmod(at("brief"), 0o644);
    await expect.poll(denial, { timeout: 20_000, interval: 200 }).toBe("custody_unavailable");
    upstream.reset();
    expect(await denial()).toBe("custody_unavailable");
    expect(upstream.connections).toBe(0);
    await chmod(at("brief"), 0o600);
    await expect.poll(denial, { timeout: 20_000, interval: 200 }).toBeNull();
  });
});

describe("401", () => {
  test("a GET is sent once more, with a fresh lease", async () => {
    const result = await curl("get", "/unauthorized-once?key=get");
    expect(result.stdout).toMatch(/^HTTP\/1\.1 200 /);
    expect(bearers()).toEqual(["Bearer exec-token-1", "Bearer exec-token-2"]);
  });

  test("a rotated file is picked up on the way", async () => {
    await curl("file", "/before");
    await put("token", "second-file-token");
    const result = await curl("file", "/unauthorized-once?key=file");
    expect(result.stdout).toMatch(/^HTTP\/1\.1 200 /);
    // The watch may be quicker: then the one that is rejected is the new one already.
    expect(bearers()).toHaveLength(3);
    expect([bearers().at(0), bearers().at(-1)]).toEqual(["Bearer first-file-token", "Bearer second-file-token"]);
  });

  test("once more is not twice", async () => {
    const result = await curl("always", "/unauthorized");
    expect(result.stdout).toMatch(/^HTTP\/1\.1 401 /);
    expect(bearers()).toEqual(["Bearer exec-token-1", "Bearer exec-token-2"]);
  });

  test.each([
    ["post", ["-d", "a=1"]],
    ["empty-post", ["-X", "POST"]],
    ["put", ["-X", "PUT", "-d", "a=1"]],
    ["patch", ["-X", "PATCH"]],
  ])("%s is not sent again; the next one has a fresh lease", async (name, args) => {
    const refused = await curl(name, `/unauthorized-once?key=${name}`, ...args);
    expect(refused.stdout).toMatch(/^HTTP\/1\.1 401 /);
    expect(bearers()).toEqual(["Bearer exec-token-1"]);
    const accepted = await curl(name, `/unauthorized-once?key=${name}`, ...args);
    expect(accepted.stdout).toMatch(/^HTTP\/1\.1 200 /);
    expect(bearers()).toEqual(["Bearer exec-token-1", "Bearer exec-token-2"]);
  });
});

test("nothing of it is written down", async () => {
  const records = await readFile(join(edge.directory, "audit.jsonl"), "utf8");
  for (const text of [records, edge.process.output(), await edge.metrics()]) {
    expect(text).not.toMatch(
      /env-token-1|first-file-token|second-file-token|exec-token-\d|watched-token-\d|brief-token|no credential today/,
    );
  }
});
