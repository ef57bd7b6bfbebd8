import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureServer, createServer, type Http2SecureServer } from "node:http2";
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeCa } from "../house/support/certificates.ts";
import { type ParentProxy, startParentProxy } from "../house/support/parent-proxy.ts";
import { exchange, secretOf, wayThrough } from "./support/through-parent.ts";

/** HTTP/2 inside of a tunnel: a session serves many exchanges, and still only those of one session of guests. */

let directory = "";
let roots: string[] = [];
let target: Http2SecureServer;
let parent: ParentProxy;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-parent-h2-"));
  const ca = await makeCa(join(directory, "ca"));
  roots = [ca.certificate];
  const leaf = await ca.issue(["api.test"]);
  target = createSecureServer({ cert: leaf.certificate, key: leaf.key, allowHTTP1: false }, (request, response) => {
    response.end(`HTTP/${request.httpVersion}`);
  });
  target.listen(0, "127.0.0.1");
  await once(target, "listening");
  parent = await startParentProxy({ tls: await ca.issue(["proxy.corp.test"]) });
});

afterAll(async () => {
  await parent?.kill();
  await new Promise((done) => target.close(done));
  await rm(directory, { recursive: true, force: true });
});

test("two sessions of guests have HTTP/2 sessions of their own through a parent that knows them by a credential", async () => {
  const { port } = target.address() as AddressInfo;
  const way = wayThrough({
    parentPort: parent.port,
    tls: true,
    authenticated: true,
    scheme: "https",
    target: { host: "api.test", port },
    roots,
  });
  const ask = async (id: string): Promise<string> => {
    const channel = await way.pools.connect(way.permit(id), way.pinned(), {
      fresh: false,
      http2: true,
      identity: null,
    });
    return await exchange(channel);
  };
  for (const id of ["s1", "s2", "s1", "s2"]) expect(await ask(id)).toBe("200 OK\nHTTP/2.0");
  expect(parent.asked.map(({ authorization }) => authorization)).toEqual([
    `Bearer ${secretOf("s1")}`,
    `Bearer ${secretOf("s2")}`,
  ]);
});

test("a server of cleartext HTTP/2 that speaks first is heard, also where that comes in one piece with the parent's answer", async () => {
  const server = createServer((request, response) => void response.end(`HTTP/${request.httpVersion}`));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const eager = await startParentProxy({
    answer(guest) {
      const onwards = connect(port, "127.0.0.1");
      onwards.once("data", (settings: Buffer) => {
        guest.write(Buffer.concat([Buffer.from("HTTP/1.1 200 OK\r\n\r\n"), settings]));
        onwards.pipe(guest).pipe(onwards);
      });
      onwards.on("error", () => undefined);
      guest.on("close", () => onwards.destroy());
      return true;
    },
  });
  const way = wayThrough({ parentPort: eager.port, http: "h2c", target: { host: "api.test", port } });
  expect(await way.get()).toBe("200 OK\nHTTP/2.0");
  expect(await way.get()).toBe("200 OK\nHTTP/2.0");
  expect(eager.connections).toBe(1);
  await eager.kill();
  await new Promise((done) => server.close(done));
});
