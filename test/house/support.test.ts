import { mkdtemp, readFile, rm } from "node:fs/promises";
import { get, type IncomingMessage, request as httpRequest } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect as tlsConnect } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { makeCa, type TestCa } from "./support/certificates.ts";
import { makeRepository } from "./support/git-backend.ts";
import { patternBytes, patternSha256 } from "./support/pattern.ts";
import { startRawUpstream } from "./support/raw-upstream.ts";
import { valuesOf } from "./support/recording.ts";
import { bareEnv, isPresent, run } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** The instruments of the whole-process tests, tested by themselves: clients go straight to the upstream. */

let directory = "";
let ca: TestCa;
let secure: Upstream;
let plain: Upstream;
const credential = { in: "header", name: "authorization", value: "Bearer right" } as const;
const proof = ["-H", "authorization: Bearer right"];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-support-"));
  ca = await makeCa(join(directory, "ca"));
  const leaf = await ca.issue(["localhost", "127.0.0.1"]);
  await makeRepository(directory, "sample");
  secure = await startUpstream({ tls: leaf, demand: credential, gitRoot: directory });
  plain = await startUpstream();
});

afterEach(() => {
  secure.reset();
  plain.reset();
});

afterAll(async () => {
  await secure.close();
  await plain.close();
  await rm(directory, { recursive: true, force: true });
});

function curl(...args: string[]): ReturnType<typeof run> {
  return run("curl", ["-sS", "--cacert", ca.certificateFile, ...args], { env: bareEnv(directory) });
}

describe("the recorder", () => {
  test("refuses and counts a request without the credential", async () => {
    const bare = await curl("-o", "/dev/null", "-w", "%{http_code}", `${secure.url}/download`);
    const wrong = await curl("-H", "authorization: Bearer wrong", "-w", "%{http_code}", `${secure.url}/`);
    const twice = await curl(...proof, ...proof, "-w", "%{http_code}", `${secure.url}/`);
    expect([bare.stdout, wrong.stdout, twice.stdout].map((text) => text.slice(-3))).toEqual(["401", "401", "401"]);
    expect(secure.credentialless()).toBe(3);
  });

  test("says interim answers ahead of the final one, to a client that did not wait for its turn, too", async () => {
    const socket = connect(plain.port, "127.0.0.1");
    socket.write(
      "GET /interim HTTP/1.1\r\nHost: a\r\n\r\nGET /interim HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    const answers = await text(socket);
    const statuses = [...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
    expect(statuses).toEqual(["102", "103", "200", "102", "103", "200"]);
  });

  test("records a request that came behind one whose answer ends the connection", async () => {
    const upstream = await startUpstream({
      serve: (_request, response) => void response.writeHead(200, { connection: "close" }).end(),
    });
    const socket = connect(upstream.port, "127.0.0.1");
    socket.write("GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    await text(socket);
    expect(upstream.requests.map(({ url }) => url)).toEqual(["/first", "/smuggled"]);
    await upstream.close();
  });

  test("lets a request with the credential in and records it raw", async () => {
    const result = await curl(
      ...proof,
      "--path-as-is",
      "-H",
      "X-Odd: a",
      "-H",
      "x-oDD: b",
      `${secure.url}/a/../b%2Fc?q=1`,
    );
    expect(JSON.parse(result.stdout)).toEqual({ method: "GET", url: "/a/../b%2Fc?q=1", credential: "seen" });
    const [recorded] = secure.requests;
    expect(recorded).toMatchObject({
      method: "GET",
      credential: true,
      body: "complete",
      bodyBytes: 0,
      httpVersion: "1.1",
    });
    expect(recorded?.rawHeaders).toEqual(expect.arrayContaining(["X-Odd", "x-oDD"]));
    expect(valuesOf(recorded!, "x-odd")).toEqual(["a", "b"]);
    expect(secure.credentialless()).toBe(0);
  });

  test("tells the server name and the connection", async () => {
    const url = secure.urlFor("localhost", "/");
    await curl("-4", ...proof, url, url);
    await curl("-4", ...proof, url);
    expect(secure.requests.map(({ serverName }) => serverName)).toEqual(["localhost", "localhost", "localhost"]);
    const [first, second, third] = secure.requests.map(({ connection }) => connection);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
  });

  test("counts a connection that never sends a request", async () => {
    expect(secure.connections).toBe(0);
    const socket = tlsConnect({ port: secure.port, host: "127.0.0.1", ca: ca.certificate, servername: "localhost" });
    await new Promise<void>((done) => socket.on("secureConnect", () => done()));
    socket.destroy();
    expect(secure.connections).toBe(1);
    expect(secure.requests).toEqual([]);
  });

  test("marks a body that broke off", async () => {
    const request = httpRequest(`${plain.url}/upload`, { method: "POST", headers: { "content-length": 1000 } });
    request.on("error", () => undefined);
    request.write("half");
    await plain.waitFor(1);
    await expect.poll(() => plain.requests[0]?.bodyBytes).toBe(4);
    request.destroy();
    await expect.poll(() => plain.requests[0]?.body).toBe("broken");
  });

  test("takes the credential from the query or a cookie as well", async () => {
    const byQuery = await startUpstream({ demand: { in: "query", name: "key", value: "right" } });
    const byCookie = await startUpstream({ demand: { in: "cookie", name: "session", value: "right" } });
    await curl(`${byQuery.url}/x?key=right`, `${byQuery.url}/x?key=right&key=right`, `${byQuery.url}/x`);
    await curl("-H", "cookie: a=1; session=right", byCookie.url);
    await curl("-H", "cookie: a=1", byCookie.url);
    expect(byQuery.requests.map(({ credential }) => credential)).toEqual([true, false, false]);
    expect(byCookie.requests.map(({ credential }) => credential)).toEqual([true, false]);
    await byQuery.close();
    await byCookie.close();
  });
});

describe("the routes", () => {
  test("echo", async () => {
    const result = await curl("-d", "hello", "-D", "-", `${plain.url}/echo`);
    expect(result.stdout).toContain("\r\n\r\nhello");
    expect(result.stdout).toContain("x-body-sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  });

  test("echo-stream is full duplex", async () => {
    const request = httpRequest(`${plain.url}/echo-stream`, { method: "POST" });
    request.write("first");
    const response = await new Promise<IncomingMessage>((done) => request.on("response", done));
    const first = await new Promise<string>((done) => response.once("data", (chunk: Buffer) => done(String(chunk))));
    expect(first).toBe("first");
    request.end("second");
    const rest: string[] = [];
    for await (const chunk of response) rest.push(String(chunk));
    expect(rest.join("")).toBe("second");
  });

  test("inspect", async () => {
    const result = await curl("-d", "hello", `${plain.url}/inspect`);
    expect(JSON.parse(result.stdout)).toMatchObject({
      method: "POST",
      url: "/inspect",
      bodyBytes: 5,
      body: "complete",
    });
  });

  test("sse", async () => {
    const result = await curl("-N", `${plain.url}/sse?events=2&gap=1`);
    expect(result.stdout).toBe("id: 0\ndata: event 0\n\nid: 1\ndata: event 1\n\n");
  });

  test("chunked", async () => {
    const result = await curl(`${plain.url}/chunked?chunks=3&size=70000`);
    expect(result.stdoutSha256).toBe(patternSha256(210_000));
  });

  test("trailers", async () => {
    const trailers = await new Promise((done) =>
      get(`${plain.url}/trailers`, (response) => response.resume().on("end", () => done(response.trailers))),
    );
    expect(trailers).toEqual({ "x-checksum": "abc123", "x-late": "true" });
  });

  test.each(["", "&chunked=1"])("download%s", async (more) => {
    const result = await curl(`${plain.url}/download?bytes=20000000${more}`);
    expect(result.stdoutSha256).toBe(patternSha256(20_000_000));
  });

  test.each([["length"], ["chunked", "-H", "transfer-encoding: chunked"]])("upload by %s", async (_, ...more) => {
    const body = patternBytes(0, 5_000_000);
    const args = ["-sS", "--data-binary", "@-", ...more, `${plain.url}/upload`];
    const result = await run("curl", args, { input: body, env: bareEnv(directory) });
    expect(JSON.parse(result.stdout)).toEqual({ bytes: 5_000_000, sha256: patternSha256(5_000_000), trailers: [] });
    expect(plain.requests[0]).toMatchObject({ body: "complete", bodyBytes: 5_000_000 });
  });

  test("redirect, set-cookie and status", async () => {
    const redirect = await curl("-D", "-", `${plain.url}/redirect?to=https://elsewhere.test/&status=307`);
    expect(redirect.stdout).toMatch(/^HTTP\/1.1 307 .*\r\n(.*\r\n)*location: https:\/\/elsewhere.test\/\r\n/);
    const cookies = await curl("-D", "-", `${plain.url}/set-cookie`);
    expect(cookies.stdout.match(/set-cookie: /g)).toHaveLength(2);
    const status = await curl("-D", "-", `${plain.url}/status?code=204`);
    expect(status.stdout).toMatch(/^HTTP\/1.1 204 /);
  });

  test("reflect leaks in every place", async () => {
    const result = await curl("--raw", "-D", "-", ...proof, `${plain.url}/reflect?reason=authorization`);
    expect(result.stdout).toMatch(/^HTTP\/1.1 200 Saw Bearer right\r\n/);
    expect(result.stdout).toContain("x-reflect-authorization: Bearer right\r\n");
    expect(result.stdout).toContain("x-trailer: Bearer right\r\n");
    expect(result.stdout).toContain(Buffer.from("Bearer right").toString("base64"));
    expect(result.stdout).toContain("\nauthorization: Bearer right\n");
  });

  test.each(["gzip", "deflate", "br"])("encoded %s", async (coding) => {
    const response = await fetch(`${plain.url}/encoded?coding=${coding}`, { headers: { authorization: "Bearer x" } });
    expect(response.headers.get("content-encoding")).toBe(coding);
    expect(await response.text()).toBe("the credential is Bearer x\n");
  });

  test("unauthorized-once", async () => {
    const ask = (): Promise<Response> => fetch(`${plain.url}/unauthorized-once?key=k`);
    expect([(await ask()).status, (await ask()).status, (await ask()).status]).toEqual([401, 200, 200]);
  });

  test("slow", async () => {
    const result = await curl(`${plain.url}/slow?ms=5&body_ms=5`);
    expect(result.stdout).toBe("slow\n");
  });

  test.each([
    ["a length", "?bytes=5000&after=100", 18],
    ["chunks", "?chunked=1&after=100", 18],
    ["silence", "?after=nothing", 52],
  ])("reset after %s", async (_, query, code) => {
    const result = await curl(`${plain.url}/reset${query}`);
    // curl: 18 partial file, 52 empty reply; 56 is the reset itself, whichever comes first.
    expect([code, 56]).toContain(result.code);
  });

  test("early answer reads no body", async () => {
    const request = httpRequest(`${plain.url}/early`, { method: "POST", headers: { "content-length": 1_000_000 } });
    request.on("error", () => undefined);
    request.flushHeaders();
    const status = await new Promise((done) => request.on("response", (response) => done(response.statusCode)));
    expect(status).toBe(413);
    request.destroy();
  });

  test("expectation accepted and refused", async () => {
    // Without an answer curl sends the body after a second.
    const args = ["-H", "expect: 100-continue", "--expect100-timeout", "20", "-D", "-", "-d", "body"];
    const accepted = await curl(...args, `${plain.url}/expect/accept`);
    expect(accepted.stdout).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 /);
    const refused = await curl(...args, `${plain.url}/expect/refuse`);
    expect(refused.stdout).toMatch(/^HTTP\/1.1 417 /);
    expect(plain.requests[1]?.bodyBytes).toBe(0);
  });

  test("interim answers", async () => {
    const result = await curl("-D", "-", `${plain.url}/interim`);
    expect(result.stdout.match(/^HTTP\/1.1 \d+/gm)).toEqual(["HTTP/1.1 102", "HTTP/1.1 103", "HTTP/1.1 200"]);
  });

  test("ranges and conditions", async () => {
    const part = await curl("-r", "1000-1999", "-D", "-", `${plain.url}/range`);
    expect(part.stdout).toContain("content-range: bytes 1000-1999/1048576");
    const body = await curl("-r", "65000-70000", `${plain.url}/range`);
    expect(body.stdoutBytes.equals(patternBytes(65_000, 70_001))).toBe(true);
    const codes = await curl("-o", "/dev/null", "-w", "%{http_code}", "-r", "9999999-", `${plain.url}/range`);
    expect(codes.stdout).toBe("416");
    const same = await curl("-w", "%{http_code}", "-H", 'if-none-match: "pattern"', `${plain.url}/range`);
    expect(same.stdout).toBe("304");
  });

  test("odd fields, a long head, an end by close", async () => {
    const odd = await curl("-D", "-", `${plain.url}/odd-fields`);
    expect(odd.stdoutBytes.toString("latin1")).toContain(
      "X-Twice: one\r\nx-TWICE: two\r\nX-Empty: \r\nX-Latin: caf\u00e9\r\n",
    );
    const long = await curl("-D", "-", `${plain.url}/long-head?bytes=30000`);
    expect(long.stdout).toContain("a".repeat(30_000));
    const close = await curl(`${plain.url}/until-close`);
    expect(close.stdout).toBe("until the end\n");
  });

  test("h2c offers are ignored", async () => {
    const offer = ["-H", "connection: upgrade, http2-settings", "-H", "upgrade: h2c", "-H", "http2-settings: AAMAAABk"];
    const result = await curl("-w", "%{http_code}", "-o", "/dev/null", ...offer, plain.url);
    expect(result.stdout).toBe("200");
  });
});

describe("WebSocket", () => {
  test("echoes text and binary, and closes with the code asked for", async () => {
    const headers = { authorization: "Bearer right" };
    const socket = new WebSocket(`wss://localhost:${secure.port}/ws`, { ca: ca.certificate, headers, family: 4 });
    await new Promise((done) => socket.on("open", done));
    expect(socket.extensions).toContain("permessage-deflate");
    socket.send("hello");
    socket.send(Buffer.from([1, 2, 3]));
    const received: string[] = [];
    await new Promise<void>((done) => {
      socket.on("message", (data: Buffer) => {
        received.push(data.toString("latin1"));
        if (received.length === 2) done();
      });
    });
    expect(received).toEqual(["hello", "\u0001\u0002\u0003"]);
    socket.send("close 4001");
    expect(await new Promise((done) => socket.on("close", (code) => done(code)))).toBe(4001);
    expect(secure.requests[0]).toMatchObject({ method: "GET", url: "/ws", credential: true });
  });

  test("demands the credential", async () => {
    const socket = new WebSocket(`wss://localhost:${secure.port}/ws`, { ca: ca.certificate, family: 4 });
    const error = await new Promise<Error>((done) => socket.on("error", done));
    expect(error.message).toContain("401");
    expect(secure.credentialless()).toBe(1);
  });
});

describe.skipIf(!isPresent("git"))(`git${isPresent("git") ? "" : " (skipped: git is absent)"}`, () => {
  test("clones and pushes over HTTPS", async () => {
    const settings = [
      "-c",
      `http.sslCAInfo=${ca.certificateFile}`,
      "-c",
      "http.extraHeader=authorization: Bearer right",
    ];
    const identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
    const env = { ...bareEnv(directory), GIT_TERMINAL_PROMPT: "0" };
    const clone = join(directory, "clone");
    const cloned = await run("git", [...settings, "clone", "-q", `${secure.url}/git/sample.git`, clone], { env });
    expect(cloned).toMatchObject({ code: 0, stderr: "" });
    await run("git", [...identity, "commit", "-q", "--allow-empty", "-m", "Second"], { env, cwd: clone });
    const pushed = await run("git", [...settings, "push", "-q", "origin", "main"], { env, cwd: clone });
    expect(pushed).toMatchObject({ code: 0, stderr: "" });
    expect(secure.credentialless()).toBe(0);
    expect(secure.requests.map(({ method }) => method)).toContain("POST");
  });
});

describe("the CA", () => {
  test("its leaves pass OpenSSL's strict check", async () => {
    const leaf = await ca.issue(["strict.test"]);
    const args = ["verify", "-x509_strict", "-CAfile", ca.certificateFile, leaf.certificateFile];
    expect(await run("openssl", args)).toMatchObject({ code: 0 });
    expect(await readFile(leaf.certificateFile, "utf8")).toContain("BEGIN CERTIFICATE");
  });
});

describe("run", () => {
  test("kills what takes too long, children included", async () => {
    const result = await run("sh", ["-c", "sleep 60 & sleep 60"], { timeoutMs: 200 });
    expect(result).toMatchObject({ code: null, timedOut: true });
  });

  test("rejects for a program that is not there", async () => {
    await expect(run("postern-no-such-program", [])).rejects.toThrow("cannot be started");
    expect(isPresent("postern-no-such-program")).toBe(false);
  });

  test("gives a program nothing of the test's own environment", async () => {
    process.env["POSTERN_TEST_LEAK"] = "leaked";
    const result = await run("env", []);
    delete process.env["POSTERN_TEST_LEAK"];
    expect(result.stdout).not.toContain("leaked");
  });
});

describe("the raw upstream", () => {
  test("answers with the very bytes of the test", async () => {
    const raw = await startRawUpstream((socket) =>
      socket.end("HTTP/1.1 299 Odd\r\nX: y\r\nContent-Length: 2\r\n\r\nok"),
    );
    const result = await curl("-D", "-", `http://127.0.0.1:${raw.port}/path`);
    expect(result.stdout).toBe("HTTP/1.1 299 Odd\r\nX: y\r\nContent-Length: 2\r\n\r\nok");
    expect(raw.received[0]).toMatch(/^GET \/path HTTP\/1.1\r\n/);
    await raw.close();
  });
});

describe("names of the edge process", () => {
  const script = `
    import { lookup } from "node:dns";
    import { lookup as later } from "node:dns/promises";
    lookup("api.test", { all: true }, (_, all) => {
      lookup("other.test", (error) => {
        later("api.test").then((one) => console.log(JSON.stringify([all, error.code, one])));
      });
    });`;

  test("resolve as the test says, and no other name exists", async () => {
    const preload = join(import.meta.dirname, "support/hosts-preload.ts");
    const env = { ...bareEnv(directory), POSTERN_TEST_HOSTS: JSON.stringify({ "api.test": ["127.0.0.1", "::1"] }) };
    const args = ["--import", preload, "--input-type=module", "-e", script];
    const result = await run(process.execPath, args, { env });
    expect(JSON.parse(result.stdout)).toEqual([
      [
        { address: "127.0.0.1", family: 4 },
        { address: "::1", family: 6 },
      ],
      "ENOTFOUND",
      { address: "127.0.0.1", family: 4 },
    ]);
  });
});
