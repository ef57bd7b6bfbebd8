import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type EventSource, startEventSource } from "./support/event-source.ts";
import { type Program, startProgram } from "./support/program.ts";
import { root } from "./support/postern-process.ts";
import { isPresent, run } from "./support/run.ts";
import { DOWN } from "./support/service.ts";

/**
 * Server-sent events in other languages (Go's are in go.test.ts): each line is printed before the next one is sent, and a program
 * that closes its answer ends the request upstream while it lives on.
 */

const clients = join(import.meta.dirname, "clients");
let service: EventSource;
let program: Program | null = null;

const hasPython = isPresent("python3");
const hasRequests = hasPython && isPresent("python3", ["-c", "import requests"]);
const hasJava = isPresent("java", ["-version"]) && isPresent("javac", ["-version"]);

beforeAll(async () => {
  service = await startEventSource();
  if (!hasJava) return;
  const built = await run("javac", ["-d", service.directory, join(clients, "Stream.java")]);
  if (built.code !== 0) throw new Error(built.stderr);
});

afterEach(async () => {
  await program?.stop();
  program = null;
  service.reset();
});

afterAll(() => service?.stop());

const python = (library: string) => (url: string) => ["python3", join(clients, "stream.py"), library, url];

const PROGRAMS: readonly (readonly [string, string | null, (url: string) => readonly string[]])[] = [
  ["curl -N", null, (url) => ["curl", "-sSN", url]],
  ["Python's urllib", hasPython ? null : "python3 is absent", python("urllib")],
  ["Python's requests", hasRequests ? null : "python3-requests is absent", python("requests")],
  [
    "Java's HttpClient, and its WebSocket",
    hasJava ? null : "a JDK is absent",
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
  const isJava = name.startsWith("Java");
  const skipped = missing === null ? "" : ` (skipped: ${missing})`;

  async function start(url: string): Promise<Program> {
    const [file = "", ...args] = command(url);
    return startProgram(file, args, { env: await service.guestEnv(isJava ? await javaEnv() : {}) });
  }

  test.skipIf(missing !== null)(`event by event${skipped}`, async () => {
    program = await start(service.url("/events"));
    const { brokenOff } = await service.tell(program);
    if (name.startsWith("curl")) await program.stop();
    else await program.until(/^closed$/m);
    await brokenOff;
    if (isJava) {
      await program.until(/^echo from Java$/m);
      await program.until(/^code 4001 asked to$/m);
    }
    expect(service.upstream.credentialless()).toBe(0);
  });

  test.skipIf(missing !== null)(`custody is down${skipped}`, async () => {
    program = await start(service.url("/events", DOWN));
    await program.until(/503|custody_unavailable/);
    expect(service.upstream.connections).toBe(0);
  });
});
