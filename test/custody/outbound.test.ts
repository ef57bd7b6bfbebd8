import { once } from "node:events";
import { createServer, type Server } from "node:https";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Outbound } from "../../src/custody/outbound.ts";
import { type CustodyTls, makeCustodyTls } from "./support/custody-tls.ts";

let tls: CustodyTls;
const servers: Server[] = [];
const clients: Outbound[] = [];

beforeAll(async () => {
  tls = await makeCustodyTls();
});
afterAll(() => tls.remove());
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(
    servers.splice(0).map((server) => {
      server.closeAllConnections();
      return new Promise((resolve) => {
        server.close(resolve);
      });
    }),
  );
});

async function serve(
  certificate: string,
  key: string,
  options: object = {},
): Promise<{ port: number; heard: string[] }> {
  const heard: string[] = [];
  const server = createServer({ cert: certificate, key, ...options }, (request, response) => {
    heard.push(`${request.method} ${request.url} ${String(request.headers["content-type"])}`);
    response.setHeader("date", "Tue, 01 Jan 2030 00:00:00 GMT");
    response.setHeader("retry-after", "Tue, 01 Jan 2030 00:00:42 GMT");
    response.end('{"ok":true}');
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, heard };
}

function outbound(url: string, ca: string | null, identity: { chain: string; key: string } | null = null): Outbound {
  const client = new Outbound({ url, ca, timeoutMs: 5_000 }, "the issuer", identity);
  clients.push(client);
  return client;
}

const signal = new AbortController().signal;

describe("calls to issuers", () => {
  test("go over TLS that verifies, with the path of the endpoint", async () => {
    const issued = await tls.ca.issue(["localhost"], { extendedKeyUsage: "serverAuth" });
    const { port, heard } = await serve(issued.certificate, issued.key);
    const client = outbound(`https://localhost:${port}/token?a=b`, tls.ca.certificate);
    const answer = await client.postForm([["a b", "c&d"]], {}, signal);
    expect(answer).toMatchObject({ status: 200, json: { ok: true }, retryAfterMs: 42_000 });
    expect(answer.serverWallMs).toBe(Date.UTC(2030, 0, 1));
    expect(heard).toEqual(["POST /token?a=b application/x-www-form-urlencoded"]);
    await client.postJson({ a: 1 }, { path: "/other" }, signal);
    expect(heard[1]).toBe("POST /other application/json");
  });

  test.each([
    ["of another CA", () => tls.otherCa.issue(["localhost"])],
    ["of another name", () => tls.ca.issue(["elsewhere.test"])],
  ])("never go to a certificate %s", async (_name, issue) => {
    const issued = await issue();
    const { port, heard } = await serve(issued.certificate, issued.key);
    const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      const call = outbound(`https://localhost:${port}/`, tls.ca.certificate).postForm([], {}, signal);
      await expect(call).rejects.toThrow(/certificate that does not verify \([A-Z0-9_]+\): check its ca/);
    } finally {
      if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
    }
    expect(heard).toEqual([]);
  });

  test("never trust the system where a CA is named", async () => {
    const issued = await tls.ca.issue(["localhost"]);
    const { port, heard } = await serve(issued.certificate, issued.key);
    await expect(outbound(`https://localhost:${port}/`, null).postForm([], {}, signal)).rejects.toThrow(
      /does not verify/,
    );
    expect(heard).toEqual([]);
  });

  test("show a client certificate where there is one", async () => {
    const issued = await tls.ca.issue(["localhost"]);
    const { port } = await serve(issued.certificate, issued.key, {
      ca: tls.ca.certificate,
      requestCert: true,
      rejectUnauthorized: true,
    });
    const url = `https://localhost:${port}/`;
    await expect(outbound(url, tls.ca.certificate).postForm([], {}, signal)).rejects.toThrow(/the issuer/);
    const identity = { chain: tls.edge.certificate, key: tls.edge.key };
    expect((await outbound(url, tls.ca.certificate, identity).postForm([], {}, signal)).status).toBe(200);
  });

  test.each(["http://login.example.com/", "http://127.0.0.1.example.com/", "http://10.0.0.1/", "ftp://127.0.0.1/"])(
    "are refused in the clear: %s",
    (url) => {
      expect(() => outbound(url, null)).toThrow(/https/);
    },
  );

  test("to nobody end with a code", async () => {
    const spare = connect({ port: 1, host: "127.0.0.1" });
    await once(spare, "error");
    await expect(outbound("http://127.0.0.1:1/", null).postForm([], {}, signal)).rejects.toThrow(
      /the issuer cannot be reached or broke off \(ECONNREFUSED\)/,
    );
  });

  test("that nobody waits for end", async () => {
    const leaving = new AbortController();
    leaving.abort();
    await expect(outbound("http://127.0.0.1:1/", null).postForm([], {}, leaving.signal)).rejects.toThrow(/the issuer/);
  });
});
