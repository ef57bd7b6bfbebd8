import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Denial, DENIAL_CODES, DENIALS } from "../../src/core/denial.ts";
import { Metrics, type MetricsOptions } from "../../src/telemetry/metrics.ts";
import { exchangeRecord } from "./record.ts";

function metrics(options: Partial<MetricsOptions> = {}): Metrics {
  return new Metrics({ version: "1.2.3", custodies: ["main"], processMetrics: false, ...options });
}

const FULL: MetricsOptions["sources"] = {
  leases: () => 3,
  custodies: () => [
    { custody: "main", up: true },
    { custody: "other", up: false },
  ],
  policy: () => ({ version: "abc", loadedWallMs: 1_800_000_000_000, destinations: 7, problem: null }),
  leaves: () => ({ hits: 10, mints: 2, size: 2 }),
  audit: () => ({ queuedRecords: 1, queuedBytes: 700, lost: 0, seq: 42, failing: false }),
  logDropped: () => 0,
  caNotAfterMs: () => 1_900_000_000_000,
  draining: () => false,
};

/** `name{labels}` -> value. */
async function series(made: Metrics): Promise<Map<string, number>> {
  const lines = (await made.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const cut = line.lastIndexOf(" ");
      return [line.slice(0, cut), Number(line.slice(cut + 1))];
    }),
  );
}

describe("metrics of exchanges", () => {
  test("every denial code stands at 0 before the first denial", async () => {
    const found = await series(metrics());
    for (const code of DENIAL_CODES)
      expect(found.get(`postern_denials_total{stage="${DENIALS[code].stage}",code="${code}"}`)).toBe(0);
  });

  test("counts by destination, decision and code", async () => {
    const made = metrics();
    made.exchange(exchangeRecord());
    made.exchange(exchangeRecord());
    made.exchange(exchangeRecord({ denial: "path_not_allowed", outcome: "denied", injected: false }));
    made.exchange(exchangeRecord({ wouldDeny: "method_not_allowed", injected: false }));
    made.exchange(exchangeRecord({ destination: "", denial: "destination_not_allowed", outcome: "denied" }));
    const found = await series(made);
    const exchanges = [...found].filter(([name]) => name.startsWith("postern_exchanges_total"));
    expect(Object.fromEntries(exchanges)).toEqual({
      'postern_exchanges_total{destination="none",decision="deny",code="destination_not_allowed"}': 1,
      'postern_exchanges_total{destination="openai",decision="allow",code="none"}': 2,
      'postern_exchanges_total{destination="openai",decision="deny",code="path_not_allowed"}': 1,
      'postern_exchanges_total{destination="openai",decision="report",code="method_not_allowed"}': 1,
    });
    expect(found.get('postern_denials_total{stage="permit",code="path_not_allowed"}')).toBe(1);
    expect(found.get('postern_would_deny_total{destination="openai",code="method_not_allowed"}')).toBe(1);
    expect(found.get('postern_exchange_outcomes_total{outcome="completed"}')).toBe(3);
    expect(found.get("postern_injections_total")).toBe(3);
  });

  test("a report-mode exchange that fails later is a denial and still shows what enforcing would have said", async () => {
    const made = metrics();
    made.exchange(exchangeRecord({ wouldDeny: "method_not_allowed", denial: "upstream_timeout" }));
    const found = await series(made);
    expect(found.get('postern_exchanges_total{destination="openai",decision="deny",code="upstream_timeout"}')).toBe(1);
    expect(found.get('postern_would_deny_total{destination="openai",code="method_not_allowed"}')).toBe(1);
  });

  test("100,000 destinations do not make 100,000 series: the first ones have names, the rest share one", async () => {
    const made = metrics({ destinationLimit: 3 });
    for (let n = 0; n < 100_000; n++) made.exchange(exchangeRecord({ destination: `d${n}` }));
    const found = [...(await series(made))].filter(([name]) => name.startsWith("postern_exchanges_total"));
    expect(found).toEqual([
      ['postern_exchanges_total{destination="other",decision="allow",code="none"}', 99_997],
      ['postern_exchanges_total{destination="d0",decision="allow",code="none"}', 1],
      ['postern_exchanges_total{destination="d1",decision="allow",code="none"}', 1],
      ['postern_exchanges_total{destination="d2",decision="allow",code="none"}', 1],
    ]);
  });

  test("durations fall into their bucket, the sum and the count", async () => {
    const made = metrics();
    made.exchange(exchangeRecord({ startedMs: 0, firstByteMs: 4, endedMs: 5 }));
    made.exchange(exchangeRecord({ startedMs: 0, firstByteMs: 0, endedMs: 30 }));
    made.exchange(exchangeRecord({ kind: "tunnel", startedMs: 0, firstByteMs: 0, endedMs: 7_200_000 }));
    const found = await series(made);
    const bucket = (kind: string, le: string): number | undefined =>
      found.get(`postern_exchange_duration_seconds_bucket{le="${le}",kind="${kind}"}`);
    expect([bucket("http", "0.0025"), bucket("http", "0.005"), bucket("http", "0.05"), bucket("http", "+Inf")]).toEqual(
      [0, 1, 2, 2],
    );
    expect([bucket("tunnel", "3600"), bucket("tunnel", "+Inf")]).toEqual([0, 1]);
    expect(found.get('postern_exchange_duration_seconds_sum{kind="http"}')).toBeCloseTo(0.035);
    expect(found.get('postern_exchange_duration_seconds_count{kind="http"}')).toBe(2);
    expect(found.get("postern_exchange_first_byte_seconds_count")).toBe(1);
  });

  test("adds bytes, masked copies and retries", async () => {
    const made = metrics();
    made.exchange(exchangeRecord({ masked: 2, retried: true }));
    made.exchange(exchangeRecord());
    const found = await series(made);
    expect(found.get('postern_body_bytes_total{direction="from_guest"}')).toBe(24);
    expect(found.get('postern_body_bytes_total{direction="to_guest"}')).toBe(2048);
    expect([found.get("postern_masked_total"), found.get("postern_exchange_retries_total")]).toEqual([2, 1]);
  });

  test("a duration that is no number spoils nothing", async () => {
    const made = metrics();
    made.exchange(exchangeRecord({ endedMs: Number.NaN }));
    expect((await series(made)).get('postern_exchange_duration_seconds_count{kind="http"}')).toBe(0);
  });
});

describe("metrics of the house", () => {
  test("connections, tunnels and pools", async () => {
    const made = metrics();
    made.guest.connectionOpened();
    made.guest.connectionOpened();
    made.guest.connectionClosed();
    made.guest.tunnelOpened();
    made.upstream.opened();
    made.upstream.reused();
    const found = await series(made);
    expect(found.get("postern_guest_connections")).toBe(1);
    expect(found.get("postern_guest_connections_opened_total")).toBe(2);
    expect(found.get("postern_tunnels")).toBe(1);
    expect(found.get("postern_upstream_connections")).toBe(1);
    expect(found.get("postern_upstream_connections_reused_total")).toBe(1);
  });

  test("leases by custody and result, at 0 from the start", async () => {
    const made = metrics();
    const fetches = (result: string): string => `postern_lease_fetches_total{custody="main",result="${result}"}`;
    expect((await series(made)).get(fetches("custody_unavailable"))).toBe(0);
    made.keeper.granted("main", 3);
    made.keeper.failed("main", new Denial("custody_unavailable"));
    made.keeper.breaker("main", true);
    made.keeper.rejected("main");
    const found = await series(made);
    expect([found.get(fetches("granted")), found.get(fetches("custody_unavailable"))]).toEqual([1, 1]);
    expect(found.get('postern_custody_breaker_open{custody="main"}')).toBe(1);
    expect(found.get('postern_lease_rejections_total{custody="main"}')).toBe(1);
    expect(found.get("postern_lease_fetch_duration_seconds_count")).toBe(1);
  });

  test("what is read at the scrape", async () => {
    const found = await series(metrics({ sources: FULL }));
    expect(found.get('postern_custody_up{custody="other"}')).toBe(0);
    expect(found.get('postern_policy_info{version="abc"}')).toBe(1);
    expect(found.get("postern_policy_loaded_timestamp_seconds")).toBe(1_800_000_000);
    expect(found.get("postern_policy_reload_failed")).toBe(0);
    expect(found.get("postern_audit_lost_total")).toBe(0);
    expect(found.get("postern_ca_expiry_timestamp_seconds")).toBe(1_900_000_000);
  });

  test("a second policy replaces the version of the first", async () => {
    let version = "one";
    const made = metrics({
      sources: { policy: () => ({ version, loadedWallMs: 1, destinations: 1, problem: "bad" }) },
    });
    await made.text();
    version = "two";
    made.policyReloaded(true);
    const found = await series(made);
    expect([...found.keys()].filter((name) => name.startsWith("postern_policy_info"))).toEqual([
      'postern_policy_info{version="two"}',
    ]);
    expect(found.get("postern_policy_reload_failed")).toBe(1);
    expect(found.get('postern_policy_reloads_total{result="loaded"}')).toBe(1);
  });

  test("no label holds what a guest chose", async () => {
    const made = metrics({ sources: FULL });
    made.exchange(
      exchangeRecord({ path: "/GUEST", authority: "GUEST:1", method: "GUEST", session: "GUEST", detail: "GUEST" }),
    );
    expect(await made.text()).not.toContain("GUEST");
  });
});

describe("exposition", () => {
  const promtool = spawnSync("promtool", ["--version"]).error === undefined;

  test.skipIf(!promtool)(
    `promtool has no remark${promtool ? "" : " (skipped: promtool is not installed)"}`,
    async () => {
      const made = metrics({ sources: FULL, processMetrics: true });
      made.exchange(exchangeRecord());
      made.exchange(exchangeRecord({ wouldDeny: "path_not_allowed" }));
      const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], {
        input: await made.text(),
        encoding: "utf8",
      });
      expect([status, stdout, stderr]).toEqual([0, "", ""]);
    },
  );

  test("names begin with postern_, and docs/operations.md has each with its type, labels and help", async () => {
    const made = metrics({ sources: FULL });
    const docs = readFileSync(new URL("../../docs/operations.md", import.meta.url), "utf8");
    const text = await made.text();
    const rows = made.registry.getMetricsAsArray().map((metric) => {
      const { name, help, labelNames } = metric as unknown as { name: string; help: string; labelNames: string[] };
      const type = new RegExp(`^# TYPE ${name} (.*)$`, "m").exec(text)?.[1];
      return `| \`${name}\` | ${type} | ${labelNames.map((label) => `\`${label}\``).join(", ")} | ${help} |`;
    });
    expect(docs.split("\n").filter((line) => line.startsWith("| `postern_"))).toEqual(rows);
    for (const row of rows)
      expect(row).toMatch(/^\| `postern_[a-z_]+(_total` \| counter|(?<!_total)` \| (gauge|histogram)) \|/);
  });
});
