import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RemoteCustody } from "../../../src/custody/remote.ts";
import { type PosternProcess, startPostern } from "../../house/support/postern-process.ts";
import { OAuth2Server } from "../support/oauth2-server.ts";
import { requestOf } from "../support/permits.ts";
import { secretOf } from "../support/secret-of.ts";

/** `postern custody` as a real process, killed (SIGKILL) in the middle of a rotation. */

let folder: string;
let server: OAuth2Server;
let custody: PosternProcess | null = null;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-kill-"));
});
afterEach(async () => {
  await custody?.stop();
  custody = null;
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

async function serve(rotation: "strict" | "grace"): Promise<void> {
  server = await OAuth2Server.start({ clients: [{ id: "public", auth: "none", scopes: ["read"] }], rotation });
  await writeFile(join(folder, "seed"), server.grantRefresh("public"), { mode: 0o600 });
  const config = {
    listen: { address: `unix:${join(folder, "c.sock")}` },
    credentials: [
      {
        name: "key",
        source: { file: "seed" },
        mint: {
          as: "oauth2_refresh_token",
          token_endpoint: { url: server.url, plain_http: "accept" },
          client: { id: "public", auth: "none" },
          state: "state",
          scopes: ["read"],
        },
        hosts: ["api.example.com:443"],
      },
    ],
    audit: { file: join(folder, "audit.jsonl"), mode: "strict", fsync: "always" },
  };
  await writeFile(join(folder, "custody.yaml"), JSON.stringify(config));
}

/** @returns a call for one lease, which rejects when custody dies */
async function start(): Promise<() => Promise<string>> {
  const path = join(folder, "c.sock");
  const accepts = (): Promise<boolean> =>
    new Promise((done) => {
      const socket = connect(path);
      socket.on("connect", () => {
        socket.destroy();
        done(true);
      });
      socket.on("error", () => done(false));
    });
  custody = await startPostern(["custody", "--config", join(folder, "custody.yaml")], { ready: accepts });
  return async () => {
    const remote = new RemoteCustody({ address: { kind: "unix", path }, tls: null, timeoutMs: 20_000 });
    try {
      const { material } = await remote.lease(requestOf(), new AbortController().signal);
      return secretOf(material).reveal();
    } finally {
      await remote.close();
    }
  };
}

async function kill(): Promise<void> {
  custody?.signal("SIGKILL");
  await custody?.exited();
  custody = null;
}

function stateText(): string {
  try {
    return readFileSync(join(folder, "state"), "utf8");
  } catch {
    // Not yet made.
    return "";
  }
}

describe("a custody that is killed", () => {
  test("once the successor is durable has lost nothing, however strict the issuer is", async () => {
    await serve("strict");
    for (let rounds = 0; rounds < 4; rounds++) {
      const lease = await start();
      const before = stateText();
      const leased = lease().catch(() => "killed");
      // No turn of the loop between the rename and the kill.
      while (server.issued.length === rounds) await sleep(1);
      while (stateText() === before) await sleep(0);
      await kill();
      await leased;
      expect(stateText()).toContain(server.families[0]?.current ?? "none");
    }
    const lease = await start();
    expect(server.isIssued(await lease())).toBe(true);
    expect(server.refused).toEqual([]);
  });

  test("before the issuer has answered has lost nothing", async () => {
    await serve("strict");
    const lease = await start();
    server.mood = () => undefined;
    const leased = lease().catch(() => "killed");
    while (server.requests === 0) await sleep(1);
    await kill();
    expect(await leased).toBe("killed");
    server.mood = "well";
    expect(server.isIssued(await (await start())())).toBe(true);
  });

  test("at any moment has lost nothing where the issuer bears a repeat until the successor was used", async () => {
    await serve("grace");
    for (let rounds = 0; rounds < 8; rounds++) {
      const lease = await start();
      const leased = lease().catch(() => "killed");
      while (server.issued.length === rounds) await sleep(1);
      await sleep(rounds);
      await kill();
      await leased;
      expect(server.refused).toEqual([]);
    }
    expect(server.isIssued(await (await start())())).toBe(true);
    expect(server.families[0]?.revoked).toBe(false);
  });
});
