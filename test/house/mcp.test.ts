import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { type EventStore, StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Program, startProgram } from "./support/program.ts";
import { type Recorded, valuesOf } from "./support/recording.ts";
import { DOWN, type Service, startService } from "./support/service.ts";

/** The Model Context Protocol over streamable HTTP, the SDK's client in the guest and its server behind the edge. */

const TOKEN = "mcp-token-6ad0be";
const client = join(import.meta.dirname, "clients", "mcp.mjs");

let service: Service;
let server: McpServer;
let transport: StreamableHTTPServerTransport;
let program: Program;
/** Answers that are under way, by the method that asked. */
const open: { readonly recorded: Recorded; readonly response: ServerResponse }[] = [];
/** Lets the tool go on. */
let steps: { readonly go: () => void; readonly until: Promise<void> }[] = [];

beforeAll(async () => {
  service = await startService({
    demand: { in: "header", name: "authorization", value: `Bearer ${TOKEN}` },
    secret: TOKEN,
    destination: { attach: { as: "bearer" } },
    serve(request, response, recorded) {
      open.push({ recorded, response });
      transport.handleRequest(request, response).catch(() => response.destroy());
    },
  });
});

afterAll(() => service?.stop());

beforeEach(async () => {
  service.upstream.reset();
  open.length = 0;
  steps = Array.from({ length: 3 }, () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    return { go: resolve, until: promise };
  });
  server = new McpServer({ name: "steps", version: "1.0.0" }, { capabilities: { logging: {} } });
  server.registerTool("steps", { description: "Three steps, each when the test says so." }, async (extra) => {
    const token = extra._meta?.progressToken ?? "";
    for (const [i, step] of steps.entries()) {
      await step.until;
      await extra.sendNotification({
        method: "notifications/progress",
        params: { progressToken: token, progress: i + 1 },
      });
    }
    return { content: [{ type: "text", text: "all three" }] };
  });
  transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: eventStore(),
    keepAliveMs: 0,
  });
  await server.connect(transport);
});

afterEach(async () => {
  await program.stop();
  await server.close();
});

/** Events in order, so that a client can ask for what came after the last one that it has. */
function eventStore(): EventStore {
  const events: { readonly id: string; readonly stream: string; readonly message: unknown }[] = [];
  return {
    async storeEvent(stream, message) {
      const id = `${stream}:${events.length}`;
      events.push({ id, stream, message });
      return id;
    },
    async replayEventsAfter(last, { send }) {
      const at = events.findIndex(({ id }) => id === last);
      const stream = events[at]?.stream ?? "";
      for (const one of events.slice(at + 1)) {
        // What primes a stream has no message to send again.
        if (one.stream === stream && Object.keys(one.message as object).length > 0)
          await send(one.id, one.message as never);
      }
      return stream;
    },
  };
}

async function start(url: string): Promise<Program> {
  return startProgram(process.execPath, [client, url], { env: await service.guestEnv() });
}

const seen = (method: string): Recorded[] => service.upstream.requests.filter((one) => one.method === method);

/** Streams that the client listens to and the server has begun: what is said from here on goes there. */
const begun = (): number =>
  open.filter(({ recorded, response }) => recorded.method === "GET" && response.headersSent).length;

describe("an MCP client", () => {
  test("gets a session, and each part of an answer before the next one is sent", async () => {
    program = await start(service.url("/mcp"));
    const [, session] = await program.until(/^session (\S+)\n/m);
    await program.until(/^tools steps$/m);
    program.write("call\n");
    for (const [i, step] of steps.entries()) {
      step.go();
      await program.until(new RegExp(`^progress ${i + 1}$`, "m"));
    }
    await program.until(/^result all three$/m);
    // It listens for more in any case, when it gets to it.
    await expect.poll(begun).toBe(1);
    // All but the first request name the session, and none has any other credential than the edge's.
    const [first, ...others] = service.upstream.requests;
    expect(valuesOf(first!, "mcp-session-id")).toEqual([]);
    for (const one of others) expect(valuesOf(one, "mcp-session-id")).toEqual([session]);
    for (const one of service.upstream.requests) expect(valuesOf(one, "authorization")).toEqual([`Bearer ${TOKEN}`]);
  });

  test("hears what the server says by itself, for as long as it listens", async () => {
    program = await start(service.url("/mcp"));
    await program.until(/^tools steps$/m);
    await expect.poll(begun).toBe(1);
    for (const data of ["first", "second"]) {
      await server.sendLoggingMessage({ level: "info", data });
      await program.until(new RegExp(`^notified ${data}$`, "m"));
    }
    program.write("close\n");
    await program.until(/^closed$/m);
    expect(seen("DELETE")).toHaveLength(1);
    // What it listened to has ended upstream as well.
    await expect.poll(() => open.every(({ response }) => response.closed)).toBe(true);
  });

  test("resumes a call whose answer broke off, from the last event that it had", async () => {
    program = await start(service.url("/mcp"));
    await program.until(/^tools steps$/m);
    await expect.poll(begun).toBe(1);
    program.write("call\n");
    steps[0]?.go();
    await program.until(/^progress 1$/m);
    const call = open.findLast(({ recorded }) => recorded.method === "POST");
    call?.response.destroy();
    await expect.poll(begun).toBe(2);
    expect(valuesOf(seen("GET")[1]!, "last-event-id")).toHaveLength(1);
    steps[1]?.go();
    await program.until(/^progress 2$/m);
    steps[2]?.go();
    await program.until(/^result all three$/m);
    expect(program.text.match(/^progress \d$/gm)).toEqual(["progress 1", "progress 2", "progress 3"]);
    expect(service.upstream.credentialless()).toBe(0);
  });

  test("is refused when custody is down, and the server hears nothing", async () => {
    program = await start(service.url("/mcp", DOWN));
    await program.until(/^failed 503 /m);
    expect(program.text).toContain("custody_unavailable");
    expect(service.upstream.connections).toBe(0);
  });
});
