import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { denialIn } from "../hostile/raw-guest.ts";
import { CLIENT_WAYS, type House, OVER_HTTP2, startHouse, TOKEN, WAYS } from "./support/house.ts";
import { type RawUpstream, startRawUpstream } from "./support/raw-upstream.ts";
import { type Recorded, valuesOf } from "./support/recording.ts";

/** What goes through the edge is what was sent, byte for byte; nothing is added but the credential. */

let house: House;
/** What `raw.test` and `plain-raw.test` answer next. */
let answer = "";

beforeAll(async () => {
  const respond: Parameters<typeof startRawUpstream>[0] = (socket) => socket.end(Buffer.from(answer, "latin1"));
  house = await startHouse({
    others: async (ca) => ({
      "raw.test": await startRawUpstream(respond, { tls: await ca.issue(["raw.test"]) }),
      "plain-raw.test": await startRawUpstream(respond),
    }),
  });
});

afterAll(() => house?.stop());

beforeEach(() => house.reset());

/** Name and value lines as they came, but for Authorization: what the guest says there is not what the upstream gets. */
function others({ rawHeaders }: Recorded, spelled = (name: string) => name): string[] {
  const lines: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    if (name.toLowerCase() !== "authorization") lines.push(`${spelled(name)}: ${rawHeaders[i + 1]}`);
  }
  return lines;
}

describe.each(CLIENT_WAYS)("a request of curl %s", (way) => {
  /** HTTP/2 has names in lower case only (RFC 9113 §8.2), and curl asks for no leave to send a body there. */
  const lines = (seen: Recorded): string[] =>
    way === OVER_HTTP2
      ? others(seen, (name) => name.toLowerCase()).filter((line) => !line.startsWith("expect:"))
      : others(seen);

  test.each([
    ["plain", []],
    ["compressed", ["--compressed"]],
    ["with an odd accept-encoding", ["-H", "aCCept-Encoding: br;q=0.5,  gzip, x-foo"]],
    [
      "with duplicates in order",
      ["-H", "X-A: 1", "-H", "x-b: 2", "-H", "X-a: 3", "-H", "Accept: text/*", "-H", "Accept: a/b"],
    ],
    ["with an empty value", ["-H", "X-Empty;"]],
    ["with Latin-1", ["-H", Buffer.from("X-Latin: caf\u00e9 \u00fc", "utf8").toString("utf8")]],
    ["with cookies", ["-H", "Cookie: a=1; b=2", "-H", "X-Forwarded-For: 1.2.3.4", "-H", "Via: 1.0 somebody"]],
    ["with cache and tracing fields", ["-H", "Cache-Control: no-cache", "-H", "traceparent: 00-1-2-01"]],
    ["with a body", ["-d", "a=1&b=2"]],
    ["with a chunked body", ["-d", "a=1&b=2", "-H", "Transfer-Encoding: chunked"]],
    ["with a form", ["-F", "a=1", "-F", "b=@/dev/null"]],
    ["without a user agent", ["-A", ""]],
  ])("%s: the upstream sees what curl sends anybody", async (_name, args) => {
    await house.curlDirectly(way, "/inspect?q=1", ...args);
    await house.curl(way, "/inspect?q=1", "-H", "authorization: Bearer mine", ...args);
    const [direct, through] = house.upstream(way).requests as [Recorded, Recorded];
    const boundary = (line: string): string => line.replace(/-{8,}[0-9A-Za-z]+/, "");
    expect(lines(through).map(boundary).sort()).toEqual(lines(direct).map(boundary).sort());
    // Framing of this hop is written anew, behind the rest.
    const kept = (seen: Recorded): string[] =>
      lines(seen)
        .filter((line) => !/^transfer-encoding:/i.test(line))
        .map(boundary);
    expect(kept(through)).toEqual(kept(direct));
    expect(valuesOf(through, "authorization")).toEqual([`Bearer ${TOKEN}`]);
    expect(through).toMatchObject({ method: direct.method, url: direct.url, httpVersion: "1.1", body: "complete" });
    expect(through.bodyBytes).toBe(direct.bodyBytes);
  });
});

describe.each(WAYS)("a request %s", (way) => {
  test.each([
    "/a//b",
    "/a/./b",
    "/a/../b",
    "/..",
    "/%2f..",
    "/@scope%2fname",
    "/@scope%2Fname",
    "/%2e%2E/x",
    "/a%20b",
    "/a;b=c;d",
    "/%E2%82%AC",
    "/%c3%a9/%ff",
    "/%41%7e",
    "/?",
    "/??a?b",
    "/a?x=%2f&x=%zz&y=[1]|{2}&z=`'\"<>^",
    "/a?q=a+b%20c&&;",
    `/${"long/".repeat(2400)}`,
    `/long?q=${"a".repeat(12_000)}`,
  ])("keeps the path %s", async (path) => {
    const guest = await house.raw(way);
    guest.request("GET", path, ["Connection: close"]);
    expect(await guest.ended()).toMatch(/^HTTP\/1\.1 200 /);
    guest.destroy();
    expect(house.upstream(way).requests.map(({ url }) => url)).toEqual([path]);
  });

  test("keeps raw field lines: case, order, duplicates, blanks inside, Latin-1", async () => {
    const fields = [
      "X-One: 1",
      "x-ONE: 2",
      "X-Empty:",
      "X-Latin: caf\u00e9 \u00ff",
      "X-In:  a  b\tc  ",
      "!#$%&'*+.^_`|~9: ok",
    ];
    const guest = await house.raw(way);
    guest.request("GET", "/inspect", [...fields, "Connection: close"]);
    await guest.ended();
    guest.destroy();
    const [seen] = house.upstream(way).requests as [Recorded];
    expect(others(seen).slice(1)).toEqual([
      "X-One: 1",
      "x-ONE: 2",
      "X-Empty: ",
      "X-Latin: caf\u00e9 \u00ff",
      "X-In: a  b\tc",
      "!#$%&'*+.^_`|~9: ok",
    ]);
  });

  test("40 kB of head and 150 fields are no problem", async () => {
    const fields = Array.from({ length: 150 }, (_, i) => `X-Field-${i}: ${"v".repeat(260)}`);
    const guest = await house.raw(way);
    guest.request("GET", "/hello", [...fields, "Connection: close"]);
    expect(await guest.ended()).toMatch(/^HTTP\/1\.1 200 /);
    guest.destroy();
    expect(others(house.upstream(way).requests[0]!).slice(1, 151)).toEqual(fields);
  });

  test("70 kB of head are one", async () => {
    const guest = await house.raw(way);
    guest.request("GET", "/hello", [`X-Long: ${"v".repeat(70_000)}`]);
    expect(denialIn(await guest.ended())).toBe("header_limit");
    guest.destroy();
    expect(house.upstream(way).requests).toEqual([]);
  });

  test("says nothing of the hop before", async () => {
    const hop = [
      "Connection: keep-alive, X-Mine",
      "X-Mine: 1",
      "Keep-Alive: timeout=5",
      "Proxy-Connection: keep-alive",
      "Proxy-Authorization: Basic Zm9vOmJhcg==",
      "Proxy-Anything: x",
      "TE: gzip",
      "Upgrade: h2c",
      "HTTP2-Settings: AAMAAABk",
    ];
    const guest = await house.raw(way);
    guest.request("GET", "/inspect", hop);
    expect(await guest.until(/\}\n$/)).toMatch(/^HTTP\/1\.1 200 /);
    guest.destroy();
    const names = others(house.upstream(way).requests[0]!).map((line) => line.split(":")[0]?.toLowerCase());
    expect(names).toEqual(["host"]);
  });
});

describe.each(["raw.test", "plain-raw.test"])("an answer of %s", (name) => {
  test.each([
    [
      "odd case, duplicates, an empty value, Latin-1",
      "200 OK",
      ["X-Twice: 1", "x-TWICE: 2", "X-Empty: ", "X-L: caf\u00e9"],
    ],
    ["a reason of its own", "299 Quite OK, indeed (\u00e9)", []],
    ["no reason", "200 ", []],
    ["an unknown status", "599 Beyond", []],
    ["cookies", "200 OK", ["Set-Cookie: a=1; Path=/", "set-cookie: b=2; Expires=Wed, 21 Oct 2037 07:28:00 GMT"]],
    ["cache fields and a date of its own", "200 OK", ["Date: Thu, 01 Jan 1970 00:00:00 GMT", "Age: 7", "Via: 1.1 cdn"]],
    ["a coding that nobody knows", "200 OK", ["Content-Encoding: x-own", "Vary: *"]],
    ["a challenge", "401 Unauthorized", ['WWW-Authenticate: Basic realm="a, b"', "www-authenticate: Bearer"]],
    ["a long field", "200 OK", [`X-Long: ${"a".repeat(40_000)}`]],
    ["200 fields", "200 OK", Array.from({ length: 200 }, (_, i) => `X-${i}: ${i}`)],
  ])("%s: byte for byte", async (_name, status, fields) => {
    answer = `HTTP/1.1 ${[status, ...fields, "Content-Length: 6", "", "\x00\xffbody"].join("\r\n")}`;
    const guest = await house.rawTo(name);
    guest.request("GET", "/");
    expect(await guest.until(/\xffbody$/)).toBe(answer);
    guest.destroy();
  });

  test.each([
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-A: b\r\n\r\n"],
    ["HEAD", "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n"],
    ["GET", "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"],
    ["GET", 'HTTP/1.1 304 Not Modified\r\nETag: W/"x"\r\nContent-Length: 1000\r\n\r\n'],
    ["GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ])("%s without a body: %j", async (method, head) => {
    answer = head;
    const guest = await house.rawTo(name);
    guest.request(method, "/");
    guest.request("GET", "/next");
    expect((await guest.until(/\r\n\r\n[\s\S]*\r\n\r\n/)).slice(0, head.length)).toBe(head);
    guest.destroy();
  });

  test("fields of the hop behind are kept from the guest", async () => {
    const hop = [
      "Connection: keep-alive, X-Hop",
      "X-Hop: 1",
      "Keep-Alive: timeout=5",
      "Proxy-Authenticate: Basic",
      "Alt-Svc: h3",
    ];
    answer = ["HTTP/1.1 200 OK", ...hop, "X-Kept: 1", "Content-Length: 2", "", "ok"].join("\r\n");
    const guest = await house.rawTo(name);
    guest.request("GET", "/");
    expect(await guest.until(/ok$/)).toBe("HTTP/1.1 200 OK\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok");
    guest.destroy();
  });

  test("an HTTP/1.0 answer", async () => {
    answer = "HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nuntil the end";
    const guest = await house.rawTo(name);
    guest.request("GET", "/");
    const text = await guest.until(/0\r\n\r\n$/);
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n/);
    expect(text.replaceAll(/\r\n[0-9a-f]*\r\n/g, "")).toContain("until the end");
    guest.destroy();
  });
});

test("an absolute-form https:// request gets TLS on the way to its upstream", async () => {
  const secure = house.upstream(WAYS[0]);
  const guest = await house.raw(WAYS[1]);
  const target = secure.urlFor("api.test", "/inspect?x=%2f");
  guest.send(`GET ${target} HTTP/1.1\r\nHost: api.test:${secure.port}\r\nConnection: close\r\n\r\n`);
  expect(await guest.ended()).toMatch(/^HTTP\/1\.1 200 /);
  guest.destroy();
  expect(secure.requests).toHaveLength(1);
  expect(secure.requests[0]).toMatchObject({ url: "/inspect?x=%2f", serverName: "api.test", credential: true });
});

test("no upstream ever heard of the edge", () => {
  const raws: RawUpstream[] = Object.values(house.others);
  for (const text of raws.flatMap(({ received }) => received)) {
    expect(text).not.toMatch(/\r\n(?:via|x-forwarded|forwarded|proxy-|x-postern|x-correlation)[^\r]*:/i);
    expect(text).not.toContain("postern");
  }
});
