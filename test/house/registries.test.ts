import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { RegistryServer } from "../custody/support/registry-server.ts";
import { denialIn } from "../hostile/raw-guest.ts";
import { makeCa } from "./support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { valuesOf } from "./support/recording.ts";
import { isPresent, run, type RunResult } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/**
 * A container client pulls an image: it is challenged, asks the token endpoint that the challenge names, pulls with what it was given, and
 * follows the redirect of a layer to another host. The token endpoint is the edge, the token that the registry sees is custody's, and
 * the other host sees none. The registry itself challenges at `/v2/` whatever it is sent, as some do for tokens of one repository.
 */

const PASSWORD = "registry-password-77ad10";
const STAND_IN = "postern-registry-guest";
const SIGNATURE = "sig=of-the-registry-itself";

interface Blob {
  readonly bytes: Buffer;
  readonly digest: string;
}

function blobOf(bytes: Buffer): Blob {
  return { bytes, digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}` };
}

const layer = blobOf(gzipSync(randomBytes(200_000)));
const image = blobOf(
  Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: [`sha256:${"0".repeat(64)}`] },
    }),
  ),
);
const descriptor = (mediaType: string, { digest, bytes }: Blob) => ({ mediaType, digest, size: bytes.length });
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const manifest = blobOf(
  Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: descriptor("application/vnd.oci.image.config.v1+json", image),
      layers: [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer)],
    }),
  ),
);

let directory = "";
let tokens: RegistryServer;
let registry: Upstream;
let store: Upstream;
let edge: Edge;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-registries-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  tokens = await new RegistryServer({
    service: "registry.test",
    username: "robot",
    password: PASSWORD,
    repositories: ["acme/app", "acme/other"],
  }).listen();
  registry = await startUpstream({ tls: await ca.issue(["registry.test"]), serve: serveRegistry });
  store = await startUpstream({ tls: await ca.issue(["blobs.test"]), serve: serveStore });
  edge = await startEdge({
    // The token endpoint has no address: nobody looks for one.
    hosts: { "registry.test": ["127.0.0.1"], "blobs.test": ["127.0.0.1"] },
    extraRoots: [ca.certificateFile],
    env: { REGISTRY_PASSWORD: PASSWORD },
    credentials: [
      {
        name: "images",
        source: { env: "REGISTRY_PASSWORD" },
        mint: {
          as: "registry_token",
          token_endpoint: { url: `${tokens.origin}/token`, plain_http: "accept" },
          service: "registry.test",
          username: "robot",
          repositories: ["acme/app", "acme/other"],
          actions: ["pull", "push"],
        },
        hosts: [`registry.test:${registry.port}`],
      },
    ],
    destinations: [
      {
        name: "registry-tokens",
        host: "auth.registry.test",
        allow: [{ methods: ["GET", "POST"], paths: ["/token"] }],
        synthetic: { as: "registry_token", token: STAND_IN },
      },
      destinationFor(registry, "registry.test", {
        credential: "main/images",
        narrow: { repositories: ["acme/app"], actions: ["pull"] },
        attach: { as: "bearer" },
        allow: [{ methods: ["GET", "HEAD"], paths: ["/v2/", "/v2/acme/**"] }],
      }),
      destinationFor(store, "blobs.test", { allow: [{ methods: ["GET"], paths: ["/blobs/**"] }] }),
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  await Promise.all([registry?.close(), store?.close(), tokens?.stop()]);
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  registry.reset();
  store.reset();
});

function serveRegistry(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  const [, repository = "", kind = "", reference = ""] =
    /^\/v2\/(.+?)\/(manifests|blobs)\/(.+)$/.exec(request.url ?? "") ?? [];
  const bytes = kind === "manifests" ? manifest.bytes : image.bytes;
  if (!tokens.allows(token, repository, "pull")) {
    const scope = repository === "" ? "" : `,scope="repository:${repository}:pull"`;
    const challenge = `Bearer realm="https://auth.registry.test/token",service="registry.test"${scope}`;
    response.writeHead(401, { "www-authenticate": challenge, "content-type": "application/json" });
    response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
  } else if (kind === "blobs" && reference === layer.digest) {
    response.writeHead(307, { location: store.urlFor("blobs.test", `/blobs/${reference}?${SIGNATURE}`) }).end();
  } else {
    response.writeHead(200, {
      "content-type": kind === "manifests" ? MANIFEST_TYPE : "application/octet-stream",
      "content-length": bytes.length,
      ...(kind === "manifests" ? { "docker-content-digest": manifest.digest } : {}),
    });
    response.end(request.method === "HEAD" ? undefined : bytes);
  }
}

/** Opens to a signature in the URL, and takes any credential beside it amiss, as object stores do. */
function serveStore(request: IncomingMessage, response: ServerResponse): void {
  const isGood = request.url?.endsWith(SIGNATURE) === true && request.headers.authorization === undefined;
  response.writeHead(isGood ? 200 : 400, { "content-length": isGood ? layer.bytes.length : 0 });
  response.end(isGood ? layer.bytes : undefined);
}

/** What the registry and the store saw is what they may see. */
function mustHaveSeenNoStandIn(): void {
  expect(registry.requests.length).toBeGreaterThan(0);
  for (const seen of registry.requests) {
    const [value = "", ...more] = valuesOf(seen, "authorization");
    expect(more).toEqual([]);
    expect(tokens.issued.map(({ secret }) => `Bearer ${secret}`)).toContain(value);
  }
  for (const seen of store.requests) expect(valuesOf(seen, "authorization")).toEqual([]);
  const asked = new Set(tokens.issued.map(({ asked: { scopes } }) => JSON.stringify(scopes)));
  expect(asked).toEqual(new Set(['["repository:acme/app:pull"]']));
}

const noCurl = !isPresent("curl");

describe.skipIf(noCurl)(`curl, as container clients do${noCurl ? " (skipped: curl is absent)" : ""}`, () => {
  const curl = (...args: string[]): Promise<RunResult> => run("curl", ["-sS", ...args], { env: edge.guestEnv() });
  const at = (path: string): string => registry.urlFor("registry.test", path);

  /** Goes where the challenge says, as the specification of distribution tells clients to. */
  async function tokenFor(scope: string): Promise<string> {
    const { stdout } = await curl("-D", "-", at("/v2/"));
    expect(stdout).toMatch(/^HTTP\/\S+ 200[^]*HTTP\/\S+ 401/);
    const [, realm = "", service = ""] = /realm="([^"]+)",service="([^"]+)"/.exec(stdout) ?? [];
    const query = new URLSearchParams({ service, scope, account: "guest" }).toString();
    const answer = await curl("-u", "guest:made-up", `${realm}?${query}`);
    return (JSON.parse(answer.stdout) as { token: string }).token;
  }

  test("pulls a manifest, the config and a layer with a token that the edge made up", async () => {
    const token = await tokenFor("repository:acme/app:pull");
    expect(token).toBe(STAND_IN);
    const bearer = ["-H", `Authorization: Bearer ${token}`];
    const read = await curl(...bearer, "-H", `Accept: ${MANIFEST_TYPE}`, at("/v2/acme/app/manifests/latest"));
    expect(`sha256:${read.stdoutSha256}`).toBe(manifest.digest);
    const config = await curl(...bearer, at(`/v2/acme/app/blobs/${image.digest}`));
    expect(`sha256:${config.stdoutSha256}`).toBe(image.digest);
    const pulled = await curl("-L", ...bearer, at(`/v2/acme/app/blobs/${layer.digest}`));
    expect(`sha256:${pulled.stdoutSha256}`).toBe(layer.digest);
    expect(store.requests).toHaveLength(1);
    mustHaveSeenNoStandIn();
  });

  test("that takes its token along to another host gets no layer, and the host hears nothing", async () => {
    const bearer = ["--oauth2-bearer", STAND_IN, "--location-trusted"];
    const answer = await curl("-L", "-D", "-", ...bearer, at(`/v2/acme/app/blobs/${layer.digest}`));
    expect(denialIn(answer.stdout)).toBe("placeholder_stray");
    expect(store.requests).toEqual([]);
  });

  test("gets no other image, whatever its token was asked for, and pushes nothing", async () => {
    const bearer = ["-H", `Authorization: Bearer ${await tokenFor("repository:acme/other:pull,push")}`];
    const status = ["-o", join(directory, "answer"), "-w", "%{http_code}"];
    expect((await curl(...bearer, ...status, at("/v2/acme/other/manifests/latest"))).stdout).toBe("401");
    const push = await curl(...bearer, "-D", "-", "-X", "POST", at("/v2/acme/app/blobs/uploads/"));
    expect(denialIn(push.stdout)).toBe("method_not_allowed");
    expect(registry.requests.map(({ method }) => method)).not.toContain("POST");
    mustHaveSeenNoStandIn();
  });
});

const noSkopeo = !isPresent("skopeo");

describe.skipIf(noSkopeo)(`skopeo${noSkopeo ? " (skipped: skopeo is absent)" : ""}`, () => {
  test("copies an image, and says what a refused one was refused for", async () => {
    const target = join(directory, "image");
    await mkdir(target);
    const copy = (name: string): Promise<RunResult> => {
      const from = `docker://registry.test:${registry.port}/${name}:latest`;
      return run("skopeo", ["copy", "--insecure-policy", from, `dir:${target}`], { env: edge.guestEnv() });
    };
    expect(await copy("acme/app")).toMatchObject({ code: 0 });
    const written = await readFile(join(target, layer.digest.replace("sha256:", "")));
    expect(blobOf(written).digest).toBe(layer.digest);
    mustHaveSeenNoStandIn();
    const other = await copy("acme/other");
    expect(other.code).not.toBe(0);
    expect(other.stderr).toMatch(/unauthorized|authentication required/);
  });
});

test("each answer of the token endpoint is on record, and no secret is", async () => {
  await expect.poll(() => edge.audit()).toContainEqual(expect.objectContaining({ destination: "registry-tokens" }));
  const text = JSON.stringify(await edge.audit()) + edge.process.output();
  for (const secret of [PASSWORD, STAND_IN, ...tokens.issued.map(({ secret: one }) => one)])
    expect(text.includes(secret)).toBe(false);
});
