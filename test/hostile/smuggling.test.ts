import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeCa } from "../house/support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "../house/support/edge.ts";
import { startUpstream, type Upstream } from "../house/support/upstream.ts";
import { BROKEN_BODIES, SMUGGLES } from "./messages.ts";
import { denialIn, openGuest, openTunnel } from "./raw-guest.ts";

/** Request smuggling and framing, on the listener and inside a tunnel. In each case the message alone can be what is refused. */

let directory = "";
let secure: Upstream;
let plain: Upstream;
let edge: Edge;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-hostile-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const demand = { in: "header", name: "authorization", value: "Bearer right-token" } as const;
  secure = await startUpstream({ tls: await ca.issue(["api.test"]), demand });
  plain = await startUpstream({ demand });
  const credential = { credential: "main/api", attach: { as: "bearer" } };
  edge = await startEdge({
    hosts: { "api.test": ["127.0.0.1"] },
    extraRoots: [ca.certificateFile],
    env: { UPSTREAM_TOKEN: "right-token" },
    credentials: [
      {
        name: "api",
        kind: "token",
        source: { env: "UPSTREAM_TOKEN" },
        hosts: [`api.test:${secure.port}`, `api.test:${plain.port}`],
      },
    ],
    destinations: [
      destinationFor(secure, "api.test", { ...credential, name: "secure" }),
      destinationFor(plain, "api.test", { ...credential, name: "plain", plain_http_credential: "accept" }),
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  await Promise.all([secure?.close(), plain?.close()]);
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  secure.reset();
  plain.reset();
});

const written = (message: string, target: string, port: number): string =>
  message.replaceAll("{T}", target).replaceAll("{H}", `Host: api.test:${port}`).replaceAll("{P}", String(port));

test("the places themselves work: a good request passes in both", async () => {
  const guest = await openGuest(edge.proxyPort);
  guest.send(written("GET {T}/inspect HTTP/1.1\r\n{H}\r\n\r\n", `http://api.test:${plain.port}`, plain.port));
  expect(await guest.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200 /);
  guest.destroy();
  const inside = await openTunnel(edge.proxyPort, `api.test:${secure.port}`, "api.test");
  inside.send(written("GET {T}/inspect HTTP/1.1\r\n{H}\r\n\r\n", "", secure.port));
  expect(await inside.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200 /);
  inside.destroy();
  expect(plain.requests.length).toBe(1);
  expect(secure.requests.length).toBe(1);
});

describe("on the listener", () => {
  test.each(SMUGGLES)("$name: $code", async ({ code, message }) => {
    const guest = await openGuest(edge.proxyPort);
    guest.send(written(message, `http://api.test:${plain.port}`, plain.port));
    const text = await guest.until(/x-deny-reason: .*\r\n[\s\S]*\}\n$/);
    guest.destroy();
    expect(denialIn(text)).toBe(code);
    expect(text.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(plain.requests).toHaveLength(0);
  });
});

describe("inside a tunnel", () => {
  test.each(SMUGGLES)("$name: $code", async ({ code, message }) => {
    const guest = await openTunnel(edge.proxyPort, `api.test:${secure.port}`, "api.test");
    guest.send(written(message, "", secure.port));
    const text = await guest.until(/x-deny-reason: .*\r\n[\s\S]*\}\n$/);
    guest.destroy();
    expect(denialIn(text)).toBe(code);
    expect(text.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(secure.requests).toHaveLength(0);
  });
});

describe("a body that breaks", () => {
  test.each(BROKEN_BODIES)("%s: never complete at the upstream, nothing after it", async (_name, body) => {
    const guest = await openTunnel(edge.proxyPort, `api.test:${secure.port}`, "api.test");
    const head = "POST /echo HTTP/1.1\r\n{H}\r\nTransfer-Encoding: chunked\r\n\r\n";
    guest.send(written(`${head}${body}GET /smuggled HTTP/1.1\r\n{H}\r\n\r\n`, "", secure.port));
    const text = await guest.ended();
    guest.destroy();
    expect(text).not.toMatch(/HTTP\/1\.1 200/);
    expect(secure.requestsFor("/smuggled")).toHaveLength(0);
    for (const request of secure.requests) expect(request.body).not.toBe("complete");
    expect(secure.credentialless()).toBe(0);
  });
});
