import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { resetStream } from "../../src/http2/reset.ts";
import { type Asked2, type Http2Upstream, startHttp2 } from "../upstream/support/http2-server.ts";
import { makeCa } from "./support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { type GrpcUpstream, startGrpc } from "./support/grpc-upstream.ts";
import { isPresent, run, type RunResult } from "./support/run.ts";

/** gRPC with clients of both families, in front of a server that demands the credential of every call. */

const clients = join(dirname(fileURLToPath(import.meta.url)), "clients");
const TOKEN = "grpc-token-90ab27";
// The interpreter of Debian's packages, whatever stands first in the path.
const PYTHON = "/usr/bin/python3";
const hasGrpcio = isPresent(PYTHON, ["-c", "import grpc"]);

let directory = "";
let edge: Edge;
let secure: GrpcUpstream;
let clear: GrpcUpstream;
let aging: GrpcUpstream;
let resetting: Http2Upstream;

/** Ends a call with the code that its path names: `8` in place of a head, `8-begun` behind one. */
function resetByPath({ stream, raw }: Asked2): void {
  const [, code, begun] = /\/(\d+)(-begun)?$/.exec(raw[raw.indexOf(":path") + 1] ?? "") ?? [];
  if (begun === undefined) stream.close(Number(code));
  else {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    // Once the edge has the head. Node's own `close` would end the stream ahead of its reset.
    stream.session?.ping(() => resetStream(stream, Number(code)));
  }
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-grpc-"));
  const ca = await makeCa(join(directory, "ca"), "Upstream CA");
  secure = await startGrpc(await ca.issue(["grpc.test", "down.test", "narrow.test"]), `Bearer ${TOKEN}`);
  clear = await startGrpc(null, `Bearer ${TOKEN}`);
  aging = await startGrpc(await ca.issue(["aging.test"]), `Bearer ${TOKEN}`, {
    channel: { "grpc.max_connection_age_ms": 200, "grpc.max_concurrent_streams": 20 },
    thinksMs: 10,
  });
  resetting = await startHttp2(resetByPath, { tls: await ca.issue(["resetting.test"]) });
  const attach = { attach: { as: "bearer" } };
  const allow = [{ methods: ["POST"], paths: ["/test.Echo/*"] }];
  edge = await startEdge({
    hosts: Object.fromEntries(
      ["grpc.test", "down.test", "narrow.test", "clear.test", "aging.test", "resetting.test"].map((name) => [
        name,
        ["127.0.0.1"],
      ]),
    ),
    extraRoots: [ca.certificateFile],
    env: { GRPC_TOKEN: TOKEN },
    custody: {
      main: {
        embedded: {
          credentials: [
            {
              name: "api",
              kind: "token",
              source: { env: "GRPC_TOKEN" },
              hosts: ["grpc.test", "narrow.test"]
                .map((name) => `${name}:${secure.port}`)
                .concat([`clear.test:${clear.port}`, `aging.test:${aging.port}`, `resetting.test:${resetting.port}`]),
            },
            { name: "gone", kind: "token", source: { env: "NOT_THERE" }, hosts: [`down.test:${secure.port}`] },
          ],
        },
      },
    },
    wait: "live",
    destinations: [
      destinationFor(secure, "grpc.test", { credential: "main/api", ...attach, allow }),
      destinationFor(secure, "down.test", { credential: "main/gone", ...attach, allow }),
      destinationFor(secure, "narrow.test", {
        credential: "main/api",
        ...attach,
        allow: [{ methods: ["POST"], paths: ["/test.Other/*"] }],
      }),
      destinationFor(clear, "clear.test", {
        credential: "main/api",
        ...attach,
        allow,
        http: "h2c",
        plain_http_credential: "accept",
      }),
      destinationFor(aging, "aging.test", { credential: "main/api", ...attach, allow }),
      destinationFor({ address: "127.0.0.1", scheme: "https", port: resetting.port }, "resetting.test", {
        credential: "main/api",
        ...attach,
        allow,
      }),
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  secure?.stop();
  clear?.stop();
  aging?.stop();
  await resetting?.close();
  await rm(directory, { recursive: true, force: true });
});

function environment(): Record<string, string> {
  return edge.guestEnv({ GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: edge.ca.certificateFile, GRPC_VERBOSITY: "NONE" });
}

function told(result: RunResult): Record<string, unknown> {
  if (result.code !== 0) throw new Error(result.stderr);
  return JSON.parse(result.stdout) as Record<string, unknown>;
}

const node = async (target: string, mode: string, ...more: string[]) =>
  told(
    await run("node", [join(clients, "grpc.mjs"), target, mode, ...more], { env: environment(), timeoutMs: 50_000 }),
  );
const python = async (target: string, ...more: string[]) =>
  told(
    await run(PYTHON, [join(clients, "grpc_client.py"), target, ...more], { env: environment(), timeoutMs: 50_000 }),
  );

const EVERY_KIND = {
  unary: { code: 0, value: "hello", leading: "first" },
  trailing: ["last", "plain"],
  large: true,
  failed: [15, "half of it – gone", "because"],
  missing: 12,
  deadline: 4,
  collected: "abcdef",
  expanded: ["x|y|z", 0, "3"],
  chat: ["one", "two", "three"],
  chatStatus: 0,
  cancelled: 1,
  compressed: true,
  many: true,
};

describe("grpc-js", () => {
  test("calls of every kind, over TLS", async () => {
    expect(await node(`grpc.test:${secure.port}`, "tls")).toEqual(EVERY_KIND);
    expect(secure.calls.length).toBeGreaterThan(80);
    for (const { metadata } of secure.calls) {
      expect(metadata).toMatchObject({ authorization: `Bearer ${TOKEN}`, "x-guest-bin": Buffer.from([0, 255, 7]) });
    }
    // The deadline and the cancellation reached the server.
    const cut = (): Set<string> => new Set(secure.calls.filter((call) => call.cancelled).map(({ method }) => method));
    await expect.poll(cut).toEqual(new Set(["Hang", "Tick"]));
  });

  test("and in cleartext, where the destination spells h2c", async () => {
    expect(await node(`clear.test:${clear.port}`, "clear")).toEqual(EVERY_KIND);
    expect(clear.calls.every(({ metadata }) => metadata["authorization"] === `Bearer ${TOKEN}`)).toBe(true);
  });

  test("a server that bounds the age of its connections: no call fails", async () => {
    expect(await node(`aging.test:${aging.port}`, "tls", "load", "1000", "20")).toEqual({ 0: 1000 });
    // Each was done once, whatever had to be sent again.
    expect(aging.calls).toHaveLength(1000);
  });

  test("a reset ahead of the first message is the status that gRPC makes of it, and none of the edge's", async () => {
    // CANCEL, ENHANCE_YOUR_CALM, INTERNAL_ERROR: CANCELLED, RESOURCE_EXHAUSTED, INTERNAL.
    const expected = { "8": 1, "11": 8, "2": 13, "8-begun": 1, "11-begun": 8, "2-begun": 13 };
    const target = `resetting.test:${resetting.port}`;
    expect(await node(target, "tls", "codes", ...Object.keys(expected))).toEqual(expected);
    expect(resetting.requests).toHaveLength(Object.keys(expected).length);
  });

  test.each([
    ["down.test", 14, "custody_unavailable"],
    ["narrow.test", 7, "path_not_allowed"],
  ])("%s: status %i, with the code as metadata", async (name, code, reason) => {
    const before = secure.calls.length;
    expect(await node(`${name}:${secure.port}`, "tls", "refused")).toEqual({ refused: { code, reason } });
    expect(secure.calls.length).toBe(before);
  });
});

describe.skipIf(!hasGrpcio)(`grpcio${hasGrpcio ? "" : " (skipped: python3-grpcio is absent)"}`, () => {
  test("calls of every kind", async () => {
    expect(await python(`grpc.test:${secure.port}`)).toEqual({
      unary: ["hello", 0, "last"],
      large: true,
      collected: "abc",
      expanded: ["x", "y", "z"],
      chat: ["one", "two"],
      deadline: 4,
      failed: [15, "half of it – gone"],
      compressed: true,
    });
  });

  test.each([
    ["down.test", 14, "custody_unavailable"],
    ["narrow.test", 7, "path_not_allowed"],
  ])("%s: status %i, with the code as metadata", async (name, code, reason) => {
    expect(await python(`${name}:${secure.port}`, "refused")).toEqual({ refused: { code, reason } });
  });
});
