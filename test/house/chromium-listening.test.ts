import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Browser, chromiumFor, hasChromium } from "./support/chromium.ts";
import { type Recorded, valuesOf } from "./support/recording.ts";
import { type Service, startService } from "./support/service.ts";

/** A page that keeps connections open: a WebSocket and an EventSource. */

const TOKEN = "browser-token-0c77e1";
let service: Service;
let browser: Browser;
let held: ServerResponse | null = null;
let events: ServerResponse | null = null;
const reports: unknown[] = [];

/** Its load event waits for `/hold`, which is answered when the page has reported. */
const PAGE = `<!doctype html><body><script>
  const heard = { ws: "", sse: [] };
  const report = () => {
    if (heard.ws !== "" && heard.sse.length === 2) fetch("/report", { method: "POST", body: JSON.stringify(heard) });
  };
  const socket = new WebSocket("wss://" + location.host + "/ws", "chat");
  socket.onopen = () => socket.send("hello from a page");
  socket.onmessage = ({ data }) => {
    heard.ws = data + " " + socket.protocol;
    report();
  };
  const source = new EventSource("/events");
  source.onmessage = ({ data, lastEventId }) => {
    heard.sse.push(lastEventId + " " + data);
    if (heard.sse.length === 1) fetch("/heard-one", { method: "POST" });
    report();
  };
</script><img src="/hold">`;

/** The second event is sent when the page says that it has the first. */
function answer(response: ServerResponse, { url }: Recorded): void {
  if (url === "/events") {
    events = response;
    response.writeHead(200, { "content-type": "text/event-stream" }).write("id: 1\ndata: one\n\n");
  } else if (url === "/hold") held = response;
  else response.writeHead(200, { "content-type": "text/html" }).end(url === "/page" ? PAGE : "");
  if (url === "/heard-one") events?.write("id: 2\ndata: two\n\n");
  if (reports.length === 0) return;
  held?.writeHead(204).end();
  // Asked for something more (an icon), it is not answered twice.
  held = null;
}

beforeAll(async () => {
  if (!hasChromium) return;
  service = await startService({
    demand: { in: "header", name: "authorization", value: `Bearer ${TOKEN}` },
    secret: TOKEN,
    destination: { attach: { as: "bearer" } },
    serve(request, response, recorded) {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        if (recorded.url === "/report") reports.push(JSON.parse(body));
        answer(response, recorded);
      });
    },
  });
  browser = await chromiumFor(service.edge);
});

afterAll(async () => {
  await service?.stop();
  await browser?.remove();
});

describe.skipIf(!hasChromium)(`Chromium${hasChromium ? "" : " (skipped: Chromium or certutil is absent)"}`, () => {
  test("listens to a WebSocket and to server-sent events: each has the credential, each part comes when it is sent", async () => {
    await browser.open(service.url("/page"));
    expect(reports).toEqual([{ ws: "hello from a page chat", sse: ["1 one", "2 two"] }]);
    const paths = service.upstream.requests.map(({ url }) => url);
    expect(paths).toEqual(expect.arrayContaining(["/page", "/ws", "/events", "/heard-one", "/report"]));
    for (const seen of service.upstream.requests) expect(valuesOf(seen, "authorization")).toEqual([`Bearer ${TOKEN}`]);
  });

  test("opens the WebSocket by extended CONNECT on the connection of its page (RFC 8441)", () => {
    const [seen] = service.upstream.requestsFor("/ws");
    const names = seen?.rawHeaders.filter((_, i) => i % 2 === 0) ?? [];
    // As they came: Chromium writes capitals over HTTP/1.1, and over HTTP/2 leaves the key to the edge.
    expect(names).toContain("sec-websocket-version");
    expect(names.filter((name) => /key$/i.test(name))).toEqual(["Sec-WebSocket-Key"]);
  });
});
