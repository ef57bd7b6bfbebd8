import type { IncomingMessage, ServerResponse } from "node:http";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { patternBytes } from "./support/pattern.ts";
import { type Recorded, valuesOf } from "./support/recording.ts";
import { run } from "./support/run.ts";
import { DOWN, type Service, startService } from "./support/service.ts";

/** Interim answers, 100-continue and trailers, as Node's core client and curl live through them. */

const TOKEN = "expecting-token-e1b2";
const client = join(import.meta.dirname, "clients", "interim.mjs");
let service: Service;
let file = "";

beforeAll(async () => {
  service = await startService({
    demand: { in: "header", name: "authorization", value: `Bearer ${TOKEN}` },
    secret: TOKEN,
    destination: { attach: { as: "bearer" } },
    serve,
  });
  file = join(service.directory, "upload");
  await writeFile(file, patternBytes(0, 3_000_000));
});

afterAll(() => service?.stop());

beforeEach(() => service.upstream.reset());

/** `/expect/STATUS` refuses with that status and reads nothing; `/expect/full` says everything that may be said. */
function serve(request: IncomingMessage, response: ServerResponse, recorded: Recorded): void {
  const status = Number(/^\/expect\/(\d+)$/.exec(recorded.url)?.[1]);
  if (!Number.isNaN(status)) {
    const more = status === 401 ? { "www-authenticate": "Bearer" } : {};
    response.writeHead(status, { "content-type": "text/plain", connection: "close", ...more }).end("refused\n");
    return;
  }
  response.writeProcessing();
  response.writeEarlyHints({ link: "</style.css>; rel=preload" });
  if (request.headers.expect !== undefined) response.writeContinue();
  request.resume();
  request.on("end", () => {
    response.writeHead(200, { "content-type": "text/plain", trailer: "x-check" });
    response.write(`${recorded.bodyBytes} bytes\n`);
    response.addTrailers({ "x-check": "def" });
    response.end();
  });
}

async function node(path: string, name?: typeof DOWN): Promise<string[]> {
  const result = await run(process.execPath, [client, service.url(path, name)], { env: await service.guestEnv() });
  if (result.code !== 0) throw new Error(result.stderr);
  return result.stdout.trimEnd().split("\n");
}

async function curl(path: string, ...args: string[]): Promise<string> {
  const env = await service.guestEnv();
  const result = await run(
    "curl",
    ["-sS", "--http1.1", "-D", "-", "--expect100-timeout", "50", ...args, service.url(path)],
    {
      env,
    },
  );
  if (result.code !== 0) throw new Error(result.stderr);
  return result.stdout;
}

const REFUSALS = [401, 403, 413, 503];

describe("Node's core client", () => {
  test("hears 102, 103 and 100 in their order, then its answer; trailers go both ways", async () => {
    expect(await node("/expect/full")).toEqual([
      "information 102 ",
      "information 103 </style.css>; rel=preload",
      "continue",
      "information 100 ",
      "answer 200",
      "body 4 bytes",
      'trailers {"x-check":"def"}',
    ]);
    const [seen] = service.upstream.requests;
    expect(seen).toMatchObject({ body: "complete", rawTrailers: ["x-sum", "abc"], credential: true });
    expect(valuesOf(seen!, "expect")).toEqual(["100-continue"]);
  });

  test.each([401, 417])("whose expectation is refused with %i keeps its body", async (status) => {
    expect(await node(`/expect/${status}`)).toEqual([`answer ${status}`, "body refused", "trailers {}"]);
    expect(service.upstream.requests).toHaveLength(1);
    expect(service.upstream.requests[0]).toMatchObject({ bodyBytes: 0, credential: true });
  });

  test("is refused by the edge the same way when custody is down", async () => {
    const [answer, body] = await node("/expect/full", DOWN);
    expect(answer).toBe("answer 503");
    expect(body).toContain('"code":"custody_unavailable"');
    expect(service.upstream.connections).toBe(0);
  });
});

describe("curl", () => {
  test("is shown every head, in its order", async () => {
    const text = await curl("/expect/full", "-H", "Expect: 100-continue", "-T", file);
    const heads = [...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status);
    expect(heads.filter((status, i) => i > 0 || status !== "200")).toEqual(["102", "103", "100", "200"]);
    expect(text).toMatch(/3000000 bytes\n/);
    expect(text).toMatch(/\nx-check: def\r\n/);
  });

  test.each(REFUSALS)("whose expectation is refused with %i keeps its body, and is not asked twice", async (status) => {
    const text = await curl(`/expect/${status}`, "-H", "Expect: 100-continue", "-T", file);
    expect(text).toContain(`HTTP/1.1 ${status} `);
    expect(text).toMatch(/refused\n$/);
    expect(service.upstream.requests).toHaveLength(1);
    expect(service.upstream.requests[0]).toMatchObject({ bodyBytes: 0, credential: true });
  });
});
