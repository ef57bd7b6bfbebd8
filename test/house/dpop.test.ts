import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { DpopKey } from "../../src/custody/minters/dpop-key.ts";
import { denialIn, openTunnel, type RawGuest } from "../hostile/raw-guest.ts";
import { makeCa } from "./support/certificates.ts";
import { type Custody, startCustody } from "./support/custody.ts";
import { type DpopUpstream, startDpop } from "./support/dpop-upstream.ts";
import { type ConfigPart, destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { run, type RunResult } from "./support/run.ts";

/** Bound tokens from a config file to a server that verifies every proof, takes none twice and asks for nonces. */

const NAMES = ["edge.test", "custody.test", "remote.test", "two.test", "foreign.test"] as const;
type Name = (typeof NAMES)[number];

let directory = "";
let both: DpopUpstream;
let only2: DpopUpstream;
let custody: Custody;
let edge: Edge;

const tokenFor = (name: string): string => `bound-${name}-9c41d7`;
const keys = Object.fromEntries(NAMES.map((name) => [name, DpopKey.generate()])) as Record<Name, DpopKey>;
const ed25519 = generateKeyPairSync("ed25519").privateKey;
const okp = DpopKey.read(JSON.stringify(ed25519.export({ format: "jwk" }))) as DpopKey;

/** What a source yields: a JWK for one kind of key, PEM for the other. */
function rootOf(name: Name): string {
  const token = tokenFor(name);
  if (name === "edge.test") return JSON.stringify({ token, private_jwk: ed25519.export({ format: "jwk" }) });
  return JSON.stringify({ token, private_key: keys[name].pem().reveal() });
}

function credential(name: Name, port: number, more: ConfigPart = {}): ConfigPart {
  const label = name.replace(".test", "");
  return { name: label, kind: "dpop", source: { env: `ROOT_${label}` }, hosts: [`${name}:${port}`], ...more };
}

async function startFar(): Promise<Custody> {
  return await startCustody({
    credentials: [credential("remote.test", both.port)],
    env: { ROOT_remote: rootOf("remote.test") },
    socket: join(directory, "custody.sock"),
  });
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-dpop-"));
  const ca = await makeCa(join(directory, "ca"), "Upstream CA");
  const tls = await ca.issue(NAMES);
  const tokens = Object.fromEntries(NAMES.map((name) => [tokenFor(name), keys[name].thumbprint]));
  tokens[tokenFor("edge.test")] = okp.thumbprint;
  // This one is bound to another key than custody has.
  tokens[tokenFor("foreign.test")] = okp.thumbprint;
  both = await startDpop({ tls, tokens });
  only2 = await startDpop({ tls, tokens, speaks: ["h2"] });
  custody = await startFar();
  edge = await startEdge({
    hosts: Object.fromEntries(NAMES.map((name) => [name, ["127.0.0.1"]])),
    extraRoots: [ca.certificateFile],
    env: Object.fromEntries(NAMES.map((name) => [`ROOT_${name.replace(".test", "")}`, rootOf(name)])),
    custody: {
      main: {
        embedded: {
          credentials: [
            credential("edge.test", both.port, { key_at: "edge" }),
            credential("custody.test", both.port),
            credential("two.test", only2.port, { key_at: "edge" }),
            credential("foreign.test", both.port),
          ],
        },
      },
      far: { remote: { address: custody.address } },
    },
    destinations: NAMES.map((name) =>
      destinationFor(name === "two.test" ? only2 : both, name, {
        credential: `${name === "remote.test" ? "far" : "main"}/${name.replace(".test", "")}`,
        attach: { as: "dpop" },
        ...(name === "two.test" ? { http: "h2" } : {}),
      }),
    ),
    wait: "live",
  });
  await writeFile(join(directory, "small"), "s".repeat(60_000));
  await writeFile(join(directory, "large"), "l".repeat(200_000));
});

afterAll(async () => {
  await edge?.stop();
  await custody?.stop();
  await Promise.all([both?.close(), only2?.close()]);
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  both.reset();
  only2.reset();
});

const upstreamOf = (name: Name): DpopUpstream => (name === "two.test" ? only2 : both);

function curl(name: Name, path: string, ...args: string[]): Promise<RunResult> {
  const options = ["-sS", "-D", "-", "--max-time", "30", "-H", "Expect:"];
  return run("curl", [...options, ...args, `https://${name}:${upstreamOf(name).port}${path}`], {
    env: edge.guestEnv(),
  });
}

const statusOf = ({ stdout }: RunResult): string =>
  /^HTTP\/\S+ (\d+)/m.exec(stdout.replace(/^HTTP\/\S+ 200 Connection[^]*?\r\n\r\n/, ""))?.[1] ?? "none";
const verdicts = (name: Name): string[] => upstreamOf(name).requests.map(({ verdict }) => verdict);

describe.each(["--http1.1", "--http2"])("curl %s", (version) => {
  describe.each(["edge.test", "custody.test", "remote.test", "two.test"] as const)("%s", (name) => {
    const sent = (path: string, ...args: string[]): Promise<RunResult> => curl(name, path, version, ...args);

    test("a GET, a POST: each with a proof that the upstream takes, whatever the guest says", async () => {
      const mine = ["-H", "DPoP: mine", "-H", "Authorization: DPoP mine"];
      expect(statusOf(await sent("/v1/items?page=2", ...mine))).toBe("200");
      expect(statusOf(await sent("/v1/items", "-X", "POST", "-d", "{}", ...mine))).toBe("200");
      const taken = upstreamOf(name).requests.filter(({ verdict }) => verdict === "ok");
      expect(taken.map(({ method, path, body }) => [method, path, body])).toEqual([
        ["GET", "/v1/items?page=2", ""],
        ["POST", "/v1/items", "{}"],
      ]);
      expect(new Set(upstreamOf(name).requests.map(({ proof }) => proof)).size).toBe(upstreamOf(name).requests.length);
    });

    test("a nonce that is asked for is met once, for a body that is held as well, and not shown to the guest", async () => {
      await sent("/warm");
      for (const args of [[], ["-X", "POST", "--data-binary", `@${join(directory, "small")}`]]) {
        upstreamOf(name).changeNonce();
        upstreamOf(name).reset();
        const result = await sent("/v1", ...args);
        expect(statusOf(result)).toBe("200");
        expect(verdicts(name)).toEqual(["use_dpop_nonce", "ok"]);
        expect(result.stdout).not.toMatch(/dpop-nonce|nonce-\d/i);
        expect(upstreamOf(name).requests[1]?.body.length).toBe(args.length === 0 ? 0 : 60_000);
      }
    });

    test("nonces that are good once: the answer brings the next", async () => {
      await sent("/warm");
      upstreamOf(name).reset();
      upstreamOf(name).nonces = "each once";
      for (let i = 0; i < 4; i++) expect(statusOf(await sent(`/v1/${i}`))).toBe("200");
      expect(verdicts(name).filter((verdict) => verdict !== "ok").length).toBeLessThanOrEqual(1);
    });

    test("a body that is not held meets no challenge: the guest reads it, and the next request goes through", async () => {
      await sent("/warm");
      upstreamOf(name).changeNonce();
      upstreamOf(name).reset();
      const large = ["-X", "POST", "--data-binary", `@${join(directory, "large")}`];
      expect(statusOf(await sent("/v1", ...large))).toBe("401");
      expect(statusOf(await sent("/v1", ...large))).toBe("200");
      expect(verdicts(name)).toEqual(["use_dpop_nonce", "ok"]);
      expect(upstreamOf(name).requests[1]?.body.length).toBe(200_000);
    });

    test("an upstream that sends token and proof back shows the guest neither", async () => {
      const result = await sent("/echo");
      expect(statusOf(result)).toBe("200");
      expect(result.stdout).toMatch(/x-echo/i);
      const { proof = null } = upstreamOf(name).requests.at(-1) ?? {};
      expect(result.stdout).not.toContain(tokenFor(name));
      expect(result.stdout).not.toContain(proof ?? "no proof");
    });
  });
});

test("over HTTP/2 it is HTTP/2 that the upstream saw", async () => {
  await curl("two.test", "/v1");
  expect(only2.requests.at(-1)).toMatchObject({ httpVersion: "2.0", verdict: "ok" });
});

/** A WebSocket in a tunnel, the handshake written by hand: no message is sent. */
async function upgradeTo(port: number, name: string, path: string): Promise<RawGuest> {
  const guest = await openTunnel(edge.proxyPort, `${name}:${port}`, name);
  const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
  const lines = [
    `Host: ${name}:${port}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    key,
  ];
  guest.send(`GET ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
  return guest;
}

test.each(["edge.test", "custody.test", "remote.test"] as const)(
  "%s: the handshake of a WebSocket has its proof, and meets a challenge",
  async (name) => {
    await curl(name, "/warm");
    both.changeNonce();
    both.reset();
    const guest = await upgradeTo(both.port, name, "/ws");
    await guest.until(/^HTTP\/1\.1 101 [^]*\r\n\r\n$/);
    guest.send(Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x68]));
    await guest.until(/h$/);
    guest.destroy();
    expect(verdicts(name)).toEqual(["use_dpop_nonce", "ok"]);
  },
);

test("without nonces", async () => {
  both.nonces = "none";
  expect(statusOf(await curl("custody.test", "/v1"))).toBe("200");
  expect(verdicts("custody.test")).toEqual(["ok"]);
});

test("a token that is bound to another key: the upstream's refusal, after one fresh lease", async () => {
  const result = await curl("foreign.test", "/v1");
  expect(statusOf(result)).toBe("401");
  expect(verdicts("foreign.test").every((verdict) => verdict === "invalid_dpop_proof: jkt")).toBe(true);
  expect(verdicts("foreign.test")).toHaveLength(2);
});

test("many at once: no proof twice, each with its own", async () => {
  both.nonces = "none";
  const results = await Promise.all(Array.from({ length: 20 }, (_, i) => curl("remote.test", `/v1/${i}`)));
  expect(results.map(statusOf)).toEqual(Array.from({ length: 20 }, () => "200"));
  expect(new Set(both.requests.map(({ proof }) => proof)).size).toBe(20);
});

describe("custody that keeps the key", () => {
  test("is killed: nothing goes upstream although token and lease are at hand; it is back: served by the same exchange", async () => {
    expect(statusOf(await curl("remote.test", "/before"))).toBe("200");
    both.reset();
    custody.process.signal("SIGKILL");
    await custody.process.exited();
    for (let i = 0; i < 3; i++) expect(denialIn((await curl("remote.test", "/v1")).stdout)).toBe("custody_unavailable");
    expect(both.requests).toEqual([]);
    await rm(join(directory, "custody.sock"), { force: true });
    custody = await startFar();
    // The breaker of the edge finds it again.
    await expect
      .poll(async () => statusOf(await curl("remote.test", "/v1")), { timeout: 30_000, interval: 200 })
      .toBe("200");
  });

  test("is killed under load: every request that went upstream has its proof, the others are refused by name", async () => {
    expect(statusOf(await curl("remote.test", "/before"))).toBe("200");
    both.reset();
    both.nonces = "none";
    const seen = new Map<string, number>();
    const count = (what: string): number => seen.get(what) ?? 0;
    const guest = async (): Promise<void> => {
      while (count("custody_unavailable") < 8) {
        const result = await curl("remote.test", "/v1", "-X", "POST", "-d", "x");
        const what = denialIn(result.stdout) ?? statusOf(result);
        seen.set(what, count(what) + 1);
        if (count("200") === 12) custody.process.signal("SIGKILL");
      }
    };
    await Promise.all(Array.from({ length: 6 }, guest));
    expect([...seen.keys()].toSorted()).toEqual(["200", "custody_unavailable"]);
    expect(both.requests).toHaveLength(count("200"));
    expect(new Set(verdicts("remote.test"))).toEqual(new Set(["ok"]));
    await custody.process.exited();
    await rm(join(directory, "custody.sock"), { force: true });
    custody = await startFar();
    await expect
      .poll(async () => statusOf(await curl("remote.test", "/v1")), { timeout: 30_000, interval: 200 })
      .toBe("200");
  });

  test("was started anew, and knows no lease: another one is asked for, and the guest notices nothing", async () => {
    expect(statusOf(await curl("remote.test", "/before"))).toBe("200");
    await custody.process.stop();
    custody = await startFar();
    both.reset();
    expect(statusOf(await curl("remote.test", "/after", "-X", "POST", "-d", "x"))).toBe("200");
    expect(both.requests.at(-1)).toMatchObject({ verdict: "ok", body: "x" });
  });
});

test("nothing of a token or a key is written down", async () => {
  const texts = [JSON.stringify(await edge.audit()), edge.process.output(), custody.process.output()];
  for (const name of NAMES)
    for (const text of texts) {
      expect(text).not.toContain(tokenFor(name));
      expect(text).not.toContain("PRIVATE KEY");
    }
});
