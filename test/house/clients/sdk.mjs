// Uses a vendor's SDK as programs do. Arguments: API, transport ("env": Node's own fetch; "agent": undici with its proxy
// agent), base URL. Commands on standard input, one a line: `stream` prints `delta TEXT` for each part and `end`; `abort`
// breaks the running stream off and prints `aborted`; `ask` prints `answer TEXT`. What fails prints `failed STATUS REASON`.
import { createInterface } from "node:readline";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { EnvHttpProxyAgent, fetch } from "undici";

const [api, transport, baseURL] = process.argv.slice(2);
const agent = transport === "agent" ? { fetch, fetchOptions: { dispatcher: new EnvHttpProxyAgent() } } : {};
const options = { apiKey: "sk-postern-stand-in", baseURL, maxRetries: 0, ...agent };
const model = "test-model";
const messages = [{ role: "user", content: "Tell me a story." }];

const openai = () => new OpenAI(options);
const APIS = {
  "openai chat": {
    ask: async () => (await openai().chat.completions.create({ model, messages })).choices[0].message.content,
    stream: () => openai().chat.completions.create({ model, messages, stream: true }),
    textOf: (event) => event.choices[0]?.delta.content,
  },
  "openai responses": {
    ask: async () => (await openai().responses.create({ model, input: "Tell me a story." })).output_text,
    stream: () => openai().responses.create({ model, input: "Tell me a story.", stream: true }),
    textOf: (event) => (event.type === "response.output_text.delta" ? event.delta : undefined),
  },
  anthropic: {
    ask: async () => (await new Anthropic(options).messages.create({ model, max_tokens: 9, messages })).content[0].text,
    stream: () => new Anthropic(options).messages.create({ model, max_tokens: 9, messages, stream: true }),
    textOf: (event) => (event.type === "content_block_delta" ? event.delta.text : undefined),
  },
};
const { ask, stream, textOf } = APIS[api];

const say = (...words) => process.stdout.write(`${words.join(" ")}\n`);
let running;

async function follow() {
  running = await stream();
  for await (const event of running) {
    const text = textOf(event);
    if (text) say("delta", text);
  }
  say(running.controller.signal.aborted ? "aborted" : "end");
}

const COMMANDS = {
  stream: follow,
  abort: async () => running.controller.abort(),
  ask: async () => say("answer", await ask()),
};

for await (const line of createInterface({ input: process.stdin })) {
  COMMANDS[line]().catch((error) => say("failed", error.status, error.headers?.get("x-deny-reason")));
}
