import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import tls from "node:tls";
import { fileURLToPath } from "node:url";

/** One leaf to verify: a server on 127.0.0.1:`port` that must prove to be `host`. */
export interface Question {
  readonly host: string;
  readonly port: number;
  /** PEM file of what the client trusts. */
  readonly anchor: string;
}

/** A real TLS client. `ask` answers `"ok"`, or what the client says against the leaf, in the order of the questions. */
export interface Verifier {
  readonly name: string;
  readonly isPresent: boolean;
  /** Names that it refuses whatever the leaf says. */
  readonly refusesByItself?: RegExp;
  ask(questions: readonly Question[], scratch: string): Promise<string[]>;
}

const here = dirname(fileURLToPath(import.meta.url));

export const VERIFIERS: readonly Verifier[] = [
  { name: "Node", isPresent: true, ask: (questions) => Promise.all(questions.map(askNode)) },
  {
    name: "openssl s_client -x509_strict",
    isPresent: runs("openssl", ["version"]),
    ask: (questions) => Promise.all(questions.map(askOpenssl)),
  },
  { name: "curl", isPresent: runs("curl", ["--version"]), ask: (questions) => Promise.all(questions.map(askCurl)) },
  {
    name: "Python ssl, VERIFY_X509_STRICT",
    isPresent: runs("python3", ["--version"]),
    ask: (questions) => askLines("python3", [join(here, "verify.py")], questions),
  },
  {
    name: "Go crypto/tls",
    isPresent: runs("go", ["version"]),
    ask: (questions, scratch) =>
      askLines("go", ["run", join(here, "verify.go")], questions, {
        GO111MODULE: "off",
        GOTOOLCHAIN: "local",
        GOFLAGS: "-mod=mod",
        CGO_ENABLED: "0",
        GOCACHE: process.env["GOCACHE"] ?? join(scratch, "go"),
      }),
  },
  {
    name: "Java JSSE",
    isPresent: runs("java", ["-version"]) && runs("javac", ["-version"]),
    // HostnameChecker: "Illegal given domain name".
    refusesByItself: /_/,
    ask: (questions) => askLines("java", [join(here, "Verify.java")], questions),
  },
];

function runs(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

function askNode({ host, port, anchor }: Question): Promise<string> {
  return new Promise((resolve) => {
    const socket = tls.connect({
      port,
      host: "127.0.0.1",
      ca: readFileSync(anchor),
      // RFC 6066 §3: no SNI for an address.
      ...(/^[0-9.]+$|:/.test(host) ? {} : { servername: host }),
      checkServerIdentity: (_, certificate) => tls.checkServerIdentity(host, certificate),
    });
    const end = (answer: string): void => {
      resolve(answer);
      socket.destroy();
    };
    socket.on("secureConnect", () => end("ok"));
    socket.on("error", (error) => end(error.message));
  });
}

async function askOpenssl({ host, port, anchor }: Question): Promise<string> {
  const address = /^[0-9.]+$|:/.test(host);
  const name = address ? ["-noservername", "-verify_ip", host] : ["-servername", host, "-verify_hostname", host];
  const trust = ["-x509_strict", "-verify_return_error", "-CAfile", anchor, "-no-CApath", "-no-CAstore"];
  const { code, output } = await run(
    "openssl",
    ["s_client", "-connect", `127.0.0.1:${port}`, ...name, ...trust],
    "Q\n",
  );
  return code === 0 ? "ok" : (/verify error:.*/.exec(output)?.[0] ?? output.slice(-300));
}

async function askCurl({ host, port, anchor }: Question): Promise<string> {
  const urlHost = host.includes(":") ? `[${host}]` : host;
  const args = ["-q", "-sS", "--noproxy", "*", "--cacert", anchor, "--connect-to", `::127.0.0.1:${port}`];
  const { code, output } = await run("curl", [...args, `https://${urlHost}/`], "");
  return code === 0 && output === "hello" ? "ok" : output;
}

async function askLines(
  command: string,
  args: readonly string[],
  questions: readonly Question[],
  env: Readonly<Record<string, string>> = {},
): Promise<string[]> {
  const input = questions.map(({ host, port, anchor }) => `${host} ${port} ${anchor}\n`).join("");
  const { output } = await run(command, args, input, env);
  const lines = output.trimEnd().split("\n");
  if (lines.length !== questions.length) throw new Error(`${command}: ${output}`);
  return lines.map((line, i) => line.slice((questions[i]?.host.length ?? 0) + 1));
}

function run(
  command: string,
  args: readonly string[],
  input: string,
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...process.env, ...env } });
    let output = "";
    child.stdout.on("data", (data: Buffer) => (output += data.toString()));
    child.stderr.on("data", (data: Buffer) => (output += data.toString()));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
    // One that has refused already need not have read its input.
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  });
}
