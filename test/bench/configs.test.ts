import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load } from "js-yaml";
import { afterAll, beforeAll, expect, test } from "vitest";
import { posternConfig } from "../../bench/contenders/postern-config.ts";
import { CUSTODY_AUDIT, EDGE_AUDIT, ROTATE_BYTES } from "../../bench/custody/audit.ts";
import { custodyConfig } from "../../bench/custody/served.ts";
import { type Certificates, makeCertificates } from "../../bench/stage/certificates.ts";
import { parseConfig, parseCustodyConfig } from "../../src/config/load.ts";

/** The configs that the bench writes, by the schema of today; and what it says of the examples. */

let folder: string;
let certificates: Certificates;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-bench-test-"));
  certificates = makeCertificates(folder);
});
afterAll(() => rmSync(folder, { recursive: true }));

const upstream = { tlsPort: 1001, plainPort: 1002, http2Port: 1003, opaquePort: 1004 };

test.each([
  ["as all contenders are", { destinations: 10 }],
  ["with short leases", { destinations: 10, leaseSeconds: 5 }],
  ["with a destination that is flooded", { destinations: 1, floodedPort: 1005 }],
  ["with a destination that is signed for", { destinations: 1, signs: true }],
])("Postern's config is right %s", (_name, serving) => {
  const text = posternConfig({ upstream, certificates }, 3128, { ...serving, http2: true });
  const loaded = parseConfig(text, "postern.yaml", folder);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded));
  const { custodies, audit, destinations } = loaded.config;
  const [custody] = custodies;
  if (custody?.kind !== "embedded") throw new Error("custody is not embedded");
  expect(custody.credentials[0]?.ttlSeconds).toBe("leaseSeconds" in serving ? 5 : 900);
  expect(custody.credentials.map(({ kind }) => kind)).toEqual("signs" in serving ? ["token", "aws"] : ["token"]);
  expect(destinations).toHaveLength(
    serving.destinations + (4 + ("signs" in serving ? 2 : 0) + ("floodedPort" in serving ? 1 : 0)),
  );
  expect(audit).toMatchObject({ mode: EDGE_AUDIT.mode, fsync: EDGE_AUDIT.fsync });
});

test("custody's config is right, and lets one edge ask as often as it can", () => {
  const loaded = parseCustodyConfig(custodyConfig({ certificates }, 3129, folder), "custody.yaml", folder);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded));
  expect(loaded.config).toMatchObject({ audit: CUSTODY_AUDIT, clients: [{ tenants: null, may: ["lease"] }] });
  expect(loaded.config.limits.requestsPerSecond).toBeGreaterThanOrEqual(100_000);
});

test("audit is measured as the examples have it", () => {
  expect(auditOf("custody")).toMatchObject({ ...CUSTODY_AUDIT, rotate_bytes: ROTATE_BYTES });
  const { mode, fsync, fsyncIntervalMs } = EDGE_AUDIT;
  expect(auditOf("postern")).toMatchObject({
    mode,
    fsync,
    fsync_interval_ms: fsyncIntervalMs,
    rotate_bytes: ROTATE_BYTES,
  });
});

function auditOf(example: string): unknown {
  const file = join(import.meta.dirname, "..", "..", "config", `${example}.example.yaml`);
  return (load(readFileSync(file, "utf8")) as { readonly audit: unknown }).audit;
}
