import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CLIENT_WAYS, type House, OVER_HTTP2, startHouse, TOKEN, WAYS } from "./support/house.ts";
import { patternBytes, patternSha256 } from "./support/pattern.ts";
import { valuesOf } from "./support/recording.ts";

/** curl does what it always does; that there is an edge shows only in the credential that the upstream sees. */

let house: House;
let file = "";
const FILE_BYTES = 3_000_000;

beforeAll(async () => {
  house = await startHouse();
  file = join(house.directory, "upload.bin");
  await writeFile(file, patternBytes(0, FILE_BYTES));
});

afterAll(() => house?.stop());

beforeEach(() => house.reset());

describe.each(CLIENT_WAYS)("%s", (way) => {
  test("GET", async () => {
    const result = await house.curl(way, "/hello?a=1");
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(result.stdout)).toEqual({ method: "GET", url: "/hello?a=1", credential: "seen" });
    const [seen] = house.upstream(way).requests;
    expect(valuesOf(seen!, "authorization")).toEqual([`Bearer ${TOKEN}`]);
    expect(seen).toMatchObject({ httpVersion: "1.1", serverName: way === WAYS[1] ? null : "api.test" });
  });

  test.each(["DELETE", "PATCH", "OPTIONS", "PROPFIND", "QUERY"])("%s", async (method) => {
    const result = await house.curl(way, "/hello", "-X", method);
    expect(JSON.parse(result.stdout)).toMatchObject({ method });
  });

  test.each([
    ["POST by length", ["--data-binary"], []],
    ["POST chunked", ["--data-binary"], ["-H", "Transfer-Encoding: chunked"]],
    ["PUT by length", ["-T"], []],
    ["PUT chunked", ["-T"], ["-H", "Transfer-Encoding: chunked"]],
  ] as const)("%s", async (_name, [option], more) => {
    const body = option === "-T" ? file : `@${file}`;
    const result = await house.curl(way, "/upload", ...more, option, body);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(result.stdout)).toMatchObject({ bytes: FILE_BYTES, sha256: patternSha256(FILE_BYTES) });
    expect(house.upstream(way).requests[0]).toMatchObject({
      method: option === "-T" ? "PUT" : "POST",
      body: "complete",
    });
  });

  test("POST without a body, PUT of nothing", async () => {
    const post = await house.curl(way, "/upload", "-X", "POST");
    const empty = await house.curl(way, "/upload", "-X", "PUT", "-d", "");
    expect([post, empty].map(({ stdout }) => JSON.parse(stdout) as unknown)).toEqual([
      expect.objectContaining({ bytes: 0 }),
      expect.objectContaining({ bytes: 0 }),
    ]);
  });

  test("HEAD keeps the content-length, and the connection", async () => {
    const url = house.url(way, "/download?bytes=123456");
    const result = await house.curl(way, "/download?bytes=123456", "-I", url);
    expect(result.code).toBe(0);
    expect(result.stdout.match(/^content-length: 123456\r$/gim)).toHaveLength(2);
    const connections = house.upstream(way).requests.map(({ connection }) => connection);
    expect(connections).toHaveLength(2);
    expect(connections[0]).toBe(connections[1]);
  });

  test.each([204, 304])("%i has no body, and keeps the connection", async (code) => {
    const path = `/status?code=${code}`;
    const told = "%{http_code} %{size_download} %{num_connects}\n";
    const result = await house.curl(way, path, "-w", told, house.url(way, path));
    expect(result.stdout).toBe(`${code} 0 1\n${code} 0 0\n`);
  });

  test("Expect: 100-continue, accepted: the upstream's own 100 and then the body", async () => {
    const args = ["-H", "Expect: 100-continue", "--expect100-timeout", "50", "-D", "-", "-T", file];
    const result = await house.curl(way, "/expect/accept", ...args);
    expect(result.stdout).toMatch(/^(?:HTTP\/1\.1 200 .*\r\n\r\n)?HTTP\/[12.]+ 100.*\r\n\r\nHTTP\/[12.]+ 200 /);
    expect(result.stdout).toContain(patternSha256(FILE_BYTES));
  });

  test("Expect: 100-continue, refused: the body stays at home", async () => {
    const args = ["-H", "Expect: 100-continue", "--expect100-timeout", "50", "-D", "-", "-T", file];
    const result = await house.curl(way, "/early", ...args);
    expect(result.code).toBe(0);
    expect(result.stdout).toMatch(/HTTP\/[12.]+ 413 [\s\S]*too large\n$/);
    expect(result.stdout).not.toMatch(/^HTTP\/[12.]+ 100/m);
    expect(house.upstream(way).requests).toHaveLength(1);
    // Over HTTP/2 curl says it and does not wait.
    if (way !== OVER_HTTP2) expect(house.upstream(way).requests[0]).toMatchObject({ bodyBytes: 0 });
  });

  test("417: curl tries again without the expectation, as it would anywhere", async () => {
    const args = ["-H", "Expect: 100-continue", "--expect100-timeout", "50", "-D", "-", "-d", "body"];
    const result = await house.curl(way, "/expect/refuse", ...args);
    expect(result.stdout).toMatch(/HTTP\/[12.]+ 417 /);
    if (way !== OVER_HTTP2) expect(house.upstream(way).requests[0]).toMatchObject({ bodyBytes: 0 });
  });

  test("ranges", async () => {
    const part = await house.curl(way, "/range", "-r", "65000-70000", "-w", "%{stderr}%{http_code}");
    expect(part.stderr).toBe("206");
    expect(part.stdoutBytes.equals(patternBytes(65_000, 70_001))).toBe(true);
    const beyond = await house.curl(way, "/range", "-r", "9999999-", "-o", "/dev/null", "-w", "%{http_code}");
    expect(beyond.stdout).toBe("416");
    const same = await house.curl(way, "/range", "-H", 'If-None-Match: "pattern"', "-w", "%{http_code}");
    expect(same.stdout).toBe("304");
  });

  test("a broken-off download is resumed", async () => {
    const partial = join(house.directory, `partial-${CLIENT_WAYS.indexOf(way)}.bin`);
    await writeFile(partial, patternBytes(0, 400_000));
    const resumed = await house.curl(way, "/range", "-C", "-", "-o", partial);
    expect(resumed).toMatchObject({ code: 0, stderr: "" });
    expect(valuesOf(house.upstream(way).requests[0]!, "range")).toEqual(["bytes=400000-"]);
    expect((await readFile(partial)).equals(patternBytes(0, 1 << 20))).toBe(true);
  });

  test.each([301, 302, 303, 307, 308])("%i is the guest's to follow, not the edge's", async (status) => {
    const other = house.upstream(way === WAYS[1] ? WAYS[0] : WAYS[1]);
    const to = other.urlFor("api.test", "/hello");
    const result = await house.curl(way, `/redirect?status=${status}&to=${encodeURIComponent(to)}`, "-D", "-");
    expect(result.stdout).toMatch(new RegExp(`^(?:HTTP/1.1 200 .*\\r\\n\\r\\n)?HTTP/[12.]+ ${status} `));
    expect(result.stdout).toContain(`location: ${to}\r\n`);
    expect(other.connections).toBe(0);
    const followed = await house.curl(way, `/redirect?status=${status}&to=${encodeURIComponent(to)}`, "-L");
    expect(JSON.parse(followed.stdout)).toMatchObject({ url: "/hello", credential: "seen" });
  });

  test.each(["/download?bytes=200000", "/chunked?chunks=4&size=50000"])("--http1.0 %s", async (path) => {
    const result = await house.curl(way, path, "--http1.0", "--raw", "-D", join(house.directory, "head"));
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdoutSha256).toBe(patternSha256(200_000));
  });

  test("an answer that ends where the connection ends", async () => {
    const result = await house.curl(way, "/until-close");
    expect(result).toMatchObject({ code: 0, stdout: "until the end\n" });
  });

  test.each(["", "&chunked=1"])("20 MB down%s", async (more) => {
    const result = await house.curl(way, `/download?bytes=20000000${more}`);
    expect(result.code).toBe(0);
    expect(result.stdoutSha256).toBe(patternSha256(20_000_000));
  });

  test("cookies are kept one by one", async () => {
    const result = await house.curl(way, "/set-cookie", "-D", "-");
    expect(result.stdout).toContain("set-cookie: first=1; Path=/; HttpOnly\r\nset-cookie: second=2; Secure\r\n");
  });

  test("many requests at once", async () => {
    const urls = Array.from({ length: 40 }, (_, i) => house.url(way, `/hello?i=${i}`));
    const result = await house.curl(way, "/hello?i=last", "--parallel", "--parallel-max", "20", ...urls);
    expect(result.code).toBe(0);
    expect(house.upstream(way).requests).toHaveLength(41);
    expect(house.upstream(way).credentialless()).toBe(0);
  });
});
