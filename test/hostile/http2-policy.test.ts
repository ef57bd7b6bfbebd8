import { mkdtemp, rm } from "node:fs/promises";
import type { ClientHttp2Session } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ask, openHttp2 } from "../guest/support/h2-guest.ts";
import { makeCa } from "../house/support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "../house/support/edge.ts";
import { valuesOf } from "../house/support/recording.ts";
import { startUpstream, type Upstream } from "../house/support/upstream.ts";

/** A real edge, asked over HTTP/2 for what its rules do not allow: no spelling leads past them, and the upstream hears nothing. */

const TOKEN = "right-token-77d1";

let directory = "";
let upstream: Upstream;
let edge: Edge;
let guest: ClientHttp2Session;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-http2-policy-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const demand = { in: "header", name: "authorization", value: `Bearer ${TOKEN}` } as const;
  upstream = await startUpstream({ tls: await ca.issue(["api.test"]), demand });
  edge = await startEdge({
    hosts: { "api.test": ["127.0.0.1"] },
    extraRoots: [ca.certificateFile],
    env: { UPSTREAM_TOKEN: TOKEN },
    credentials: [
      { name: "api", kind: "token", source: { env: "UPSTREAM_TOKEN" }, hosts: [`api.test:${upstream.port}`] },
    ],
    destinations: [
      destinationFor(upstream, "api.test", {
        credential: "main/api",
        attach: { as: "bearer" },
        allow: [{ methods: ["GET", "POST"], paths: ["/inspect", "/v1/**"] }],
      }),
    ],
  });
  guest = await openHttp2(edge.proxyPort, `api.test:${upstream.port}`);
});

afterAll(async () => {
  guest?.destroy();
  await edge?.stop();
  await upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => upstream.reset());

describe("a path that no rule allows", () => {
  test.each([
    "/admin",
    "/v1/../admin",
    "/v1/%2e%2e/admin",
    "/v1/.%2E/admin",
    "/v1/%2e%2e%2fadmin",
    "/v1/..%2fadmin",
    "/v1/..\\admin",
    "/v1//../admin",
    "//admin",
    "//v1/x",
    "/./admin",
    "/v1/..;/admin",
    "/v1/x%00/../admin",
    "/V1/x",
    "/v1%2fx",
    "/inspect/",
    "/inspect#/v1/x",
    "/admin#/v1/x",
    "/admin?/v1/x",
    "/%69nspect/%2e%2e/admin",
  ])("%s", async (path) => {
    const answer = await ask(guest, { ":path": path });
    expect(answer.fields.get("x-deny-reason")).toMatch(/^(path_not_allowed|ambiguous_path)$/);
    expect(answer.status).toBe(answer.fields.get("x-deny-reason") === "ambiguous_path" ? 400 : 403);
    expect([upstream.requests.length, upstream.credentialless()]).toEqual([0, 0]);
  });
});

test.each(["TRACE", "TRACK", "PUT", "DELETE", "get", "PRI", "M-SEARCH"])("the method %s", async (method) => {
  const answer = await ask(guest, { ":method": method, ":path": "/inspect" });
  expect([answer.status, answer.fields.get("x-deny-reason")]).toEqual([403, "method_not_allowed"]);
  expect(upstream.requests.length).toBe(0);
});

test("OPTIONS of everything", async () => {
  const answer = await ask(guest, { ":method": "OPTIONS", ":path": "*" });
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(upstream.requests.length).toBe(0);
});

test("what is allowed is answered all along, with the credential and no field of the guest's in its place", async () => {
  const answer = await ask(guest, {
    ":path": "/inspect",
    authorization: "Bearer mine",
    cookie: ["a=1", "b=2"],
  });
  expect(answer.status).toBe(200);
  const [seen] = upstream.requests;
  if (seen === undefined) throw new Error("nothing was heard");
  expect(valuesOf(seen, "authorization")).toEqual([`Bearer ${TOKEN}`]);
  expect(valuesOf(seen, "cookie")).toEqual(["a=1; b=2"]);
});
