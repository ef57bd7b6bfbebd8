import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Edge } from "./edge.ts";
import { isPresent, run, type RunResult } from "./run.ts";

const program = ["chromium", "chromium-browser", "google-chrome"].find((name) => isPresent(name));

export const hasChromium = program !== undefined && isPresent("sh", ["-c", "command -v certutil"]);

/** A headless browser that trusts an edge and is led to it, with a home of its own. */
export interface Browser {
  /** Loads a page until its load event. @returns the document as it is then, on standard output */
  open(url: string): Promise<RunResult>;
  remove(): Promise<void>;
}

export async function chromiumFor(edge: Edge): Promise<Browser> {
  const home = await mkdtemp(join(tmpdir(), "postern-chromium-"));
  await trustTheEdge(home, edge.ca.certificateFile);
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
  const headless = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"];
  const profile = [`--user-data-dir=${join(home, "profile")}`, `--proxy-server=${edge.proxyUrl}`];
  return {
    open: (url) =>
      run(program ?? "", [...headless, ...quiet, ...profile, "--dump-dom", url], {
        env: edge.guestEnv({ HOME: home }),
        timeoutMs: 55_000,
      }),
    remove: () => rm(home, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** The user's NSS store, as an image would be prepared: no variable tells Chromium what to trust. */
async function trustTheEdge(home: string, file: string): Promise<void> {
  const store = join(home, ".pki", "nssdb");
  await mkdir(store, { recursive: true });
  await run("certutil", ["-d", `sql:${store}`, "-N", "--empty-password"]);
  const added = await run("certutil", ["-d", `sql:${store}`, "-A", "-t", "C,,", "-n", "postern", "-i", file]);
  if (added.code !== 0) throw new Error(added.stderr);
}
