import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Secret } from "../../../src/core/secret.ts";
import { RemoteCustody } from "../../../src/custody/remote.ts";
import { SecretStore } from "../../../src/custody/store/secret-store.ts";
import { storeKey } from "../../../src/custody/store/store-key.ts";
import { type PosternProcess, startPostern } from "../../house/support/postern-process.ts";
import { KEY } from "../store/storing.ts";
import { realClock } from "../support/clocks.ts";
import { OAuth2Server } from "../support/oauth2-server.ts";
import { requestOf } from "../support/permits.ts";
import { secretOf } from "../support/secret-of.ts";

/** `postern custody` as a real process, killed (SIGKILL) in the middle of a rotation, with a file and with the store. */

let folder: string;
let server: OAuth2Server;
let custody: PosternProcess | null = null;
const PLACES = ["file", "store"] as const;
let where: (typeof PLACES)[number] = "file";

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
  const seed = server.grantRefresh("public");
  await writeFile(join(folder, "seed"), seed, { mode: 0o600 });
  await writeFile(join(folder, "store.key"), KEY, { mode: 0o600 });
  if (where === "store") await openStore().create("acme/root", Secret.of(seed));
  const config = {
    listen: { address: `unix:${join(folder, "c.sock")}` },
    credentials: [
      {
        name: "key",
        source: where === "file" ? { file: "seed" } : { store: "acme/root" },
        mint: {
          as: "oauth2_refresh_token",
          token_endpoint: { url: server.url, plain_http: "accept" },
          client: { id: "public", auth: "none" },
          ...(where === "file" ? { state: "state" } : {}),
          scopes: ["read"],
        },
        hosts: ["api.example.com:443"],
      },
    ],
    ...(where === "file" ? {} : { store: { file: "secrets.store", key: { file: "store.key" } } }),
    audit: { file: join(folder, "audit.jsonl"), mode: "strict", fsync: "always" },
  };
  await writeFile(join(folder, "custody.yaml"), JSON.stringify(config));
}

/** @returns a call for one lease, which rejects when custody dies, or when nobody waits for it any more */
async function start(): Promise<(leaving?: AbortSignal) => Promise<string>> {
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
  return async (leaving = new AbortController().signal) => {
    const remote = new RemoteCustody({ address: { kind: "unix", path }, tls: null, timeoutMs: 20_000 });
    try {
      const { material } = await remote.lease(requestOf(), leaving);
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

/** What the place is made of, byte for byte: another text is another state. */
function placeText(): string {
  try {
    return readFileSync(join(folder, where === "file" ? "state" : "secrets.store"), "utf8");
  } catch {
    // Not yet made.
    return "";
  }
}

function openStore(): SecretStore {
  const context = { clock: realClock, environment: { KEY } };
  const key = storeKey({ from: "env", variable: "KEY" }, context, null);
  return new SecretStore({ file: join(folder, "secrets.store"), key, reader: null, clock: realClock, randomBytes });
}

async function mustHoldCurrent(): Promise<void> {
  const { current = "none" } = server.families[0] ?? {};
  if (where === "file") expect(placeText()).toContain(current);
  else expect((await openStore().read("acme/root")).secret.reveal()).toBe(current);
}

describe.each(PLACES)("a custody with its root in the %s that is stopped", (place) => {
  beforeEach(() => {
    where = place;
  });

  test("in the middle of an exchange that nobody waits for any more lets it finish", { timeout: 120_000 }, async () => {
    await serve("strict");
    const lease = await start();
    const leaving = new AbortController();
    let answer = (): void => undefined;
    server.mood = (request, response) => {
      server.mood = "well";
      answer = () => server.again(request, response);
      leaving.abort();
    };
    expect(await lease(leaving.signal).catch(() => "left")).toBe("left");
    custody?.signal("SIGTERM");
    while (custody?.output().includes('"msg":"stopped"') === false) await sleep(5);
    expect(custody?.exit).toBeNull();
    answer();
    expect(await custody?.exited(20_000)).toBe(0);
    await mustHoldCurrent();
    expect(server.isIssued(await (await start())())).toBe(true);
    expect(server.refused).toEqual([]);
  });
});

describe.each(PLACES)("a custody with its root in the %s that is killed", (place) => {
  beforeEach(() => {
    where = place;
  });

  test(
    "once the successor is durable has lost nothing, however strict the issuer is",
    { timeout: 120_000 },
    async () => {
      await serve("strict");
      for (let rounds = 0; rounds < 3; rounds++) {
        const lease = await start();
        const before = placeText();
        const leased = lease().catch(() => "killed");
        // No turn of the loop between the rename and the kill.
        while (server.issued.length === rounds) await sleep(1);
        while (placeText() === before) await sleep(0);
        await kill();
        await leased;
        await mustHoldCurrent();
      }
      const lease = await start();
      expect(server.isIssued(await lease())).toBe(true);
      expect(server.refused).toEqual([]);
    },
  );

  test("before the issuer has answered has lost nothing", { timeout: 120_000 }, async () => {
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

  test(
    "at any moment has lost nothing where the issuer bears a repeat until the successor was used",
    { timeout: 120_000 },
    async () => {
      await serve("grace");
      for (let rounds = 0; rounds < 5; rounds++) {
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
    },
  );
});
