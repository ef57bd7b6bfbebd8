import { type IncomingMessage, ServerResponse } from "node:http";
import { execFileSync } from "node:child_process";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { OAuth2Server } from "../custody/support/oauth2-server.ts";
import type { ChaosCustody } from "./support/chaos-custody.ts";
import { type ChaosHouse, credentialOf, NEAR_HOSTS, startChaos } from "./support/chaos-house.ts";
import { type Host, HOSTS } from "./support/chaos-upstreams.ts";
import { type Hit, SecretSearch } from "./support/secret-search.ts";

/**
 * Custody, its sources and its issuers die, hang, lie and come back while guests go on asking. What is held to all through: no
 * request goes upstream without a credential that is good at that moment, every guest is answered, everything goes on by itself
 * once it can, and no secret is written anywhere. The stories are one run, in this order.
 */

let house: ChaosHouse;
/** Between these times nothing may be sent for a host, to requests that began and ended in between. */
const shut: { readonly host: Host; readonly fromMs: number; readonly toMs: number }[] = [];
/** While the clock was wrong: what tells the time with its proof is right to be refused for that. */
let wrongClock: { readonly fromMs: number; readonly toMs: number } | null = null;
const TELLS_TIME: ReadonlySet<string> = new Set(["dpop.test", "aws.test"]);
/** Pages that were looked at on the way. */
const pages: string[] = [];

const patience = { timeout: 30_000, interval: 200 };
const FAR_HOSTS = HOSTS.filter((host) => credentialOf(host).startsWith("far/"));
const DENIALS = new Set(["custody_unavailable", "lease_denied", "lease_unusable", "audit_unavailable"]);

beforeAll(async () => {
  house = await startChaos();
});
afterAll(() => house?.stop());

/** Where each story begins, by the guests' requests: a failure in the end says when it was. */
const stories: { readonly name: string; readonly firstId: number }[] = [];
beforeEach(({ task }) => void stories.push({ name: task.name, firstId: house.guests.asked.length }));
const storyOf = (id: number): string => stories.findLast(({ firstId }) => firstId <= id)?.name ?? "";

const outcome = async (host: Host): Promise<string> => (await house.guests.ask(host)).outcome;

async function become(hosts: readonly Host[], wanted: string): Promise<void> {
  await Promise.all(hosts.map((host) => expect.poll(() => outcome(host), { ...patience, message: host }).toBe(wanted)));
}

/** Everybody is served again, with the edge that was there all the time. */
async function recovered(hosts: readonly Host[] = HOSTS): Promise<void> {
  await become(hosts, "200");
  await look();
  expect(house.edge.process.exit).toBeNull();
}

/** What everybody may read, for the search at the end. */
async function look(): Promise<void> {
  pages.push(await house.edge.metrics());
  for (const page of ["healthz", "readyz"]) pages.push(await (await fetch(`${house.edge.adminUrl}/${page}`)).text());
  for (const custody of [house.near, house.far])
    for (const path of ["/v1/health", "/v1/leases?limit=1000", "/v1/revocations?limit=1000"])
      pages.push(JSON.stringify(await custody.operate("GET", path)));
}

async function kill(...custodies: ChaosCustody[]): Promise<void> {
  await Promise.all(custodies.map((custody) => custody.kill()));
}

async function restart(): Promise<void> {
  await Promise.all([house.startNear(), house.far.start()]);
}

/** What is done with the next request that comes to an issuer, once; then the issuer is well again. */
function trap(
  issuer: OAuth2Server,
  spring: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let isSprung = false;
    issuer.mood = (request, response) => {
      // Others that come meanwhile are not answered: whoever asks is about to die.
      if (isSprung) return;
      isSprung = true;
      spring(request, response)
        .finally(() => (issuer.mood = "well"))
        .then(resolve, reject);
    };
  });
}

/** The same at both custodies: one is asked for a refresh, the other one for client credentials. */
async function trapBoth(
  spring: (
    custody: ChaosCustody,
    issuer: OAuth2Server,
    request: IncomingMessage,
    response: ServerResponse,
  ) => Promise<void>,
): Promise<void> {
  const { near, far, sources } = house;
  await Promise.all([
    trap(sources.refresh, (...exchange) => spring(near, sources.refresh, ...exchange)),
    trap(sources.partner, (...exchange) => spring(far, sources.partner, ...exchange)),
  ]);
}

test("custody is killed before there is any lease: nobody is served, nothing is sent; it comes up: everybody is", async () => {
  await kill(house.near, house.far);
  house.guests.start(HOSTS, 2);
  await expect.poll(() => new Set(house.guests.asked.map(({ host }) => host)).size, patience).toBe(HOSTS.length);
  await become(HOSTS, "custody_unavailable");
  expect(house.upstreams.judged()).toEqual([]);
  await restart();
  await recovered();
});

test("… with live leases: they go on to their end and no further", async () => {
  await kill(house.near, house.far);
  await become(HOSTS, "custody_unavailable");
  const sent = house.upstreams.judged().length;
  for (const host of HOSTS) expect(await outcome(host)).toBe("custody_unavailable");
  expect(house.upstreams.judged().length).toBe(sent);
});

test("… while a lease is being minted", async () => {
  const caught = trapBoth((custody) => custody.kill());
  await restart();
  await caught;
});

test("… between the mint and the answer: what was minted is lost", async () => {
  const caught = trapBoth(async (custody, issuer, request, response) => {
    custody.process.signal("SIGSTOP");
    const minted = issuer.issued.length;
    issuer.again(request, response);
    await expect.poll(() => issuer.issued.length, patience).toBe(minted + 1);
    await custody.kill();
  });
  await restart();
  await caught;
});

test("… while a refresh token rotates: the issuer has gone on, and custody was not told", async () => {
  const caught = trapBoth(async (custody, issuer, request) => {
    const minted = issuer.issued.length;
    issuer.again(request, new ServerResponse(request));
    await expect.poll(() => issuer.issued.length, patience).toBe(minted + 1);
    await custody.kill();
  });
  await restart();
  await caught;
  await restart();
  await recovered();
});

test("… while tokens and leases are renewed", async () => {
  const { vault } = house.sources;
  const renewing = Promise.withResolvers<void>();
  vault.misbehave = ({ path }) => {
    if (!/renew/.test(path)) return false;
    renewing.resolve();
    return true;
  };
  // The edge renews its leases all the time: the other one dies in the midst of that.
  const asked = trap(house.sources.partner, () => house.far.kill());
  await renewing.promise;
  await house.near.kill();
  await asked;
  vault.misbehave = null;
  await restart();
  await recovered();
});

test("… while it stops", async () => {
  await followed("near");
  const caught = trapBoth(async (custody) => {
    custody.process.signal("SIGTERM");
    await expect.poll(() => custody.process.output(), patience).toContain("draining");
    await custody.kill();
  });
  await caught;
  await restart();
  await recovered();
});

test("custody is stopped (SIGTERM) with live leases: what it gives back is not sent any more", async () => {
  await followed("near");
  await Promise.all([house.near, house.far].map(({ process }) => process.stop()));
  await become(HOSTS, "custody_unavailable");
  await restart();
  await recovered();
});

test("custody is killed while something is revoked: what was answered is in force after it", async () => {
  const { near } = house;
  const answered: string[] = [];
  const revoking = Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const target = { scope: "session", value: `somebody-${i}`, tenant: "local" };
      const made = await near.operate("POST", "/v1/revocations", { ...target, reason: "chaos" });
      if (made !== null) answered.push(String(made["id"]));
      if (answered.length === 5) near.process.signal("SIGKILL");
    }),
  );
  await revoking;
  await near.kill();
  await house.startNear();
  const { revocations } = (await near.operate("GET", "/v1/revocations?limit=1000")) as {
    revocations: { readonly id: string }[];
  };
  expect(answered.length).toBeGreaterThanOrEqual(5);
  expect(revocations.map(({ id }) => id)).toEqual(expect.arrayContaining(answered));
  await recovered();
});

test("custody hangs (SIGSTOP): guests are refused in time, and it goes on where it was (SIGCONT)", async () => {
  for (const { process } of [house.near, house.far]) process.signal("SIGSTOP");
  await become(HOSTS, "custody_unavailable");
  for (const { process } of [house.near, house.far]) process.signal("SIGCONT");
  await recovered();
});

test("what is revoked is not sent any more once the edge was told, and is again once that was lifted", async () => {
  await Promise.all([
    revoked(house.near, "near", { scope: "credential", value: "kv" }, ["kv.test"]),
    revoked(house.far, "far", { scope: "tenant", value: "local" }, FAR_HOSTS),
  ]);
  await recovered();
});

/** An edge that does not follow yet hears of nothing. */
async function followed(name: string): Promise<void> {
  await expect.poll(() => house.edge.metrics(), patience).toContain(`postern_custody_feed_up{custody="${name}"} 1`);
}

async function revoked(custody: ChaosCustody, name: string, target: object, hosts: readonly Host[]): Promise<void> {
  const told = async (): Promise<number> => {
    const line = new RegExp(`^postern_leases_revoked_total\\{custody="${name}"\\} (\\d+)$`, "m");
    return Number(line.exec(await house.edge.metrics())?.[1] ?? 0);
  };
  await followed(name);
  await become(hosts, "200");
  const before = await told();
  const made = await custody.operate("POST", "/v1/revocations", { ...target, reason: "chaos" });
  await expect.poll(told, patience).toBeGreaterThan(before);
  const fromMs = performance.now();
  for (let i = 0; i < 3; i++) for (const host of hosts) expect(await outcome(host)).toBe("lease_denied");
  const toMs = performance.now();
  shut.push(...hosts.map((host) => ({ host, fromMs, toMs })));
  expect(await custody.operate("DELETE", `/v1/revocations/${String(made?.["id"])}`)).not.toBeNull();
}

/** Hosts whose credential is asked for again and again. */
const ASKED_AGAIN: readonly Host[] = ["kv.test", "refresh.test", "partner.test", "exec.test", "body.test"];

test("issuers and sources are killed: leases of them end, others are served; they are back: all are", async () => {
  const { gates, put, at, body, helper } = house.sources;
  const good = await readFile(helper, "utf8");
  await Promise.all(Object.values(gates).map((gate) => gate.kill()));
  await put("helper.sh", "#!/bin/sh\nkill -9 $$\n", 0o700);
  await rm(at("body"));
  await become(ASKED_AGAIN, "custody_unavailable");
  await become(["store.test", "dpop.test", "certified.test"], "200");
  await Promise.all(Object.values(gates).map((gate) => gate.open()));
  await put("helper.sh", good, 0o700);
  await put("body", body);
  await recovered();
});

test("issuers and sources hang: nobody waits for ever", async () => {
  const { gates, put, at, body, helper } = house.sources;
  const good = await readFile(helper, "utf8");
  for (const gate of Object.values(gates)) gate.hold();
  await put("helper.sh", "#!/bin/sh\nexec sleep 600\n", 0o700);
  await rm(at("body"));
  execFileSync("mkfifo", ["-m", "600", at("body")]);
  await become(ASKED_AGAIN, "custody_unavailable");
  await Promise.all(Object.values(gates).map((gate) => gate.open()));
  await put("helper.sh", good, 0o700);
  await put("body", body);
  await recovered();
});

test("issuers and sources say what is wrong: nothing of it is leased", async () => {
  const { refresh, partner, sts, github, vault, put, body, helper } = house.sources;
  const good = await readFile(helper, "utf8");
  let turn = 0;
  const lie = (_request: unknown, response: ServerResponse): void => {
    const [status, type, text] = LIES[turn++ % LIES.length] as (typeof LIES)[number];
    response.writeHead(status, { "content-type": type, location: "https://elsewhere.test/" }).end(text);
  };
  for (const issuer of [refresh, partner, sts, github]) issuer.mood = lie;
  vault.misbehave = (asked, response) => {
    lie(asked, response);
    return true;
  };
  await put("helper.sh", `#!/bin/sh\necho '{"token":"${body}"'\necho '${body}' >&2\n`, 0o700);
  await put("body", body, 0o644);
  const store = join(house.near.directory, "secrets.store");
  const sealed = await readFile(store);
  await writeFile(store, sealed.subarray(0, sealed.length - 7));
  await become([...ASKED_AGAIN, "store.test"], "custody_unavailable");
  await writeFile(store, sealed);
  for (const issuer of [refresh, partner, sts, github]) issuer.mood = "well";
  vault.misbehave = null;
  await put("helper.sh", good, 0o700);
  await put("body", body);
  await recovered();
});

const LIES = [
  [200, "application/json", "{"],
  [200, "text/html", "<h1>Welcome</h1>"],
  [200, "application/json", '{"access_token":"","token_type":"Bearer","expires_in":60}'],
  [200, "application/json", '{"access_token":"x y\\r\\nz: w","token_type":"Bearer","expires_in":60}'],
  [200, "application/json", `{"auth":null,"data":null,"token":"${" ".repeat(300_000)}"}`],
  [302, "application/json", "{}"],
  [500, "application/json", '{"errors":["internal error"]}'],
] as const;

test("disks are full: nothing is leased, revoked or stored that cannot be written down", async (context) => {
  const { nearDisk, edgeDisk, near, sources } = house;
  if (nearDisk === null || edgeDisk === null) return context.skip("no small file system can be mounted here");
  await nearDisk.fill();
  await become(NEAR_HOSTS, "custody_unavailable");
  const target = { scope: "session", value: "nobody", tenant: "local", reason: "chaos" };
  expect(await near.operate("POST", "/v1/revocations", target)).toBeNull();
  expect(await house.setSecret(`another-${sources.signing}`)).not.toBe(0);
  await nearDisk.makeRoom();
  await recovered();
  await edgeDisk.fill();
  await become(HOSTS, "audit_unavailable");
  const sent = house.upstreams.judged().length;
  for (const host of HOSTS) expect(await outcome(host)).toBe("audit_unavailable");
  expect(house.upstreams.judged().length).toBe(sent);
  await edgeDisk.makeRoom();
  await recovered();
});

test("wall clocks are set back an hour: nothing lives longer for it", async () => {
  const { sources } = house;
  const fromMs = performance.now();
  await house.setClocks(-3_600_000);
  const printed = async (): Promise<number> => (await readFile(sources.at("exec-issued"), "utf8")).split("\n").length;
  const before = [sources.refresh.issued.length, sources.partner.issued.length, await printed()];
  // Each credential has to be asked for again: one that is taken for good for an hour more is not.
  const isRenewed = async (): Promise<boolean> => {
    const now = [sources.refresh.issued.length, sources.partner.issued.length, await printed()];
    return now.every((count, i) => count >= (before[i] ?? 0) + 2);
  };
  await expect.poll(isRenewed, patience).toBe(true);
  await house.setClocks(0);
  await recovered();
  wrongClock = { fromMs, toMs: performance.now() };
});

test("in the end: every request that was sent had its credential, every guest was answered", async ({ annotate }) => {
  await house.guests.stop();
  const { asked } = house.guests;
  const judged = house.upstreams.judged();
  const isOfWrongClock = ({ host, id }: { readonly host: string; readonly id: number }): boolean => {
    const { startedMs = 0, endedMs = 0 } = asked[id] ?? {};
    return TELLS_TIME.has(host) && wrongClock !== null && endedMs > wrongClock.fromMs && startedMs < wrongClock.toMs;
  };
  const isAskedBefore = ({ id, diedMs = -Infinity }: { readonly id: number; readonly diedMs?: number }): boolean =>
    (asked[id]?.startedMs ?? Infinity) < diedMs;
  const bad = judged
    .filter(({ verdict }) => verdict !== "ok")
    .filter((one) => !isOfWrongClock(one) && !isAskedBefore(one));
  expect(bad.map((one) => ({ ...one, in: storyOf(one.id) }))).toEqual([]);
  const excused = new Set(judged.filter((one) => one.verdict !== "ok" && isAskedBefore(one)).map(({ id }) => id));
  const odd = asked
    .filter(({ id, outcome: what }) => what !== "200" && !DENIALS.has(what) && !excused.has(id))
    .filter((one) => !isOfWrongClock(one));
  expect(odd.map((one) => ({ ...one, in: storyOf(one.id) }))).toEqual([]);
  const late = judged.filter(({ host, id }) =>
    shut.some((window) => {
      const { startedMs = 0, endedMs = 0 } = asked[id] ?? {};
      return window.host === host && startedMs > window.fromMs && endedMs < window.toMs;
    }),
  );
  expect(late).toEqual([]);
  const tally = Object.entries(Object.groupBy(asked, ({ outcome: what }) => what));
  await annotate(
    `${asked.length} asked (${tally.map(([what, all]) => `${all?.length} ${what}`).join(", ")}), ${judged.length} sent, ` +
      `custody killed ${house.near.kills + house.far.kills} times`,
  );
});

test("no secret was written anywhere", async ({ annotate }) => {
  const search = new SecretSearch();
  house.sources.tellAll(search);
  for (const directory of house.rootFiles.filter((path) => path.endsWith("ca")))
    for (const name of await readdir(directory))
      if (name.endsWith(".key")) search.addPem(name, await readFile(join(directory, name), "utf8"));
  // Where they are they are found: this is no search that finds nothing.
  for (const name of ["body", "client.pem", "exec-issued", "dpop.json"])
    expect(search.search(await readFile(house.sources.at(name)), name)).not.toEqual([]);
  const hits: Hit[] = [];
  const where = async (directory: string): Promise<void> => {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (house.rootFiles.includes(path)) continue;
      if (entry.isDirectory()) await where(path);
      else if (entry.isFile()) hits.push(...search.search(await readFile(path), path));
    }
  };
  for (const directory of new Set([house.directory, house.near.directory, house.edge.directory]))
    await where(directory);
  if (house.edgeDisk !== null) await where(house.edgeDisk.directory);
  hits.push(...search.search(house.edge.process.output(), "the log of the edge"));
  hits.push(
    ...search.search(house.near.output(), "the log of near"),
    ...search.search(house.far.output(), "the log of far"),
  );
  pages.forEach((page, i) => hits.push(...search.search(page, `page ${i}`)));
  house.guests.received.forEach((text, i) => hits.push(...search.search(Buffer.from(text, "latin1"), `guest ${i}`)));
  expect(hits).toEqual([]);
  await annotate(`${search.size} secrets looked for in ${search.searched} bytes`);
});
