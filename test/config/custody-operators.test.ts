import { describe, expect, test } from "vitest";
import { parseConfig, parseCustodyConfig } from "../../src/config/load.ts";
import { problemLine } from "../../src/config/problem.ts";
import { edgeFile } from "./support/edge-file.ts";

/** What a custody's config says of operators, limits, its state and approvals. */

const base = {
  listen: { address: "unix:/run/c.sock" } as Record<string, unknown>,
  credentials: [] as Record<string, unknown>[],
  audit: { file: "/var/a.jsonl" },
};
const credential = { name: "key", kind: "token", source: { env: "KEY" }, hosts: ["api.example.com:443"] };
const asked = { ...credential, approval: "required" };
const tls = { certificate: "c.crt", key: "c.key", client_ca: "ca.crt" };
const listen = { address: "127.0.0.1:8443", tls };

const load = (part: Record<string, unknown>) =>
  parseCustodyConfig(JSON.stringify({ ...base, ...part }), "custody.yaml", "/etc/postern");

function taken(part: Record<string, unknown>) {
  const loaded = load(part);
  if (!loaded.ok) throw new Error(loaded.problems.map(problemLine).join("\n"));
  return loaded.config;
}

describe("operators of a custody", () => {
  test("have a socket of their own, closed to others; nobody operates where none is named", () => {
    expect(taken({}).operators).toBeNull();
    expect(taken({ operators: { address: "unix:o.sock" } }).operators).toEqual({
      path: "/etc/postern/o.sock",
      mode: 0o600,
    });
    expect(taken({ operators: { address: "unix:/o.sock", mode: "0660" } }).operators?.mode).toBe(0o660);
  });

  test("may be clients that are told so; a client leases and nothing else by default", () => {
    const { clients } = taken({ listen, clients: [{ name: "edge" }, { name: "ops", may: ["operate"] }] });
    expect(clients.map(({ may }) => may)).toEqual([["lease"], ["operate"]]);
  });

  test("what is kept of them is beside the audit unless it is said", () => {
    expect(taken({}).state).toBe("/var/a.state");
    expect(taken({ state: "s.state" }).state).toBe("/etc/postern/s.state");
    expect(taken({}).limits).toEqual({ requestsPerSecond: 1_000, burst: 5_000, issuesAtOnce: 128 });
  });

  test.each<[Record<string, unknown>, string]>([
    [{ operators: { address: "127.0.0.1:1" } }, "operators.address: operators come by a unix socket"],
    [{ operators: { address: "unix:/run/c.sock" } }, "operators.address: edges listen here"],
    [{ operators: { address: "unix:/o.sock", mode: "0666" } }, 'operators.mode: "0666": everybody could operate'],
    [{ operators: { address: "unix:/o.sock", mode: "600" } }, 'write a mode such as "0600"'],
    [{ listen, clients: [{ name: "ops", may: ["operate"], tenants: ["acme"] }] }, "clients[0].tenants: who operates"],
    [{ credentials: [asked] }, "operators: missing: nobody could approve credentials[0]"],
    [{ credentials: [{ ...credential, approval: "optional" }] }, "credentials[0].approval"],
    [{ state: "/var/a.jsonl" }, "state: the audit file is another one"],
  ])("%j is a fault", (part, text) => {
    const loaded = load(part);
    expect(loaded.ok ? [] : loaded.problems.map(problemLine).join("\n")).toContain(text);
  });

  test("approve where there is somebody who may", () => {
    expect(taken({ credentials: [asked], operators: { address: "unix:/o.sock" } }).credentials[0]?.approval).toBe(true);
    expect(
      taken({ credentials: [asked], listen, clients: [{ name: "ops", may: ["lease", "operate"] }] }).operators,
    ).toBeNull();
  });

  test("are nowhere in an edge: what waits for one there would wait for ever", () => {
    const custody = JSON.stringify({ main: { embedded: { credentials: [asked] } } });
    const loaded = parseConfig(edgeFile({ custody: `custody: ${custody}` }), "postern.yaml", "/etc/postern");
    const text = loaded.ok ? "" : loaded.problems.map(problemLine).join("\n");
    expect(text).toContain(
      "custody.main.embedded.credentials[0].approval: nobody could approve in an embedded custody",
    );
  });
});
