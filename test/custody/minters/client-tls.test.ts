import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type CustodyTls, makeCustodyTls } from "../support/custody-tls.ts";
import { realClock } from "../support/clocks.ts";
import { entryOf, type Issuing, issuing } from "../support/issuing.ts";
import { clientCredentialsOf, clientOf, leaseOf, tokenOf } from "../support/minting.ts";
import { OAuth2Server } from "../support/oauth2-server.ts";

/** A client that proves itself by its certificate (RFC 8705 §2). */

let tls: CustodyTls;
let server: OAuth2Server;
const running: Issuing[] = [];

beforeAll(async () => {
  tls = await makeCustodyTls();
});
afterAll(() => tls.remove());
beforeEach(async () => {
  const { certificate, key } = await tls.ca.issue(["localhost"], { extendedKeyUsage: "serverAuth" });
  server = await OAuth2Server.start({
    clients: [{ id: "edge-1.internal", auth: "tls", scopes: ["read", "write"] }],
    tls: { certificate, key, clientCa: tls.ca.certificate },
  });
});
afterEach(async () => {
  for (const { issuer } of running.splice(0)) issuer.close();
  await server.stop();
});

function start(root: string): Issuing {
  const mint = clientCredentialsOf(server.url, {
    endpoint: { url: server.url, ca: tls.ca.certificate, timeoutMs: 5_000 },
    client: clientOf({ id: "edge-1.internal", auth: "tls" }),
  });
  const parts = issuing({ clock: realClock, environment: { ROOT: root }, entries: [entryOf({ mint })] });
  running.push(parts);
  return parts;
}

const pem = ({ certificate, key }: { readonly certificate: string; readonly key: string }): string =>
  `${certificate}\n${key}`;

describe("a client certificate", () => {
  test("proves the client, and a renewed one is shown from the next mint on", async () => {
    const parts = start(pem(tls.edge));
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
    const renewed = await tls.ca.issue(["edge-1.internal"], { extendedKeyUsage: "clientAuth" });
    parts.environment["ROOT"] = pem(renewed);
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
    expect(server.issued).toHaveLength(2);
    expect(new Set(server.serials).size).toBe(2);
  });

  test.each([
    ["of another client", () => pem(tls.unknownEdge)],
    ["of another CA", () => pem(tls.forgedEdge)],
  ])("%s proves nothing", async (_name, root) => {
    const parts = start(root());
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(server.refused).toEqual(["invalid_client"]);
    expect(parts.warnings.join("\n")).toContain("check client.id");
  });

  test("that is none is refused before anything is sent", async () => {
    const parts = start("no-certificate-0f3a9c");
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(server.requests).toBe(0);
    expect(parts.warnings.join("\n")).not.toContain("0f3a9c");
  });
});
