import type { ServerResponse } from "node:http";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Program, startProgram } from "./support/program.ts";
import { root } from "./support/postern-process.ts";
import { isPresent, run } from "./support/run.ts";
import { DOWN, type Service, startService } from "./support/service.ts";

/**
 * Server-sent events in other languages: each line is printed before the next one is sent, and a program that closes its answer
 * ends the request upstream while it lives on.
 */

const TOKEN = "streaming-token-47aa";
const clients = join(import.meta.dirname, "clients");
let service: Service;
let program: Program | null = null;
const arrived: ServerResponse[] = [];

const hasPython = isPresent("python3");
const has = {
  python: hasPython,
  requests: hasPython && isPresent("python3", ["-c", "import requests"]),
  go: isPresent("go", ["version"]),
  java: isPresent("java", ["-version"]) && isPresent("javac", ["-version"]),
};

beforeAll(async () => {
  service = await startService({
    demand: { in: "header", name: "authorization", value: `Bearer ${TOKEN}` },
    secret: TOKEN,
    destination: { attach: { as: "bearer" } },
    serve: (_request, response) => void arrived.push(response),
  });
  const { directory } = service;
  const go = { GO111MODULE: "off", GOFLAGS: "", GOTOOLCHAIN: "local", GOPATH: join(directory, "go-path") };
  const env = { ...(await service.guestEnv()), ...go, GOCACHE: process.env["GOCACHE"] ?? join(directory, "go-cache") };
  const builds: [boolean, string, string[]][] = [
    [has.go, "go", ["build", "-o", join(directory, "stream"), join(clients, "stream.go")]],
    [has.java, "javac", ["-d", directory, join(clients, "Stream.java")]],
  ];
  for (const [there, command, args] of builds) {
    if (!there) continue;
    const built = await run(command, args, { env, timeoutMs: 170_000 });
    if (built.code !== 0) throw new Error(built.stderr);
  }
}, 360_000);

afterEach(async () => {
  await program?.stop();
  program = null;
  arrived.length = 0;
  service.upstream.reset();
});

afterAll(() => service?.stop());

const PROGRAMS: readonly (readonly [string, string | null, (url: string) => readonly [string, ...string[]]])[] = [
  ["curl -N", null, (url) => ["curl", "-sSN", url]],
  [
    "Python's urllib",
    has.python ? null : "python3 is absent",
    (url) => ["python3", join(clients, "stream.py"), "urllib", url],
  ],
  [
    "Python's requests",
    has.requests ? null : "python3-requests is absent",
    (url) => ["python3", join(clients, "stream.py"), "requests", url],
  ],
  ["Go's net/http", has.go ? null : "go is absent", (url) => [join(service.directory, "stream"), url]],
  [
    "Java's HttpClient",
    has.java ? null : "a JDK is absent",
    (url) => ["java", "-cp", service.directory, "Stream", url, service.url("/ws").replace("https:", "wss:")],
  ],
];

/** The JVM reads no variable but this one. */
async function javaEnv(): Promise<Record<string, string>> {
  const args = ["guest-env", "--config", service.edge.configFile, "--out", join(service.directory, "guest"), "--java"];
  const result = await run(process.execPath, [join(root, "src/main.ts"), ...args, "--format", "json"]);
  if (result.code !== 0) throw new Error(result.stderr);
  const { env } = JSON.parse(result.stdout) as { env: Record<string, string> };
  return { JAVA_TOOL_OPTIONS: env["JAVA_TOOL_OPTIONS"] ?? "" };
}

describe.each(PROGRAMS)("%s", (name, missing, command) => {
  const java = name.startsWith("Java");

  async function start(url: string): Promise<Program> {
    const [file, ...args] = command(url);
    return startProgram(file, args, { env: await service.guestEnv(java ? await javaEnv() : {}) });
  }

  test.skipIf(missing !== null)(`event by event${missing === null ? "" : ` (skipped: ${missing})`}`, async () => {
    program = await start(service.url("/events"));
    await expect.poll(() => arrived.length, { timeout: 20_000, interval: 5 }).toBe(1);
    const response = arrived[0] as ServerResponse;
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of ["one", "two", "stop"]) {
      response.write(`data: ${event}\n\n`);
      await program.until(new RegExp(`^data: ${event}$`, "m"));
    }
    const gone = response.closed ? null : once(response, "close");
    if (name.startsWith("curl")) await program.stop();
    else await program.until(/^closed$/m);
    await gone;
    expect(response.writableFinished).toBe(false);
    if (java) {
      await program.until(/^echo from Java$/m);
      await program.until(/^code 4001 asked to$/m);
    }
    expect(service.upstream.credentialless()).toBe(0);
  });

  test.skipIf(missing !== null)(`custody is down${missing === null ? "" : ` (skipped: ${missing})`}`, async () => {
    program = await start(service.url("/events", DOWN));
    await program.until(/503|custody_unavailable/);
    expect(service.upstream.connections).toBe(0);
  });
});
