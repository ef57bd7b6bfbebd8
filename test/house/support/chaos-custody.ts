import { chmod, mkdir, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import type { ConfigPart } from "./edge.ts";
import { type PosternProcess, startPostern } from "./postern-process.ts";

/** One `postern custody` that dies and comes back as often as a test likes, with its sockets, audit and state where they were. */
export class ChaosCustody {
  readonly directory: string;
  /** Times that it was killed (SIGKILL). */
  kills = 0;
  readonly #address: { readonly path: string } | { readonly port: number };
  readonly #config: ConfigPart;
  readonly #env: Readonly<Record<string, string>>;
  readonly #lives: PosternProcess[] = [];

  /** @param config everything but listener, operators, audit and state */
  constructor(
    directory: string,
    address: { readonly path: string } | { readonly port: number },
    config: ConfigPart,
    env: Readonly<Record<string, string>>,
  ) {
    this.directory = directory;
    this.#address = address;
    this.#config = config;
    this.#env = env;
  }

  get operators(): string {
    return join(this.directory, "operators.sock");
  }

  get configFile(): string {
    return join(this.directory, "custody.yaml");
  }

  get process(): PosternProcess {
    const last = this.#lives.at(-1);
    if (last === undefined) throw new Error("this custody was never started");
    return last;
  }

  /** What every life of it has written. */
  output(): string {
    return this.#lives.map((life) => life.output()).join("");
  }

  /** Writes its config, for commands beside it. */
  async prepare(): Promise<void> {
    const { directory } = this;
    await mkdir(directory, { recursive: true });
    await chmod(directory, 0o700);
    const address = this.#address;
    const config = {
      ...this.#config,
      listen: {
        address: "path" in address ? `unix:${address.path}` : `127.0.0.1:${address.port}`,
        ...(this.#config["listen"] as ConfigPart | undefined),
      },
      operators: { address: `unix:${this.operators}` },
      state: join(directory, "custody.state"),
      audit: { file: join(directory, "audit.jsonl"), mode: "strict", fsync: "always" },
    };
    // JSON is YAML.
    await writeFile(this.configFile, JSON.stringify(config, null, 2));
  }

  async start(): Promise<void> {
    await this.prepare();
    const address = this.#address;
    const args = ["custody", "--config", this.configFile];
    this.#lives.push(await startPostern(args, { env: this.#env, ready: () => accepts(address) }));
  }

  async kill(): Promise<void> {
    this.kills++;
    this.process.signal("SIGKILL");
    await this.process.exited();
  }

  /** @returns the JSON of a 200, or `null` for whatever else becomes of it */
  operate(method: string, path: string, body?: unknown): Promise<Record<string, unknown> | null> {
    const { promise, resolve } = Promise.withResolvers<Record<string, unknown> | null>();
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const call = request({ socketPath: this.operators, method, path, headers, agent: false }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")));
      response.on("error", () => resolve(null));
      response.on("close", () => {
        const isGood = response.complete && response.statusCode === 200;
        resolve(isGood ? (JSON.parse(text) as Record<string, unknown>) : null);
      });
    });
    call.on("error", () => resolve(null));
    call.end(body === undefined ? undefined : JSON.stringify(body));
    return promise;
  }
}

function accepts(address: { readonly path: string } | { readonly port: number }): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect("path" in address ? address : { ...address, host: "127.0.0.1" });
    socket.on("connect", () => {
      socket.destroy();
      done(true);
    });
    // Not there yet: the caller asks again until its deadline.
    socket.on("error", () => done(false));
  });
}
