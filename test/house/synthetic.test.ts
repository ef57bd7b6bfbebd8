import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { denialIn } from "../hostile/raw-guest.ts";
import { makeCa } from "./support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { valuesOf } from "./support/recording.ts";
import { run, type RunResult } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** A program that insists on a token endpoint gets a stand-in from the edge; the API sees the real token. */

const TOKEN = "real-access-token-81f2";
const STAND_IN = "ya29.postern-guest-token";

let directory = "";
let upstream: Upstream;
let edge: Edge;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-synthetic-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  upstream = await startUpstream({ tls: await ca.issue(["api.test", "plain.test"]) });
  edge = await startEdge({
    // The token endpoint has no address: nobody looks for one.
    hosts: { "api.test": ["127.0.0.1"], "plain.test": ["127.0.0.1"] },
    extraRoots: [ca.certificateFile],
    env: { API_TOKEN: TOKEN },
    credentials: [{ name: "api", kind: "token", source: { env: "API_TOKEN" }, hosts: [`api.test:${upstream.port}`] }],
    destinations: [
      destinationFor(upstream, "api.test", {
        credential: "main/api",
        attach: { as: "placeholder", value: STAND_IN, in: ["header:authorization"] },
      }),
      destinationFor(upstream, "plain.test", {}),
      {
        name: "token-endpoint",
        host: "oauth2.test",
        allow: [{ methods: ["POST"], paths: ["/token"] }],
        synthetic: { as: "oauth2_token", token: STAND_IN },
      },
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => upstream.reset());

function curl(version: string, url: string, ...args: string[]): Promise<RunResult> {
  return run("curl", ["-sS", version, ...args, url], { env: edge.guestEnv() });
}

describe.each(["--http1.1", "--http2"])("curl %s", (version) => {
  const grant = ["-d", "grant_type=client_credentials&client_id=any&client_secret=thing"];

  test("asks the edge for a token, calls with it, and the upstream sees the real one", async () => {
    const answer = await curl(version, "https://oauth2.test/token", ...grant);
    const { access_token: token } = JSON.parse(answer.stdout) as { access_token: string };
    expect(token).toBe(STAND_IN);
    await curl(version, upstream.urlFor("api.test", "/v1"), "-H", `Authorization: Bearer ${token}`);
    expect(upstream.requests).toHaveLength(1);
    expect(valuesOf(upstream.requests[0] as never, "authorization")).toEqual([`Bearer ${TOKEN}`]);
  });

  test("what it was given is worth nothing elsewhere, and does not even get there", async () => {
    const url = upstream.urlFor("plain.test", "/v1");
    const answer = await curl(version, url, "-D", "-", "-H", `Authorization: Bearer ${STAND_IN}`);
    expect(denialIn(answer.stdout)).toBe("placeholder_stray");
    expect(upstream.requests).toEqual([]);
  });

  test("the rules of the destination hold", async () => {
    const answer = await curl(version, "https://oauth2.test/admin", "-D", "-", ...grant);
    expect(denialIn(answer.stdout)).toBe("path_not_allowed");
  });

  test("a body that no token request has is refused", async () => {
    const args = ["-D", "-", "-H", "Expect:", "--data-binary", `a=${"x".repeat(70_000)}`];
    const answer = await curl(version, "https://oauth2.test/token", ...args);
    expect(denialIn(answer.stdout)).toBe("body_too_large");
  });
});

test("each answer is on record, without a lease and without an upstream", async () => {
  await expect
    .poll(() => edge.audit())
    .toContainEqual(expect.objectContaining({ destination: "token-endpoint", status: 200 }));
  const records = await edge.audit();
  const answers = records.filter(({ destination, status }) => destination === "token-endpoint" && status === 200);
  for (const record of answers) expect(record).not.toHaveProperty("lease");
  expect(JSON.stringify(records)).not.toContain(STAND_IN);
});
