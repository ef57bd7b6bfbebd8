import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, rename, rm, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../../src/core/clock.ts";
import { Secret } from "../../../src/core/secret.ts";
import { EnvSource } from "../../../src/custody/sources/env.ts";
import { ExecSource } from "../../../src/custody/sources/exec.ts";
import { FileSource } from "../../../src/custody/sources/file.ts";
import type { CredentialSource } from "../../../src/custody/sources/source.ts";
import { StoreSource } from "../../../src/custody/sources/store.ts";
import { storePlace } from "../store/storing.ts";

/** A source over a place that a test can change. */
export interface SourceBench {
  readonly source: CredentialSource;
  /** `null` takes the root away. A place that takes no such root says so by a SourceError, as the source would. */
  readonly put: (root: string | null) => Promise<void>;
  /** Puts a root that is good for so long; `null` where the place cannot tell that. */
  readonly putFor: ((root: string, lifeMs: number) => Promise<void>) | null;
  /** What is there cannot be read any more, while the root is still in it; `null` where that cannot be. */
  readonly breakDown: (() => Promise<void>) | null;
  readonly mend: () => Promise<void>;
  /** The next read finds a place that does not answer; `null` where that cannot be. */
  readonly hang: (() => Promise<void>) | null;
  /** Ends what the bench itself has opened; the source is for the test to close. */
  readonly remove: () => Promise<void>;
}

/** Every source of the house. A further one is a further entry here, and is held to all of source-contract.test.ts. */
export const SOURCE_BENCHES: Readonly<Record<string, (clock: Clock) => Promise<SourceBench>>> = {
  env: async () => {
    const environment: Record<string, string | undefined> = {};
    return {
      source: new EnvSource("ROOT", { environment }),
      put: async (root) => {
        environment["ROOT"] = root ?? undefined;
      },
      putFor: null,
      breakDown: null,
      mend: async () => undefined,
      hang: null,
      remove: async () => undefined,
    };
  },

  file: async () => {
    const { at, remove } = await directoryOf();
    const path = at("root");
    const put = async (root: string | null) => (root === null ? unlink(path) : replace(path, root));
    return {
      source: new FileSource(path, { uid, warn: () => undefined }),
      put,
      putFor: null,
      breakDown: () => chmod(path, 0o644),
      mend: () => chmod(path, 0o600),
      hang: () => pipeAt(path),
      remove,
    };
  },

  exec: async (clock) => {
    const { at, remove } = await directoryOf();
    const [program, data] = [at("helper.sh"), at("answer")];
    await writeFile(program, `#!/bin/sh\nexec cat "${data}"\n`, { mode: 0o700 });
    const answer = (members: object) => replace(data, JSON.stringify(members));
    const put = async (root: string | null) => (root === null ? unlink(data) : answer({ token: root }));
    return {
      source: new ExecSource({ command: [program], timeoutMs: 3_000 }, "token", { clock, environment: process.env }),
      put,
      putFor: (root, lifeMs) => answer({ token: root, expires_in_s: lifeMs / 1000 }),
      // Started as it was, it now says what it has, and then that it failed.
      breakDown: () => replace(program, `#!/bin/sh\ncat "${data}"\ncat "${data}" >&2\nexit 7\n`, 0o700),
      mend: () => replace(program, `#!/bin/sh\nexec cat "${data}"\n`, 0o700),
      hang: () => replace(program, `#!/bin/sh\ncat "${data}"\nexec sleep 600\n`, 0o700),
      remove,
    };
  },

  store: async () => {
    const place = await storePlace();
    const store = place.open();
    // Its own writes are those of another process: `postern custody secret` runs beside the custody.
    const other = place.open();
    await other.put("there-before", Secret.of("x"));
    return {
      source: new StoreSource("acme/root", store),
      put: async (root) => {
        if (root === null) await other.remove("acme/root");
        else await other.put("acme/root", Secret.of(root));
      },
      putFor: null,
      breakDown: () => chmod(place.file, 0o644),
      mend: () => chmod(place.file, 0o600),
      hang: () => pipeAt(place.file),
      remove: async () => {
        store.close();
        other.close();
        await place.remove();
      },
    };
  },
};

const uid = process.getuid?.() ?? null;

async function directoryOf() {
  const directory = await mkdtemp(join(tmpdir(), "postern-source-"));
  return {
    at: (name: string) => join(directory, name),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

/** As secrets are replaced: a finished file is renamed over the old one. */
async function replace(path: string, text: string, mode = 0o600): Promise<void> {
  const fresh = `${path}.${randomBytes(4).toString("hex")}`;
  await writeFile(fresh, text, { mode });
  await rename(fresh, path);
}

/** Opening it waits for a writer, and none will come. */
async function pipeAt(path: string): Promise<void> {
  await rm(path, { force: true });
  execFileSync("mkfifo", ["-m", "600", path]);
}
