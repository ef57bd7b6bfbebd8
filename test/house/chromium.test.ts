import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type House, startHouse, WAYS } from "./support/house.ts";
import { startRawUpstream } from "./support/raw-upstream.ts";
import { isPresent, run, type RunResult } from "./support/run.ts";

/** A browser: many connections, its own idea of TLS (GREASE, ECH, post-quantum hellos), pages that fetch. */

const browser = ["chromium", "chromium-browser", "google-chrome"].find((name) => isPresent(name));
const there = browser !== undefined && isPresent("sh", ["-c", "command -v certutil"]);
let house: House;
let home = "";

const SCRIPT = `
const ask = (method, path, body) => {
  const request = new XMLHttpRequest();
  request.open(method, path, false);
  request.send(body);
  return request.status + " " + request.responseText;
};
document.body.textContent = ask("GET", "/one") + "|" + ask("POST", "/two", "x".repeat(100000));
`;
const PAGE = `<!doctype html><title>t</title><body><script>${SCRIPT}</script>`;

beforeAll(async () => {
  if (!there) return;
  house = await startHouse({
    others: async (ca) => ({
      "page.test": await startRawUpstream(
        (socket, first) => {
          const body = first.startsWith("GET / ") ? PAGE : (first.split(" ")[1] ?? "");
          const type = first.startsWith("GET / ") ? "text/html" : "text/plain";
          socket.end(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
        },
        { tls: await ca.issue(["page.test"]) },
      ),
    }),
  });
  home = await mkdtemp(join(tmpdir(), "postern-chromium-"));
  await trustTheEdge();
});

afterAll(async () => {
  await house?.stop();
  if (home !== "") await rm(home, { recursive: true, force: true, maxRetries: 5 });
});

beforeEach(() => house?.reset());

/** The user's NSS store, as an image would be prepared: no variable tells Chromium what to trust. */
async function trustTheEdge(): Promise<void> {
  const store = join(home, ".pki", "nssdb");
  await mkdir(store, { recursive: true });
  const file = house.edge.ca.certificateFile;
  await run("certutil", ["-d", `sql:${store}`, "-N", "--empty-password"]);
  const added = await run("certutil", ["-d", `sql:${store}`, "-A", "-t", "C,,", "-n", "postern", "-i", file]);
  if (added.code !== 0) throw new Error(added.stderr);
}

function open(url: string): Promise<RunResult> {
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
  const headless = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"];
  const profile = [`--user-data-dir=${join(home, "profile")}`, `--proxy-server=${house.edge.proxyUrl}`];
  const args = [...headless, ...quiet, ...profile, "--dump-dom", url];
  return run(browser ?? "", args, { env: house.edge.guestEnv({ HOME: home }), timeoutMs: 55_000 });
}

describe.skipIf(!there)(`Chromium${there ? "" : " (skipped: Chromium or certutil is absent)"}`, () => {
  test.each(WAYS)("opens a page %s", async (way) => {
    const result = await open(house.url(way, "/hello?from=chromium"));
    expect(result.stdout).toContain('"url":"/hello?from=chromium","credential":"seen"');
    expect(house.upstream(way).credentialless()).toBe(0);
  });

  test("runs a page that fetches and posts", async () => {
    const result = await open(`https://page.test:${house.others["page.test"]?.port}/`);
    expect(result.stdout).toContain("200 /one|200 /two");
  });

  test("is kept from what is not allowed", async () => {
    const result = await open(house.upstream(WAYS[0]).urlFor("other.test", "/"));
    expect(result.stdout).not.toContain("credential");
    expect(house.upstream(WAYS[0]).connections).toBe(0);
  });
});
