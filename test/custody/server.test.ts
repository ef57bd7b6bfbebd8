import { once } from "node:events";
import { access, rename, stat, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { Agent, request as httpsRequest, type RequestOptions } from "node:https";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import * as fc from "fast-check";
import { Pool } from "undici";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { LeaseRequest } from "../../src/core/custody.ts";
import { RemoteCustody, type RemoteTls } from "../../src/custody/remote.ts";
import { CustodyServer } from "../../src/custody/server.ts";
import { encodeLeaseRequest } from "../../src/custody/wire.ts";
import { listenOnUnixSocket } from "../../src/custody/unix-socket.ts";
import { ManualClock, realClock } from "./support/clocks.ts";
import { type CustodyTls, makeCustodyTls } from "./support/custody-tls.ts";
import { denialOf } from "./support/denials.ts";
import { gate } from "./support/fake-custody.ts";
import { entryOf, issuing, ROOT } from "./support/issuing.ts";
import { requestOf } from "./support/permits.ts";
import { serving, type Serving, type ServingOptions } from "./support/serving.ts";

let tls: CustodyTls;
beforeAll(async () => {
  tls = await makeCustodyTls();
});
afterAll(() => tls.remove());

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function serve(options: Partial<ServingOptions> = {}): Promise<Serving> {
  const served = await serving({ on: tls, ...options });
  closers.push(served.stop);
  return served;
}

function edge(port: number, client: Partial<RemoteTls> = {}): RemoteCustody {
  const address = { kind: "tcp", host: "127.0.0.1", port } as const;
  const custody = new RemoteCustody({ address, tls: { ...tls.client, ...client }, timeoutMs: 10_000 });
  closers.push(() => custody.close());
  return custody;
}

let sockets = 0;
const socketPath = () => join(tls.directory, `s${sockets++}.sock`);
const calm = () => new AbortController().signal;

interface Plain {
  readonly status: number;
  readonly body: string;
  readonly headers: Record<string, string | string[] | undefined>;
}

/** A request of any shape over the edge's own TLS. */
function ask(port: number, options: RequestOptions, body = ""): Promise<Plain> {
  const { promise, resolve, reject } = Promise.withResolvers<Plain>();
  const request = httpsRequest(
    {
      host: "127.0.0.1",
      port,
      servername: tls.client.serverName,
      ca: tls.client.ca,
      cert: tls.client.certificate,
      key: tls.client.key,
      agent: false,
      ...options,
    },
    (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text, headers: response.headers }));
      response.on("error", reject);
    },
  );
  request.on("error", reject);
  request.end(body);
  return promise;
}

/** The request as it goes over the wire, whatever is in it. */
function wireOf(change: Partial<LeaseRequest> = {}): Record<string, unknown> {
  const { methodClass, ...request } = requestOf(change);
  return { ...request, method_class: methodClass };
}

const json = { "content-type": "application/json" };
const post = (port: number, body: string, headers: Record<string, string> = json) =>
  ask(port, { method: "POST", path: "/v1/leases", headers }, body);

describe("who may ask", () => {
  test("an edge whose certificate names a tenant list leases for those alone", async () => {
    const { port } = await serve({ callers: [{ name: "edge-1.internal", tenants: ["globex"] }] });
    expect(await denialOf(() => edge(port).lease(requestOf(), calm()))).toMatchObject({ reason: "caller_not_allowed" });
  });

  test("an edge whose name is not known is refused, health included", async () => {
    const { port, audit } = await serve();
    const stranger = edge(port, { certificate: tls.unknownEdge.certificate, key: tls.unknownEdge.key });
    expect(await denialOf(() => stranger.lease(requestOf(), calm()))).toMatchObject({ reason: "caller_not_allowed" });
    expect(await denialOf(() => stranger.health(calm()))).toMatchObject({ reason: "caller_not_allowed" });
    expect(audit.events).toEqual([]);
  });

  test("an empty list of edges means none", async () => {
    const { port } = await serve({ callers: [] });
    expect(await denialOf(() => edge(port).lease(requestOf(), calm()))).toMatchObject({ reason: "caller_not_allowed" });
  });

  test("a certificate of another CA does not get past the handshake", async () => {
    const { port, answers } = await serve();
    const forger = edge(port, { certificate: tls.forgedEdge.certificate, key: tls.forgedEdge.key });
    expect(await denialOf(() => forger.lease(requestOf(), calm()))).toMatchObject({ code: "custody_unavailable" });
    expect(answers).toEqual([]);
  });

  test("no certificate, no answer", async () => {
    const { port, answers } = await serve();
    await expect(ask(port, { method: "GET", path: "/v1/health", cert: undefined, key: undefined })).rejects.toThrow();
    expect(answers).toEqual([]);
  });

  test("TLS 1.2 is not spoken", async () => {
    const { port } = await serve();
    await expect(ask(port, { method: "GET", path: "/v1/health", maxVersion: "TLSv1.2" })).rejects.toThrow();
  });

  test("plain TCP without TLS is not served at all", async () => {
    const { issuer } = issuing({ clock: realClock });
    const address = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
    const events = { answered: () => undefined, broken: () => undefined };
    const health = () => ({ catalogue: null, problem: null });
    const start = CustodyServer.start({ issuer, address, tls: null, callers: [], clock: realClock, events, health });
    await expect(start).rejects.toThrow("mutual TLS");
    expect(() => new RemoteCustody({ address, tls: null, timeoutMs: 1_000 })).toThrow("mutual TLS");
  });
});

describe("the edge checks custody", () => {
  test("another name in its certificate is no custody", async () => {
    const { port, answers } = await serve();
    const custody = edge(port, { serverName: "other.internal" });
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ code: "custody_unavailable" });
    expect(answers).toEqual([]);
  });

  test("a root that is not the customer's is no custody", async () => {
    const { port, answers } = await serve();
    const custody = edge(port, { ca: tls.otherCa.certificate });
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ code: "custody_unavailable" });
    expect(answers).toEqual([]);
  });
});

describe("bad input", () => {
  const good = JSON.stringify(wireOf());
  test.each<[string, string, Record<string, string>]>([
    ["no JSON", "{", json],
    ["nothing", "", json],
    ["another type of content", good, { "content-type": "text/plain" }],
    ["a list", `[${good}]`, json],
    ["an unknown key", JSON.stringify({ ...wireOf(), ttl_ms: 10 }), json],
    [
      "an unknown key inside",
      JSON.stringify(wireOf({ session: { ...requestOf().session, roles: [] } as never })),
      json,
    ],
    ["a missing key", JSON.stringify({ ...wireOf(), host: undefined }), json],
    ["a prototype", `{"__proto__":{},${good.slice(1)}`, json],
    ["a port as text", JSON.stringify({ ...wireOf(), port: "443" }), json],
    ["a line break in a name", JSON.stringify(wireOf({ destination: "a\nb" })), json],
    ["too much", JSON.stringify(wireOf({ destination: "x".repeat(20_000) })), json],
  ])("%s is refused as malformed and records nothing", async (_what, body, headers) => {
    const { port, audit } = await serve();
    const answer = await post(port, body, headers);
    expect(answer.status).toBe(400);
    expect(answer.headers["content-type"]).toMatch(/^application\/problem\+json/);
    expect(JSON.parse(answer.body)).toEqual({
      type: "about:blank",
      title: "The request does not follow the lease schema.",
      status: 400,
      code: "lease_denied",
      reason: "request_malformed",
    });
    expect(audit.events).toEqual([]);
  });

  test.each([
    ["PUT", "/v1/leases"],
    ["DELETE", "/v1/leases"],
    ["POST", "/v1/leases/"],
    ["GET", "/"],
    ["GET", "/v1/health/.."],
    ["POST", "/v1/health"],
  ])("%s %s is not there", async (method, path) => {
    const { port } = await serve();
    expect((await ask(port, { method, path })).status).toBe(400);
  });

  test("a caller that sends too much of it is not read for a while, others are", async () => {
    const clock = new ManualClock();
    const { port } = await serve({
      clock,
      callers: [
        { name: "edge-1.internal", tenants: null },
        { name: "edge-9.internal", tenants: null },
      ],
    });
    const statuses: number[] = [];
    for (let i = 0; i < 25; i++) statuses.push((await post(port, "{")).status);
    expect(statuses.filter((status) => status === 400)).toHaveLength(20);
    expect(statuses.slice(20)).toEqual([429, 429, 429, 429, 429]);
    expect(await denialOf(() => edge(port).lease(requestOf(), calm()))).toMatchObject({ reason: "overloaded" });
    const other = edge(port, { certificate: tls.unknownEdge.certificate, key: tls.unknownEdge.key });
    expect((await other.lease(requestOf(), calm())).credential).toBe("key");
    clock.advance(1_000);
    expect((await edge(port).lease(requestOf(), calm())).credential).toBe("key");
  });

  test("no body at random is ever served, and the server stands", async () => {
    const clock = new ManualClock();
    const path = socketPath();
    const { audit } = await serve({ on: path, clock });
    const pool = new Pool("http://custody", { connect: { socketPath: path } });
    closers.push(() => pool.close());
    const bodies = fc.oneof(
      fc.string(),
      fc.json(),
      fc.uint8Array().map((bytes) => Buffer.from(bytes).toString("latin1")),
    );
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => {
        clock.advance(10_000);
        const answer = await pool.request({ method: "POST", path: "/v1/leases", headers: json, body });
        await answer.body.dump();
        expect(answer.statusCode).toBe(400);
      }),
      { numRuns: 300 },
    );
    expect(audit.events).toEqual([]);
    const custody = new RemoteCustody({ address: { kind: "unix", path }, tls: null, timeoutMs: 10_000 });
    closers.push(() => custody.close());
    expect((await custody.lease(requestOf(), calm())).credential).toBe("key");
  });

  test("bytes that are no HTTP end the connection, and are told by a code alone", async () => {
    const path = socketPath();
    const { broken } = await serve({ on: path });
    const socket = connect({ path });
    socket.end(`${ROOT} is not HTTP\r\n\r\n`);
    let answer = "";
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString("latin1")));
    await once(socket, "close");
    expect(answer).toBe("");
    expect(broken).toHaveLength(1);
    expect(broken.join()).not.toContain(ROOT);
  });
});

describe("an answer", () => {
  test("comes within the time that the edge waits: a slow source is refused by name, not as a dead custody", async () => {
    const path = socketPath();
    const command = [process.execPath, "-e", "setInterval(() => {}, 1000)"];
    const entries = [entryOf({ name: "slow", source: { from: "exec", command, timeoutMs: 30_000 } }), entryOf()];
    const served = await serve({ on: path, entries, environment: { ...process.env, ROOT } });
    closers.push(() => served.issuer.close());
    const custody = new RemoteCustody({ address: { kind: "unix", path }, tls: null, timeoutMs: 4_000 });
    closers.push(() => custody.close());
    const slow = await denialOf(() => custody.lease(requestOf({ credential: "slow" }), calm()));
    expect(slow).toMatchObject({ code: "custody_unavailable", reason: "source_unavailable" });
    expect((await custody.lease(requestOf(), calm())).credential).toBe("key");
  });

  test("is not to be stored", async () => {
    const { port } = await serve();
    const answer = await post(port, JSON.stringify(wireOf()));
    expect(answer.status).toBe(200);
    expect(answer.headers["cache-control"]).toBe("no-store");
  });
});

describe("the unix socket", () => {
  test("is open to owner and group alone", async () => {
    const path = socketPath();
    await serve({ on: path });
    expect((await stat(path)).mode & 0o777).toBe(0o660);
  });

  test("left behind by a dead process is replaced; a live one and a plain file are not", async () => {
    const path = socketPath();
    // A server that loses its handle without closing leaves the file behind, as a killed process does.
    const dead = createServer();
    await listenOnUnixSocket(dead, path);
    const stale = `${path}.stale`;
    await rename(path, stale);
    dead.close();
    await once(dead, "close");
    await serve({ on: stale });
    await expect(serving({ on: stale })).rejects.toThrow("in use");
    const file = socketPath();
    await writeFile(file, "precious");
    await expect(serving({ on: file })).rejects.toThrow("not a socket");
    await access(file);
  });

  test("whose directory is not there is told as that", async () => {
    const nowhere = join(tls.directory, "nowhere", "custody.sock");
    await expect(listenOnUnixSocket(createServer(), nowhere)).rejects.toThrow(/nowhere is not there.*ENOENT.*make it/);
  });
});

describe("draining", () => {
  test("lets a running issue end, refuses new ones, and closes", async () => {
    const path = socketPath();
    const served = await serving({ on: path });
    const door = gate();
    const entered = gate();
    const record = served.audit.record.bind(served.audit);
    served.audit.record = async (event) => {
      entered.open();
      await door.opened;
      await record(event);
    };
    const custody = new RemoteCustody({ address: { kind: "unix", path }, tls: null, timeoutMs: 10_000 });
    closers.push(() => custody.close());
    const running = custody.lease(requestOf(), calm());
    await entered.opened;
    // A second connection that was open before the drain began.
    const idle = connect({ path });
    await once(idle, "connect");
    const closing = served.server.close(10_000);
    const late = new Promise<string>((resolve) => {
      let text = "";
      idle.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")));
      idle.on("error", () => resolve(text));
      idle.on("close", () => resolve(text));
      idle.write("GET /v1/health HTTP/1.1\r\nhost: custody\r\n\r\n");
    });
    expect(await late).not.toContain("200 OK");
    door.open();
    expect((await running).credential).toBe("key");
    await closing;
    await expect(access(path)).rejects.toThrow();
  });

  test("ends a connection that does not end by itself", async () => {
    const path = socketPath();
    const served = await serving({ on: path });
    const slow = httpRequest({
      socketPath: path,
      method: "POST",
      path: "/v1/leases",
      headers: { ...json, "content-length": 10 },
    });
    const ended = once(slow, "error");
    slow.write("{");
    await once(slow, "socket");
    await new Promise((done) => setTimeout(done, 50));
    await served.server.close(50);
    await ended;
  });
});

describe("changed while it runs", () => {
  test("clients: who was taken out is refused on an open connection as well", async () => {
    const { server, port } = await serve();
    const custody = edge(port);
    await custody.lease(requestOf(), calm());
    server.useCallers([{ name: "edge-1.internal", tenants: ["globex"] }]);
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ reason: "caller_not_allowed" });
    server.useCallers([{ name: "edge-2.internal", tenants: null }]);
    expect(await denialOf(() => custody.health(calm()))).toMatchObject({ reason: "caller_not_allowed" });
  });

  test("clients: who waits at the feed is told nothing that it may not hear any more", async () => {
    const { server, port, issuer } = await serve();
    const custody = edge(port);
    const { cursor } = await custody.revocations(null, 0, calm());
    const revoke = (value: string) =>
      issuer.operations.revoke("operator", { scope: "session", value, tenant: "acme" }, "test");
    const narrowed = denialOf(async () => {
      const waiting = custody.revocations(cursor, 20_000, calm());
      await expect.poll(() => issuer.revocations.feed.waiting).toBe(1);
      server.useCallers([{ name: "edge-1.internal", tenants: ["globex"] }]);
      await revoke("s1");
      return waiting;
    });
    expect(await narrowed).toMatchObject({ reason: "caller_not_allowed" });
    expect((await custody.revocations(cursor, 0, calm())).changes).toEqual([]);
  });

  test("clients: a reload that leaves them as they are leaves who waits at the feed alone", async () => {
    const { server, port, issuer } = await serve();
    const custody = edge(port);
    const { cursor } = await custody.revocations(null, 0, calm());
    const waiting = custody.revocations(cursor, 20_000, calm());
    await expect.poll(() => issuer.revocations.feed.waiting).toBe(1);
    server.useCallers([{ name: "edge-1.internal", tenants: null }]);
    await issuer.operations.revoke("operator", { scope: "session", value: "s1", tenant: "acme" }, "test");
    expect((await waiting).changes).toHaveLength(1);
  });

  test("certificates: the next connection meets the new ones, and an open one does not outlive them", async () => {
    const { server, port } = await serve();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    closers.push(() => agent.destroy());
    const health = () => ask(port, { path: "/v1/health", agent });
    expect([(await health()).status, (await health()).headers.connection]).toEqual([200, "keep-alive"]);
    const { certificate, key } = tls.forgedServer;
    server.useTls({ certificate, key, clientCa: tls.otherCa.certificate });
    await expect(health()).rejects.toThrow();
    const { forgedEdge, otherCa } = tls;
    const after = edge(port, { ca: otherCa.certificate, certificate: forgedEdge.certificate, key: forgedEdge.key });
    expect((await after.lease(requestOf(), calm())).credential).toBe("key");
  });

  test("an answer that is under way when certificates change is the last on its connection", async () => {
    const { server, port, issuer } = await serve();
    const item = issuer.catalogue.find("key");
    if (item === undefined) throw new Error("the catalogue has it");
    const mint = item.minter.mint.bind(item.minter);
    const reading = gate();
    const go = gate();
    item.minter.mint = async (...ask) => {
      reading.open();
      await go.opened;
      return mint(...ask);
    };
    const agent = new Agent({ keepAlive: true });
    closers.push(() => agent.destroy());
    const body = JSON.stringify(encodeLeaseRequest(requestOf()));
    const answer = ask(port, { method: "POST", path: "/v1/leases", headers: json, agent }, body);
    await reading.opened;
    server.useTls({ certificate: tls.server.certificate, key: tls.server.key, clientCa: tls.ca.certificate });
    go.open();
    expect(await answer).toMatchObject({ status: 200, headers: { connection: "close" } });
  });

  test("certificates that do not fit together change nothing", async () => {
    const { server, port } = await serve();
    const { certificate } = tls.forgedServer;
    expect(() => server.useTls({ certificate, key: tls.server.key, clientCa: tls.ca.certificate })).toThrow();
    expect((await edge(port).lease(requestOf(), calm())).credential).toBe("key");
  });
});
