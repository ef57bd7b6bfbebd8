import { afterEach, describe, expect, test } from "vitest";
import type { ClientCredentialsMint } from "../../../src/core/mint.ts";
import { ManualClock } from "../support/clocks.ts";
import { entryOf, issuing } from "../support/issuing.ts";
import { OAuth2Server } from "../support/oauth2-server.ts";
import { requestOf } from "../support/permits.ts";
import { secretOf } from "../support/secret-of.ts";

const SECRET = "client:secret & more/0f3a9c";
const servers: OAuth2Server[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

describe("client credentials", () => {
  test("a lease brings what the issuer gave, and one token serves many leases", async () => {
    const server = await OAuth2Server.start({
      clients: [{ id: "postern edge", secret: SECRET, auth: "client_secret_basic", scopes: ["read", "write"] }],
    });
    servers.push(server);
    const mint: ClientCredentialsMint = {
      as: "oauth2_client_credentials",
      endpoint: { url: server.url, ca: null, timeoutMs: 5_000 },
      client: {
        id: "postern edge",
        auth: "client_secret_basic",
        secret: null,
        algorithm: "ES256",
        keyId: null,
        audience: null,
      },
      scopes: ["read", "write"],
      audiences: [],
      resources: [],
    };
    const { issuer } = issuing({
      clock: new ManualClock(),
      environment: { ROOT: SECRET },
      entries: [entryOf({ mint })],
    });
    const signal = new AbortController().signal;
    const caller = { name: "test", tenants: null };
    const first = await issuer.issue(caller, requestOf(), signal);
    const second = await issuer.issue(caller, requestOf(), signal);
    const narrowed = await issuer.issue(caller, requestOf({ narrow: { scopes: ["read"] } }), signal);
    expect(server.issued.map(({ scope }) => scope)).toEqual(["read write", "read"]);
    expect(secretOf(first.material).reveal()).toBe(server.issued[0]?.token);
    expect(secretOf(second.material).reveal()).toBe(server.issued[0]?.token);
    expect(secretOf(narrowed.material).reveal()).toBe(server.issued[1]?.token);
    expect(first.ttlMs).toBe(900_000);
    issuer.close();
  });
});
