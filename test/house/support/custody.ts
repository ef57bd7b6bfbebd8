import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConfigPart } from "./edge.ts";
import { type PosternProcess, startPostern } from "./postern-process.ts";

export interface CustodyOptions {
  readonly credentials: readonly ConfigPart[];
  readonly env?: Readonly<Record<string, string>>;
  /** Where it listens; default a socket in a directory of its own. The same path again = the same custody come back. */
  readonly socket?: string;
  /** Merged over the rest of its config. */
  readonly config?: ConfigPart;
  /** Where its config, audit and state are kept; one that was given is not removed. */
  readonly directory?: string;
}

export interface Custody {
  /** `unix:/...`, for `remote.address` of the edge's config. */
  readonly address: string;
  readonly process: PosternProcess;
  readonly directory: string;
  stop(): Promise<void>;
}

/** Starts `postern custody` on a unix socket. */
export async function startCustody(options: CustodyOptions): Promise<Custody> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), "postern-custody-")));
  const socket = options.socket ?? join(directory, "custody.sock");
  const configFile = join(directory, "custody.yaml");
  const config = {
    listen: { address: `unix:${socket}` },
    credentials: options.credentials,
    audit: { file: join(directory, "custody-audit.jsonl") },
    ...options.config,
  };
  // JSON is YAML.
  await writeFile(configFile, JSON.stringify(config, null, 2));
  const process = await startPostern(["custody", "--config", configFile], {
    env: options.env ?? {},
    ready: () => answers(socket),
  });
  return {
    address: `unix:${socket}`,
    process,
    directory,
    async stop() {
      await process.stop();
      if (options.directory === undefined) await rm(directory, { recursive: true, force: true });
    },
  };
}

function answers(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ path });
    socket.on("connect", () => {
      socket.destroy();
      done(true);
    });
    // Not there yet: the caller asks again until its deadline.
    socket.on("error", () => done(false));
  });
}
