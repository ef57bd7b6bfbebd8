import { spawn } from "node:child_process";
import type { IncomingMessage, ServerResponse } from "node:http";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { bareEnv, run } from "./run.ts";

/** Serves `/git/NAME.git/...` with git's own CGI program (`git http-backend`), reading and writing. */
export async function serveGit(root: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://upstream");
  const child = spawn("git", ["http-backend"], {
    env: {
      ...bareEnv(root),
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: "1",
      PATH_INFO: url.pathname.slice("/git".length),
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method ?? "GET",
      REMOTE_USER: "guest",
      REMOTE_ADDR: "127.0.0.1",
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      ...optional("CONTENT_LENGTH", request.headers["content-length"]),
      ...optional("HTTP_CONTENT_ENCODING", request.headers["content-encoding"]),
      ...optional("GIT_PROTOCOL", request.headers["git-protocol"]),
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  // The program may stop reading before the body ends; its answer tells why.
  child.stdin.on("error", () => undefined);
  request.pipe(child.stdin);
  let head = Buffer.alloc(0);
  let started = false;
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    if (started) {
      response.write(chunk);
      continue;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) continue;
    started = true;
    writeCgiHead(response, head.subarray(0, end).toString("latin1"));
    response.write(head.subarray(end + 4));
  }
  if (!started) throw new Error("git http-backend gave no answer");
  response.end();
}

function optional(name: string, value: string | string[] | undefined): Record<string, string> {
  return typeof value === "string" ? { [name]: value } : {};
}

/** RFC 3875 §6.3: fields, `Status` among them. */
function writeCgiHead(response: ServerResponse, head: string): void {
  const fields = head.split("\r\n").map((line) => line.split(/: (.*)/s) as [string, string]);
  const status = fields.find(([name]) => name.toLowerCase() === "status")?.[1] ?? "200 OK";
  const others = fields.filter(([name]) => name.toLowerCase() !== "status");
  response.writeHead(
    Number(status.slice(0, 3)),
    others.flatMap(([name, value]) => [name, value]),
  );
}

/** Makes `ROOT/NAME.git`, bare, open to pushes, with one commit on `main`. */
export async function makeRepository(root: string, name: string): Promise<void> {
  const bare = join(root, `${name}.git`);
  const work = join(root, `${name}.work`);
  await mkdir(work, { recursive: true });
  await git(root, "init", "--quiet", "--bare", "--initial-branch=main", bare);
  await git(bare, "config", "http.receivepack", "true");
  await git(work, "init", "--quiet", "--initial-branch=main", ".");
  const identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
  await git(work, ...identity, "commit", "--quiet", "--allow-empty", "-m", "First");
  await git(work, "push", "--quiet", bare, "main");
}

async function git(cwd: string, ...args: string[]): Promise<void> {
  const env = { ...bareEnv(cwd), GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null" };
  const result = await run("git", args, { cwd, env });
  if (result.code !== 0) throw new Error(`git ${args.join(" ")}\n${result.stderr}`);
}
