import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { root } from "./postern-process.ts";
import { bareEnv, isPresent, run, type RunResult } from "./run.ts";

/**
 * Real programs that fetch a URL, each the way its own world does it. What leads them to the proxy and makes them trust the CA is
 * the environment that they are given, and what `postern guest-env` says about those that read none.
 */
export interface RealClient {
  readonly name: string;
  readonly present: boolean;
  /** Compiles or writes what is needed, once; slow for some. */
  prepare?(directory: string): Promise<void>;
  /** @param env whole environment, with proxy and trust variables */
  get(url: string, env: Readonly<Record<string, string>>, directory: string): Promise<ClientAnswer>;
}

export interface ClientAnswer {
  readonly status: number;
  readonly body: string;
}

const PYTHON_REQUESTS = `
import sys, requests
answer = requests.get(sys.argv[1], timeout=20)
print(answer.status_code)
sys.stdout.write(answer.text)`;

const PYTHON_URLLIB = `
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=20) as answer:
    print(answer.status)
    sys.stdout.write(answer.read().decode())`;

const NODE_FETCH = `
const answer = await fetch(process.argv[1]);
process.stdout.write(answer.status + "\\n" + (await answer.text()));`;

const NODE_UNDICI = `
import { EnvHttpProxyAgent, fetch } from "undici";
const answer = await fetch(process.argv[1], { dispatcher: new EnvHttpProxyAgent() });
process.stdout.write(answer.status + "\\n" + (await answer.text()));`;

const GO = `package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	answer, err := http.Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	body, _ := io.ReadAll(answer.Body)
	fmt.Printf("%d\\n%s", answer.StatusCode, body)
}
`;

const JAVA = `
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

public class Get {
  public static void main(String[] args) throws Exception {
    HttpClient client = HttpClient.newBuilder().proxy(ProxySelector.getDefault()).build();
    var answer = client.send(HttpRequest.newBuilder(URI.create(args[0])).build(), BodyHandlers.ofString());
    System.out.print(answer.statusCode() + "\\n" + answer.body());
  }
}
`;

export const REAL_CLIENTS: readonly RealClient[] = [
  {
    name: "curl",
    present: isPresent("curl"),
    get: async (url, env) => {
      const result = await run("curl", ["-sS", "-o", "-", "-w", "%{stderr}%{http_code}", url], { env });
      return answer(result, `${result.stderr}\n${result.stdout}`);
    },
  },
  {
    name: "wget",
    present: isPresent("wget"),
    async get(url, env, directory) {
      // GnuTLS: no variable names its roots, the system store or its own file does.
      const rc = join(directory, "wgetrc");
      await writeFile(rc, `ca_certificate = ${env["SSL_CERT_FILE"] ?? ""}\n`);
      const result = await run("wget", ["-q", "-S", "-t", "1", "-T", "20", "-O", "-", url], {
        env: { ...env, WGETRC: rc },
      });
      const statuses = [...result.stderr.matchAll(/^ {2}HTTP\/1\.[01] (\d{3})/gm)].map((match) => match[1]);
      return answer(result, `${statuses.at(-1) ?? "0"}\n${result.stdout}`);
    },
  },
  scripted("Python requests", "python3", ["-c", PYTHON_REQUESTS], ["-c", "import requests"]),
  scripted("Python urllib", "python3", ["-c", PYTHON_URLLIB]),
  scripted("Node fetch", process.execPath, ["--input-type=module", "-e", NODE_FETCH]),
  scripted("undici with EnvHttpProxyAgent", process.execPath, ["--input-type=module", "-e", NODE_UNDICI]),
  {
    name: "Go net/http",
    present: isPresent("go", ["version"]),
    async prepare(directory) {
      await writeFile(join(directory, "get.go"), GO);
      // The build uses the user's own cache: the standard library is compiled once a machine.
      const args = ["build", "-o", join(directory, "get-go"), join(directory, "get.go")];
      const env = { ...bareEnv(), GO111MODULE: "off", GOTOOLCHAIN: "local", GOFLAGS: "" };
      const built = await run("go", args, { env, cwd: directory, timeoutMs: 240_000 });
      if (built.code !== 0) throw new Error(`go build\n${built.stderr}`);
    },
    get: async (url, env, directory) => answer(await run(join(directory, "get-go"), [url], { env })),
  },
  {
    name: "Java HttpClient",
    present: isPresent("javac", ["-version"]),
    async prepare(directory) {
      await writeFile(join(directory, "Get.java"), JAVA);
      const built = await run("javac", ["-d", directory, join(directory, "Get.java")], { timeoutMs: 120_000 });
      if (built.code !== 0) throw new Error(`javac\n${built.stderr}`);
    },
    get: async (url, env, directory) => answer(await run("java", ["-cp", directory, "Get", url], { env })),
  },
  {
    name: "headless Chromium",
    present: isPresent("chromium", ["--version"]) && isPresent("certutil", ["-H"], 1),
    async get(url, env, directory) {
      const home = await mkdir(join(directory, "chromium-home/.pki/nssdb"), { recursive: true }).then(() =>
        join(directory, "chromium-home"),
      );
      const database = `sql:${join(home, ".pki/nssdb")}`;
      await run("certutil", ["-N", "--empty-password", "-d", database]);
      const trust = ["-A", "-t", "C,,", "-n", "postern", "-d", database, "-i", env["NODE_EXTRA_CA_CERTS"] ?? ""];
      await run("certutil", trust);
      const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"];
      const proxy = `--proxy-server=${env["HTTPS_PROXY"] ?? "direct://"}`;
      const args = [...flags, proxy, `--user-data-dir=${join(home, "profile")}`, "--dump-dom", url];
      const result = await run("chromium", args, { env: { ...env, HOME: home }, timeoutMs: 60_000 });
      const text = /<pre[^>]*>([\s\S]*?)<\/pre>/.exec(result.stdout)?.[1] ?? "";
      // It tells no status; a document that came is one that was answered with success.
      return { status: text === "" ? 0 : 200, body: text.replaceAll("&quot;", '"').replaceAll("&amp;", "&") };
    },
  },
];

/** A program that prints the status, a line break, and the body. */
function scripted(
  name: string,
  program: string,
  args: readonly string[],
  probe: readonly string[] = ["--version"],
): RealClient {
  return {
    name,
    present: isPresent(program, probe),
    // From the root of the project, where its packages are found.
    get: async (url, env) => answer(await run(program, [...args, url], { env, cwd: root })),
  };
}

function answer(result: RunResult, text = result.stdout): ClientAnswer {
  const end = text.indexOf("\n");
  const status = Number(text.slice(0, end));
  if (end < 0 || !Number.isInteger(status))
    throw new Error(`no answer (exit code ${result.code})\n${result.stderr}${text}`);
  return { status, body: text.slice(end + 1) };
}
