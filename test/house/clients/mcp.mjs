// An MCP client over streamable HTTP. Argument: URL. Prints what happens, a line each; the commands `call` (the tool `steps`)
// and `close` (ends the session) come on standard input.
import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { LoggingMessageNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

const say = (...words) => process.stdout.write(`${words.join(" ")}\n`);
const soon = { initialReconnectionDelay: 10, maxReconnectionDelay: 10, reconnectionDelayGrowFactor: 1, maxRetries: 5 };
const transport = new StreamableHTTPClientTransport(new URL(process.argv[2]), { reconnectionOptions: soon });
const client = new Client({ name: "guest", version: "1.0.0" });
client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => say("notified", params.data));

const COMMANDS = {
  async call() {
    const onprogress = ({ progress }) => say("progress", progress);
    const result = await client.callTool({ name: "steps", arguments: {} }, undefined, { onprogress });
    say("result", result.content[0].text);
  },
  async close() {
    await transport.terminateSession();
    await client.close();
    say("closed");
  },
};

try {
  await client.connect(transport);
  say("session", transport.sessionId);
  say("tools", (await client.listTools()).tools.map(({ name }) => name).join(","));
  for await (const line of createInterface({ input: process.stdin }))
    COMMANDS[line]().catch((error) => say("failed", error.message));
} catch (error) {
  say("failed", error.code, error.message);
}
