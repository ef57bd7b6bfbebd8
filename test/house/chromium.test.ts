import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Browser, chromiumFor, hasChromium } from "./support/chromium.ts";
import { type House, startHouse, WAYS } from "./support/house.ts";
import { startRawUpstream } from "./support/raw-upstream.ts";

/** A browser: many connections, its own idea of TLS (GREASE, ECH, post-quantum hellos), pages that fetch. */

let house: House;
let browser: Browser;

const SCRIPT = `
const ask = (method, path, body) => {
  const request = new XMLHttpRequest();
  request.open(method, path, false);
  request.send(body);
  return request.status + " " + request.responseText;
};
document.body.textContent = ask("GET", "/one") + "|" + ask("POST", "/two", "x".repeat(100000));
`;
const PAGE = `<!doctype html><title>t</title><body><script>${SCRIPT}</script>`;

beforeAll(async () => {
  if (!hasChromium) return;
  house = await startHouse({
    others: async (ca) => ({
      "page.test": await startRawUpstream(
        (socket, first) => {
          const body = first.startsWith("GET / ") ? PAGE : (first.split(" ")[1] ?? "");
          const type = first.startsWith("GET / ") ? "text/html" : "text/plain";
          socket.end(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
        },
        { tls: await ca.issue(["page.test"]) },
      ),
      "through.test": await startRawUpstream(() => undefined),
    }),
    passThrough: ["through.test"],
  });
  browser = await chromiumFor(house.edge);
});

afterAll(async () => {
  await house?.stop();
  await browser?.remove();
});

beforeEach(() => house?.reset());

describe.skipIf(!hasChromium)(`Chromium${hasChromium ? "" : " (skipped: Chromium or certutil is absent)"}`, () => {
  test.each(WAYS)("opens a page %s", async (way) => {
    const result = await browser.open(house.url(way, "/hello?from=chromium"));
    expect(result.stdout).toContain('"url":"/hello?from=chromium","credential":"seen"');
    expect(house.upstream(way).credentialless()).toBe(0);
  });

  test("runs a page that fetches and posts", async () => {
    const result = await browser.open(`https://page.test:${house.others["page.test"]?.port}/`);
    expect(result.stdout).toContain("200 /one|200 /two");
  });

  test("hides a decoy in its hello, which nothing tells from a hidden name: a pass-through tunnel does not begin", async () => {
    const through = `through.test:${house.others["through.test"]?.port}`;
    await browser.open(`https://${through}/`);
    // A connection in reserve, which Chromium closes without a word, is refused nothing.
    const denials = async (): Promise<unknown[]> =>
      (await house.edge.audit())
        .filter(({ authority, denial }) => authority === through && denial !== undefined)
        .map(({ denial }) => denial);
    await expect.poll(async () => [...new Set(await denials())]).toEqual(["ech_refused"]);
    expect(house.others["through.test"]?.received.join("")).toBe("");
  });

  test("is kept from what is not allowed", async () => {
    const result = await browser.open(house.upstream(WAYS[0]).urlFor("other.test", "/"));
    expect(result.stdout).not.toContain("credential");
    expect(house.upstream(WAYS[0]).connections).toBe(0);
  });
});
