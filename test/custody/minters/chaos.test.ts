import type { IncomingMessage, ServerResponse } from "node:http";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ManualClock } from "../support/clocks.ts";
import { entryOf, type Issuing, issuing } from "../support/issuing.ts";
import { clientCredentialsOf, endpointOf, leaseOf, tokenOf } from "../support/minting.ts";
import { DESCRIPTION, OAuth2Server } from "../support/oauth2-server.ts";

/** Issuers that misbehave. Each time there is no lease, an operator hears why, and nothing of the other side is quoted. */

const SECRET = "client-secret-0f3a9c";
/** What the issuer says that nobody may repeat. */
const LEAK = "said-by-the-issuer-77aa";

let server: OAuth2Server;
let clock: ManualClock;
const running: Issuing[] = [];

beforeEach(async () => {
  clock = new ManualClock();
  server = await OAuth2Server.start({
    clients: [{ id: "postern", secret: SECRET, auth: "client_secret_basic", scopes: ["read", "write"] }],
  });
});
afterEach(async () => {
  for (const { issuer } of running.splice(0)) issuer.close();
  await server.stop();
});

function start(timeoutMs = 5_000): Issuing {
  const mint = clientCredentialsOf(server.url, { endpoint: endpointOf(server.url, timeoutMs) });
  const parts = issuing({ clock, environment: { ROOT: SECRET }, entries: [entryOf({ mint })] });
  running.push(parts);
  return parts;
}

type Mood = (request: IncomingMessage, response: ServerResponse) => void;

const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Mood =>
  (_request, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };

const token = { access_token: "at-1", token_type: "Bearer", expires_in: 3600 };

const MOODS: readonly (readonly [name: string, mood: Mood, says: RegExp])[] = [
  [
    "dies before it answers",
    (request) => request.socket.destroy(),
    /cannot be reached or broke off \(UND_ERR_SOCKET\)/,
  ],
  [
    "dies in the middle of an answer",
    (_, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("{", () => response.destroy());
    },
    /broke off/,
  ],
  ["answers garbage", (_, response) => response.end(LEAK), /no JSON object/],
  ["answers a list", json(200, [LEAK]), /no JSON object/],
  ["answers nothing", (_, response) => response.end(), /no JSON object/],
  ["speaks no HTTP", (request) => request.socket.end(`${LEAK}\r\n\r\n`), /broke off/],
  ["answers without a token", json(200, { token_type: "Bearer" }), /without an access_token/],
  ["answers a token that is no text", json(200, { ...token, access_token: { LEAK } }), /without an access_token/],
  ["answers another token_type", json(200, { ...token, token_type: LEAK }), /token_type that is not bearer/],
  ["answers no token_type", json(200, { access_token: LEAK }), /token_type that is not bearer/],
  ["answers what has expired", json(200, { ...token, expires_in: 0 }), /has expired/],
  ["answers what expired long ago", json(200, { ...token, expires_in: -5 }), /has expired/],
  ["answers a life of words", json(200, { ...token, expires_in: LEAK }), /expires_in that is no number/],
  ["answers a token of two lines", json(200, { ...token, access_token: `${LEAK}\r\nx: y` }), /what no field can carry/],
  [
    "answers more than anybody wants",
    (_, response) => {
      response.writeHead(200);
      const chunk = "x".repeat(65_536);
      const more = (): void => {
        while (response.writable && response.write(chunk));
      };
      response.on("drain", more);
      response.on("error", () => undefined);
      more();
    },
    /more than 262144 bytes/,
  ],
  ["answers with a field too large", json(200, token, { "x-large": LEAK.repeat(2_000) }), /broke off/],
  ["redirects", json(302, {}, { location: "http://127.0.0.1:1/" }), /redirect \(302\), which is not followed/],
  ["is broken", json(500, { error: LEAK }), /status 500/],
  ["is away", json(503, { error: "temporarily_unavailable" }, { "retry-after": "7" }), /status 503/],
  ["is asked too often", json(429, { error: LEAK }, { "retry-after": "30" }), /too often \(429\)/],
  [
    "knows no such client",
    json(401, { error: "invalid_client", error_description: LEAK }),
    /invalid_client\): check client/,
  ],
  ["takes no such root", json(400, { error: "invalid_grant", error_description: LEAK }), /invalid_grant\): the root/],
  ["refuses with a word of its own", json(400, { error: LEAK }), /answers with status 400/],
  ["refuses with a word of every object", json(400, { error: "constructor" }), /answers with status 400/],
];

describe("an issuer that", () => {
  test.each(MOODS)("%s gives no lease", async (_name, mood, says) => {
    const parts = start();
    server.mood = mood;
    const denial: unknown = await leaseOf(parts).catch((error: unknown) => error);
    expect(denial).toMatchObject({ code: "custody_unavailable", reason: "source_unavailable" });
    const text = [denial instanceof Error ? String(denial.cause) : "", ...parts.warnings].join("\n");
    expect(parts.warnings.join("\n")).toMatch(says);
    expect(text).not.toContain(LEAK);
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain(DESCRIPTION);
    // It comes back, and so do the leases, without a restart.
    server.mood = "well";
    clock.advance(60_000);
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
  });

  test("hangs is given up at the end of its time", async () => {
    const parts = start(300);
    server.mood = () => undefined;
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(parts.warnings.join("\n")).toMatch(/did not answer within 300 ms/);
  });

  test("drips is given up at the end of its time as well", async () => {
    const parts = start(500);
    server.mood = (_, response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write(" "), 20);
      response.on("close", () => clearInterval(drip));
    };
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(parts.warnings.join("\n")).toMatch(/did not answer within 500 ms/);
  });

  test("is down is asked once, not once a lease", async () => {
    const parts = start();
    server.mood = json(500, {});
    const many = await Promise.allSettled(Array.from({ length: 100 }, () => leaseOf(parts)));
    for (let i = 0; i < 100; i++) many.push(...(await Promise.allSettled([leaseOf(parts)])));
    expect(many.every(({ status }) => status === "rejected")).toBe(true);
    expect(server.requests).toBe(1);
  });

  test("asks to be left alone is left alone as long", async () => {
    const parts = start();
    server.mood = json(429, {}, { "retry-after": "30" });
    await expect(leaseOf(parts)).rejects.toThrow();
    server.mood = "well";
    clock.advance(29_000);
    await expect(leaseOf(parts)).rejects.toThrow();
    expect(server.requests).toBe(1);
    clock.advance(10_000);
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
  });

  test("has gone gives no new token, and the one that is held serves until it ends", async () => {
    const parts = start();
    const first = await tokenOf(parts);
    server.mood = (request) => request.socket.destroy();
    clock.advance(3_000_000);
    expect(await tokenOf(parts)).toBe(first);
    while (server.requests < 2) await turn();
    clock.advance(545_000);
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
  });

  test("grants less lives on with less: an answer without expires_in is good for five minutes", async () => {
    server.expiresInS = null;
    const parts = start();
    expect((await leaseOf(parts)).ttlMs).toBe(300_000);
    server.expiresInS = "3599";
    clock.advance(300_000);
    expect((await leaseOf(parts)).ttlMs).toBe(900_000);
  });

  test("gives a thousand years gives a lease of 15 minutes", async () => {
    server.expiresInS = 1e300;
    const parts = start();
    expect((await leaseOf(parts)).ttlMs).toBe(900_000);
  });
});
