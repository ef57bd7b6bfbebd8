import { spawn } from "node:child_process";
import { chmod, copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestLeaf } from "./certificates.ts";
import { freePorts } from "./postern-process.ts";
import { bareEnv, isPresent, run } from "./run.ts";

const PROGRAM = ["squid", "/usr/sbin/squid"].find((program) => isPresent(program, ["-v"])) ?? null;
const BASIC_AUTH = "/usr/lib/squid/basic_ncsa_auth";

/** Whether this machine has one, with its basic authentication. */
export const hasSquid = PROGRAM !== null && isPresent(BASIC_AUTH, [], 1);

export interface Squid {
  readonly httpPort: number;
  readonly httpsPort: number;
  /** Its access log so far. */
  log(): Promise<string>;
  stop(): Promise<void>;
}

export interface SquidOptions {
  readonly username: string;
  readonly password: string;
  /** Of its TLS port. */
  readonly tls: TestLeaf;
  /** Names that it resolves, to 127.0.0.1. */
  readonly names: readonly string[];
}

/** A squid that connects whoever knows the password, on a plain port and on a TLS port. */
export async function startSquid({ username, password, tls, names }: SquidOptions): Promise<Squid> {
  const directory = await mkdtemp(join(tmpdir(), "postern-squid-"));
  // Started by root it changes to a user of its own, who must get at its files.
  await chmod(directory, 0o777);
  const at = (name: string): string => join(directory, name);
  const [httpPort = 0, httpsPort = 0] = await freePorts(2);
  const hashed = await run("openssl", ["passwd", "-apr1", "-stdin"], { input: `${password}\n` });
  await writeFile(at("users"), `${username}:${hashed.stdout.trim()}\n`);
  await writeFile(at("hosts"), names.map((name) => `127.0.0.1 ${name}\n`).join(""));
  await copyFile(tls.certificateFile, at("tls.crt"));
  await writeFile(at("tls.key"), tls.key);
  await chmod(at("tls.key"), 0o644);
  await writeFile(
    at("squid.conf"),
    `http_port 127.0.0.1:${httpPort}
https_port 127.0.0.1:${httpsPort} tls-cert=${at("tls.crt")} tls-key=${at("tls.key")}
auth_param basic program ${BASIC_AUTH} ${at("users")}
auth_param basic realm corp
acl known proxy_auth REQUIRED
acl connect method CONNECT
http_access allow connect known
http_access deny all
hosts_file ${at("hosts")}
cache deny all
pid_filename none
coredump_dir ${directory}
access_log stdio:${at("access.log")}
cache_log ${at("cache.log")}
shutdown_lifetime 0 seconds
`,
  );
  const child = spawn(PROGRAM ?? "squid", ["-N", "-f", at("squid.conf")], { env: bareEnv(directory), stdio: "ignore" });
  const gone = new Promise<void>((done) => child.on("close", () => done()));
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await gone;
    await rm(directory, { recursive: true, force: true });
  };
  const endMs = performance.now() + 30_000;
  while (!(await isOpen(httpPort)) || !(await isOpen(httpsPort))) {
    if (performance.now() < endMs && child.exitCode === null) {
      await new Promise((done) => setTimeout(done, 50));
      continue;
    }
    const told = await readFile(at("cache.log"), "utf8").catch(() => "no log");
    await stop();
    throw new Error(`squid does not listen\n${told}`);
  }
  return { httpPort, httpsPort, log: () => readFile(at("access.log"), "utf8"), stop };
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => done(false));
    socket.on("connect", () => {
      socket.destroy();
      done(true);
    });
  });
}
