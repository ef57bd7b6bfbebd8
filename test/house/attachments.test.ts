import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { denialIn } from "../hostile/raw-guest.ts";
import { makeCa } from "./support/certificates.ts";
import { type ConfigPart, destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { type Recorded, valuesOf } from "./support/recording.ts";
import { run, type RunResult } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** Every kind of attachment, from a config file to the bytes that an upstream sees. */

const TOKEN = "s3cret-token/+=";
const STAND_IN = "sk-postern-stand-in-0001";

interface Kind {
  readonly name: string;
  readonly kind: "token" | "userpass" | "header";
  readonly attach: ConfigPart;
  readonly more?: ConfigPart;
}

const KINDS: readonly Kind[] = [
  { name: "bearer.test", kind: "token", attach: { as: "bearer" } },
  { name: "basic.test", kind: "userpass", attach: { as: "basic" } },
  { name: "basic-token.test", kind: "token", attach: { as: "basic", username: "x-access-token" } },
  { name: "header.test", kind: "token", attach: { as: "header", name: "X-Api-Key" } },
  {
    name: "format.test",
    kind: "token",
    attach: { as: "header", name: "Authorization", format: "Token token={token}" },
  },
  { name: "whole.test", kind: "header", attach: { as: "header", name: "Authorization" } },
  { name: "query.test", kind: "token", attach: { as: "query", name: "api_key" } },
  { name: "cookie.test", kind: "token", attach: { as: "cookie", name: "session" } },
  {
    name: "stand-in.test",
    kind: "token",
    attach: { as: "placeholder", value: STAND_IN, in: ["header:authorization", "header:x-api-key", "query:key"] },
  },
  { name: "drop.test", kind: "token", attach: { as: "bearer" }, more: { drop_headers: ["x-api-key"] } },
  { name: "two.test", kind: "token", attach: { as: "bearer" } },
];

let directory = "";
let upstream: Upstream;
let edge: Edge;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-attach-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const names = KINDS.map(({ name }) => name);
  upstream = await startUpstream({ tls: await ca.issue(names) });
  const label = (name: string): string => name.replace(".test", "");
  edge = await startEdge({
    hosts: Object.fromEntries(names.map((name) => [name, ["127.0.0.1"]])),
    extraRoots: [ca.certificateFile],
    // A cookie value and a field value hold fewer characters than a token may.
    env: { PLAIN_TOKEN: TOKEN, COOKIE_TOKEN: "cookie-token", WHOLE_HEADER: "Custom a=1, b=2" },
    credentials: KINDS.map(({ name, kind }) => ({
      name: label(name),
      kind,
      ...(kind === "userpass" ? { username: "robot" } : {}),
      source: { env: kind === "header" ? "WHOLE_HEADER" : name === "cookie.test" ? "COOKIE_TOKEN" : "PLAIN_TOKEN" },
      hosts: [`${name}:${upstream.port}`],
    })),
    destinations: KINDS.map(({ name, attach, more = {} }) =>
      destinationFor(upstream, name, {
        credential: `main/${label(name)}`,
        attach: name === "two.test" ? [attach, { as: "header", name: "x-api-key" }] : attach,
        ...more,
      }),
    ),
  });
});

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => upstream.reset());

/** How curl speaks with the edge. */
let spoken = "";

function curl(name: string, path: string, ...args: string[]): Promise<RunResult> {
  const url = upstream.urlFor(name, path);
  return run("curl", ["-sS", spoken, "-D", "-", ...args, url], { env: edge.guestEnv() });
}

/** The one request that arrived. */
async function seen(name: string, path: string, ...args: string[]): Promise<Recorded> {
  const result = await curl(name, path, ...args);
  expect(result.stdout).toMatch(/^HTTP\/(?:1\.1 200 OK|2 200 )\r$/m);
  expect(upstream.requests).toHaveLength(1);
  return upstream.requests[0] as Recorded;
}

const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString("base64")}`;

describe.each(["--http1.1", "--http2"])("curl %s", (version) => {
  beforeEach(() => {
    spoken = version;
  });

  describe("what the upstream sees, whatever the guest said", () => {
    test.each([
      ["bearer.test", "authorization", `Bearer ${TOKEN}`],
      ["basic.test", "authorization", basic(`robot:${TOKEN}`)],
      ["basic-token.test", "authorization", basic(`x-access-token:${TOKEN}`)],
      ["header.test", "x-api-key", TOKEN],
      ["format.test", "authorization", `Token token=${TOKEN}`],
      ["whole.test", "authorization", "Custom a=1, b=2"],
      ["drop.test", "authorization", `Bearer ${TOKEN}`],
      ["two.test", "authorization", `Bearer ${TOKEN}`],
      ["two.test", "x-api-key", TOKEN],
    ])("%s: %s", async (name, field, value) => {
      const guests = ["-H", `${field}: mine`, "-H", `${field.toUpperCase()}: mine too`, "-H", "X-Other: kept"];
      const request = await seen(name, "/v1?a=1", ...guests);
      expect(valuesOf(request, field)).toEqual([value]);
      expect(valuesOf(request, "x-other")).toEqual(["kept"]);
      expect(request.url).toBe("/v1?a=1");
    });

    test("query: appended, percent-encoded, the guest's own cut", async () => {
      const request = await seen("query.test", "/v1?a=%2f&api_key=mine&b=2&api%5Fkey=mine");
      expect(request.url).toBe(`/v1?a=%2f&b=2&api_key=${encodeURIComponent(TOKEN)}`);
    });

    test("query: on a path without one", async () => {
      expect((await seen("query.test", "/v1")).url).toBe(`/v1?api_key=${encodeURIComponent(TOKEN)}`);
    });

    test("cookie: beside those of the guest", async () => {
      const request = await seen("cookie.test", "/v1", "-H", "Cookie: a=1; session=mine; b=2");
      expect(valuesOf(request, "cookie")).toEqual(["a=1; b=2; session=cookie-token"]);
    });

    test("cookie: the upstream's next one stays at the edge", async () => {
      expect((await curl("cookie.test", "/set-cookie")).stdout).not.toMatch(/set-cookie/i);
      expect((await curl("bearer.test", "/set-cookie")).stdout).toMatch(/set-cookie: first/i);
    });

    test("drop_headers: the other way of saying who one is goes too", async () => {
      const request = await seen("drop.test", "/v1", "-H", "X-Api-Key: mine", "-H", "x-api-KEY: again");
      expect(valuesOf(request, "x-api-key")).toEqual([]);
    });
  });

  describe("a stand-in", () => {
    test.each([
      ["a bearer", ["-H", `Authorization: Bearer ${STAND_IN}`], "authorization", `Bearer ${TOKEN}`],
      ["Basic, as the password", ["-u", `guest:${STAND_IN}`], "authorization", basic(`guest:${TOKEN}`)],
      ["a field of its own", ["-H", `X-API-Key: ${STAND_IN}`], "x-api-key", TOKEN],
    ])("in %s is replaced where it stands", async (_name, args, field, value) => {
      expect(valuesOf(await seen("stand-in.test", "/v1", ...args), field)).toEqual([value]);
    });

    test("in the query is replaced where it stands", async () => {
      const request = await seen("stand-in.test", `/v1?a=1&key=${STAND_IN}&b=2`);
      expect(request.url).toBe(`/v1?a=1&key=${encodeURIComponent(TOKEN)}&b=2`);
    });

    test.each([
      ["in a field that is not named", "stand-in.test", ["-H", `X-Other: ${STAND_IN}`]],
      ["on its way to somebody else", "bearer.test", ["-H", `X-Other: ${STAND_IN}`]],
      ["in Basic on its way to somebody else", "query.test", ["-u", `guest:${STAND_IN}`]],
    ])("%s never leaves", async (_name, host, args) => {
      expect(denialIn((await curl(host, "/v1", ...args)).stdout)).toBe("placeholder_stray");
      expect(upstream.requests).toEqual([]);
    });

    test("that is not there leaves the request without a credential: refused", async () => {
      expect(denialIn((await curl("stand-in.test", "/v1")).stdout)).toBe("lease_unusable");
      expect(upstream.requests).toEqual([]);
    });
  });

  test.each(KINDS.filter(({ name }) => name !== "stand-in.test").map(({ name }) => [name]))(
    "%s: an upstream that sends it all back in its head shows the guest nothing",
    async (name) => {
      const result = await curl(name, "/reflect?reason=authorization", "-o", "/dev/null");
      expect(result.stdout).toContain("x-reflect-");
      for (const secret of [TOKEN, "cookie-token", "Custom a=1, b=2"]) {
        for (const form of [secret, encodeURIComponent(secret), Buffer.from(secret).toString("hex")])
          expect(result.stdout).not.toContain(form);
      }
    },
  );
});
