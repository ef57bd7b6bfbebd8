import type { IncomingMessage, ServerResponse } from "node:http";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Program, startProgram } from "./support/program.ts";
import { valuesOf } from "./support/recording.ts";
import { DOWN, type Service, SERVICE, startService } from "./support/service.ts";

/**
 * The SDKs of model vendors against a fake of their APIs: every event reaches the program before the next one is sent, and a
 * program that breaks off ends the request upstream at once, while it lives on.
 */

const client = join(import.meta.dirname, "clients", "sdk.mjs");
const KEY = "sk-right-key-2f9c10";

interface Call {
  readonly response: ServerResponse;
  readonly path: string;
  readonly body: { readonly stream?: boolean; readonly model?: string };
}

const calls: Call[] = [];

/** Hands a call over once its body is whole. */
function serve(request: IncomingMessage, response: ServerResponse): void {
  let text = "";
  request.setEncoding("utf8");
  request.on("data", (chunk: string) => (text += chunk));
  request.on("end", () => calls.push({ response, path: request.url ?? "", body: JSON.parse(text) as Call["body"] }));
}

async function nextCall(): Promise<Call> {
  await expect.poll(() => calls.length, { timeout: 20_000, interval: 5 }).toBe(1);
  return calls.shift() as Call;
}

const event = (name: string | null, data: unknown): string =>
  `${name === null ? "" : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;

interface Api {
  readonly path: string;
  /** Added to the base URL. */
  readonly base: string;
  readonly first: string;
  readonly part: (text: string) => string;
  readonly last: string;
  readonly answer: unknown;
  /** How the edge attaches the key. */
  readonly attach: "bearer" | "x-api-key";
}

const RESPONSE = { id: "resp_1", object: "response", created_at: 1, model: "m", status: "in_progress", output: [] };
const MESSAGE = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "m",
  usage: { input_tokens: 1, output_tokens: 1 },
};

const APIS: Readonly<Record<string, Api>> = {
  "openai chat": {
    path: "/v1/chat/completions",
    base: "/v1",
    first: event(null, {
      id: "c",
      object: "chat.completion.chunk",
      choices: [{ index: 0, delta: { role: "assistant" } }],
    }),
    part: (content) =>
      event(null, { id: "c", object: "chat.completion.chunk", choices: [{ index: 0, delta: { content } }] }),
    last: "data: [DONE]\n\n",
    answer: {
      id: "c",
      object: "chat.completion",
      choices: [{ index: 0, message: { role: "assistant", content: "whole" } }],
    },
    attach: "bearer",
  },
  "openai responses": {
    path: "/v1/responses",
    base: "/v1",
    first: event("response.created", { type: "response.created", sequence_number: 0, response: RESPONSE }),
    part: (delta) =>
      event("response.output_text.delta", { type: "response.output_text.delta", sequence_number: 1, delta }),
    last: event("response.completed", { type: "response.completed", sequence_number: 9, response: RESPONSE }),
    answer: {
      ...RESPONSE,
      output: [
        { type: "message", role: "assistant", content: [{ type: "output_text", text: "whole", annotations: [] }] },
      ],
    },
    attach: "bearer",
  },
  anthropic: {
    path: "/v1/messages",
    base: "",
    first: event("message_start", { type: "message_start", message: { ...MESSAGE, content: [] } }),
    part: (text) =>
      event("content_block_delta", { type: "content_block_delta", index: 0, delta: { type: "text_delta", text } }),
    last: event("message_stop", { type: "message_stop" }),
    answer: { ...MESSAGE, content: [{ type: "text", text: "whole" }] },
    attach: "x-api-key",
  },
};

const ATTACHMENTS = {
  bearer: { field: "authorization", value: `Bearer ${KEY}`, destination: { attach: { as: "bearer" } } },
  // The SDK sends its own key as a bearer token, which is not to go along.
  "x-api-key": {
    field: "x-api-key",
    value: KEY,
    destination: { attach: { as: "header", name: "x-api-key" }, drop_headers: ["authorization"] },
  },
} as const;

describe.each(["bearer", "x-api-key"] as const)("a key that goes as %s", (attach) => {
  let service: Service;
  let program: Program;
  const { field, value, destination } = ATTACHMENTS[attach];

  beforeAll(async () => {
    service = await startService({ serve, demand: { in: "header", name: field, value }, secret: KEY, destination });
  });

  afterAll(() => service?.stop());

  beforeEach(() => service.upstream.reset());

  afterEach(async () => {
    await program.stop();
    calls.length = 0;
  });

  async function start(name: string, transport: string, host: typeof SERVICE | typeof DOWN): Promise<Program> {
    const args = [client, name, transport, service.url((APIS[name] as Api).base, host)];
    return startProgram(process.execPath, args, { env: await service.guestEnv() });
  }

  const cases = Object.entries(APIS).filter(([, api]) => api.attach === attach);

  describe.each(cases)("%s", (name, api) => {
    test.each(["env", "agent"])("streams event by event, and an abort is felt upstream (%s)", async (transport) => {
      program = await start(name, transport, SERVICE);
      program.write("stream\n");
      const { response, path, body } = await nextCall();
      expect({ path, ...body }).toMatchObject({ path: api.path, stream: true, model: "test-model" });
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(api.first);
      for (const text of ["Once", "upon"]) {
        response.write(api.part(text));
        await program.until(new RegExp(`^delta ${text}$`, "m"));
      }
      response.end(api.last);
      await program.until(/^end$/m);

      program.write("stream\n");
      const aborted = (await nextCall()).response;
      aborted.writeHead(200, { "content-type": "text/event-stream" });
      aborted.write(api.first + api.part("again"));
      await program.until(/^delta again$/m);
      const gone = once(aborted, "close");
      program.write("abort\n");
      await gone;
      expect(aborted.writableFinished).toBe(false);
      await program.until(/^aborted$/m);

      // The program lives on, and so does its way out.
      program.write("ask\n");
      const answered = (await nextCall()).response;
      answered.writeHead(200, { "content-type": "application/json" });
      answered.end(JSON.stringify(api.answer));
      await program.until(/^answer whole$/m);
      expect(service.upstream.requests).toHaveLength(3);
      for (const seen of service.upstream.requests) {
        expect(valuesOf(seen, field)).toEqual([value]);
        expect(seen.rawHeaders.join("\n")).not.toContain("stand-in");
      }
    });

    test("a program that dies while it waits is felt upstream as well", async () => {
      program = await start(name, "env", SERVICE);
      program.write("ask\n");
      const { response } = await nextCall();
      const gone = once(response, "close");
      await program.stop();
      await gone;
      expect(response.writableFinished).toBe(false);
    });

    test("refusals of the API and of the edge reach the program as what they are", async () => {
      program = await start(name, "env", SERVICE);
      program.write("stream\n");
      const { response } = await nextCall();
      response.writeHead(429, { "content-type": "application/json", "retry-after": "1" });
      response.end('{"error":{"message":"slow down","type":"rate_limit_error"}}');
      await program.until(/^failed 429 /m);
      await program.stop();
      service.upstream.reset();
      program = await start(name, "env", DOWN);
      program.write("stream\n");
      await program.until(/^failed 503 custody_unavailable$/m);
      expect(service.upstream.connections).toBe(0);
    });
  });
});
