import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OAuth2Server } from "../custody/support/oauth2-server.ts";
import { denialIn } from "../hostile/raw-guest.ts";
import { makeCa } from "./support/certificates.ts";
import { type Custody, startCustody } from "./support/custody.ts";
import { type ConfigPart, destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { type Recorded, valuesOf } from "./support/recording.ts";
import { run } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** What an issuer gives for a root, from the config to the bytes that an upstream sees, with custody in the edge and beside it. */

const SECRET = "house-client-secret-41cc";

let directory = "";
let issuer: OAuth2Server;
let upstream: Upstream;
let custody: Custody;
let edge: Edge;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-minted-"));
  issuer = await OAuth2Server.start({
    clients: [{ id: "postern", secret: SECRET, auth: "client_secret_basic", scopes: ["read", "write", "admin"] }],
  });
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const names = ["near.test", "far.test", "outside.test", "wide.test"];
  upstream = await startUpstream({ tls: await ca.issue(names) });
  const credential = (hosts: readonly string[]): ConfigPart => ({
    name: "partner",
    source: { env: "CLIENT_SECRET" },
    mint: {
      as: "oauth2_client_credentials",
      token_endpoint: { url: issuer.url, plain_http: "accept" },
      client: { id: "postern" },
      scopes: ["read", "write"],
    },
    hosts: hosts.map((host) => `${host}:${upstream.port}`),
  });
  const env = { CLIENT_SECRET: SECRET };
  custody = await startCustody({ credentials: [credential(["far.test", "outside.test"])], env });
  const to = (host: string, credential: string, more: ConfigPart = {}): ConfigPart =>
    destinationFor(upstream, host, { name: host, credential, attach: { as: "bearer" }, ...more });
  edge = await startEdge({
    hosts: Object.fromEntries(names.map((name) => [name, ["127.0.0.1"]])),
    extraRoots: [ca.certificateFile],
    env,
    custody: {
      main: { embedded: { credentials: [credential(["near.test", "wide.test"])] } },
      beside: { remote: { address: custody.address, timeout_ms: 10_000 } },
    },
    destinations: [
      to("near.test", "main/partner", { narrow: { scopes: ["read"] } }),
      to("wide.test", "main/partner"),
      to("far.test", "beside/partner", { narrow: { scopes: ["write"] } }),
      to("outside.test", "beside/partner", { narrow: { scopes: ["admin"] } }),
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  await custody?.stop();
  await upstream?.close();
  await issuer?.stop();
  await rm(directory, { recursive: true, force: true });
});

async function ask(host: string): Promise<{ readonly stdout: string; readonly stderr: string }> {
  return await run("curl", ["-sv", `https://${host}:${upstream.port}/ok`], { env: edge.guestEnv() });
}

function tokenOf(recorded: Recorded | undefined): string {
  const [value = ""] = recorded === undefined ? [] : valuesOf(recorded, "authorization");
  return value.replace(/^Bearer /, "");
}

function requestOf(host: string): Recorded | undefined {
  return upstream.requests.find(({ serverName }) => serverName === host);
}

describe("a minted credential", () => {
  test.each([
    ["near.test", "read"],
    ["wide.test", "read write"],
    ["far.test", "write"],
  ])("%s gets a token of scope %s", async (host, scope) => {
    await ask(host);
    const token = tokenOf(requestOf(host));
    expect(issuer.issued.find((issued) => issued.token === token)?.scope).toBe(scope);
  });

  test("is asked for once for many requests", async () => {
    const before = issuer.requests;
    for (let i = 0; i < 5; i++) await ask("near.test");
    expect(issuer.requests).toBe(before);
  });

  test("beyond what custody may give is refused, and the upstream sees no byte of it", async () => {
    const before = issuer.requests;
    const { stderr } = await ask("outside.test");
    expect(denialIn(stderr.replaceAll("\n< ", "\n"))).toBe("lease_denied");
    expect(requestOf("outside.test")).toBeUndefined();
    expect(issuer.requests).toBe(before);
  });

  test("is on record with what it was narrowed to, and neither root nor token is anywhere", async () => {
    const issued = async (): Promise<unknown[]> =>
      (await edge.audit())
        .filter(({ type }) => type === "lease_issued")
        .map(({ destination, narrow }) => [destination, narrow]);
    await expect.poll(issued).toEqual(
      expect.arrayContaining([
        ["near.test", '[["scopes",["read"]]]'],
        ["wide.test", undefined],
      ]),
    );
    const written = [
      JSON.stringify(await edge.audit()),
      edge.process.output(),
      custody.process.output(),
      await edge.metrics(),
    ];
    for (const text of written) {
      expect(text).not.toContain(SECRET);
      for (const { token } of issuer.issued) expect(text).not.toContain(token);
    }
  });
});
