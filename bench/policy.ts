/**
 * What a decision costs as the allow-list grows: `node bench/policy.ts` prints, for 10, 1,000 and 100,000 destinations, the
 * seconds to compile and the heap that stays, and nanoseconds a decision. All times are CPU time of the process, because the
 * machine is shared; compare figures of one run only. `--expose-gc` makes the heap figure exact.
 */
import { Authority } from "../src/core/authority.ts";
import { Denial } from "../src/core/denial.ts";
import type { DestinationRule, HostPattern } from "../src/core/destination.ts";
import { type Ask, Permit, Session } from "../src/core/exchange.ts";
import { Fields } from "../src/core/fields.ts";
import { parseIpRange } from "../src/core/ip.ts";
import { compilePolicy } from "../src/policy/compile.ts";
import type { CompiledPolicy } from "../src/policy/compiled-policy.ts";
import { AddressGuard } from "../src/policy/guard.ts";

const SIZES = [10, 1000, 100_000];
const ROUNDS = 9;
const DECISIONS = 100_000;

const session = Session.prove({ id: "s", tenant: "t", workspace: "w", subject: "agent", roles: [] });
const fields = Fields.of([
  ["Host", "api.example.com"],
  ["User-Agent", "OpenAI/Python 1.99.0"],
  ["Accept", "application/json"],
  ["Accept-Encoding", "gzip, deflate, br, zstd"],
  ["Content-Type", "application/json"],
  ["Content-Length", "512"],
  ["X-Stainless-Lang", "python"],
  ["X-Stainless-Package-Version", "1.99.0"],
  ["X-Stainless-OS", "Linux"],
  ["X-Request-Id", "7c1d5f4a"],
]);

function ruleOf(i: number): DestinationRule {
  const hosts: readonly HostPattern[] = [
    { kind: "exact", host: `api-${i}.example.com` },
    { kind: "exact", host: `service-${i}.corp.example.net` },
    { kind: "subdomains", suffix: `zone-${i}.example.org` },
    {
      kind: "ip",
      range: parseIpRange(`10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}/32`) ?? {
        base: new Uint8Array(4),
        prefix: 32,
      },
    },
  ];
  return {
    destination: {
      name: `destination-${i}`,
      scheme: "https",
      tls: "inspect",
      http: "auto",
      mode: "enforce",
      credential: { custody: "main", name: "token" },
      attachments: [{ as: "bearer" }],
      dropHeaders: [],
      addresses: [],
      trust: null,
      synthetic: null,
      parent: null,
    },
    host: hosts[i % hosts.length] as HostPattern,
    port: 443,
    allow: [
      { methods: ["GET"], paths: ["/v1/models", "/v1/models/*"], query: null, headers: null },
      { methods: ["GET", "POST"], paths: ["/v1/**"], query: null, headers: null },
    ],
  };
}

/** Host of a name that is in a list of `size`, spread over all of it. */
function hostOf(i: number, size: number): string {
  const at = Math.floor((i * 7919) % size);
  const kinds = [`api-${at}.example.com`, `service-${at}.corp.example.net`, `a.b.zone-${at}.example.org`];
  return kinds[at % 4] ?? `10.${(at >> 16) & 255}.${(at >> 8) & 255}.${at & 255}`;
}

function asksFor(target: string, host: (i: number) => string): Ask[] {
  return Array.from({ length: 1000 }, (_, i) => {
    const authority = Authority.parse(host(i), 443);
    if (authority === null) throw new Error(host(i));
    return { method: "POST", scheme: "https", authority, target, fields };
  });
}

function cpuNs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/** Nanoseconds a call, one figure a round. */
function timed(asks: readonly Ask[], call: (ask: Ask) => unknown): number {
  const start = cpuNs();
  for (let i = 0; i < DECISIONS; i++) call(asks[i % asks.length] as Ask);
  return (cpuNs() - start) / DECISIONS;
}

function refused(call: () => unknown): void {
  try {
    call();
  } catch (thrown) {
    if (thrown instanceof Denial) return;
    throw thrown;
  }
  throw new Error("was not refused");
}

function compiled(size: number): { policy: CompiledPolicy; seconds: number; heapMb: number } {
  const rules = Array.from({ length: size }, (_, i) => ruleOf(i));
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const start = cpuNs();
  const { policy, problems } = compilePolicy(rules);
  const seconds = (cpuNs() - start) / 1e9;
  if (policy === null) throw new Error(JSON.stringify(problems.slice(0, 3)));
  globalThis.gc?.();
  return { policy, seconds, heapMb: (process.memoryUsage().heapUsed - before) / 1e6 };
}

const guard = new AddressGuard({
  lookup: async () => Promise.resolve(["8.8.8.8", "2606:4700::1111"]),
  clock: { monotonicMs: () => 0, wallMs: () => 0 },
  own: () => [{ address: "0.0.0.0", port: 3128 }],
});

const lists = SIZES.map((size) => ({ size, ...compiled(size) }));
const cases: Record<string, (size: number, policy: CompiledPolicy) => [Ask[], (ask: Ask) => unknown]> = {
  "decide: 10 hosts in use": (size, policy) => [
    asksFor("/v1/chat/completions", (i) => hostOf(i % 10, size)),
    (ask) => policy.decide(session, ask),
  ],
  "decide: 1,000 hosts in use": (size, policy) => [
    asksFor("/v1/chat/completions", (i) => hostOf(i, size)),
    (ask) => policy.decide(session, ask),
  ],
  "decide: encoded slash": (size, policy) => [
    asksFor("/v1/@scope%2fname?x=1", (i) => hostOf(i, size)),
    (ask) => policy.decide(session, ask),
  ],
  "admit: CONNECT": (size, policy) => [
    asksFor("/", (i) => hostOf(i, size)),
    (ask) => policy.admit(session, ask.authority),
  ],
  "find: unknown, 100 labels": (_, policy) => [
    asksFor("/", (i) => `${"a.".repeat(100)}h${i}.example.org`),
    (ask) => policy.find("https", ask.authority),
  ],
  "refuse: unknown name": (_, policy) => [
    asksFor("/", (i) => `unknown-${i}.example.org`),
    (ask) => refused(() => policy.admit(session, ask.authority)),
  ],
  "refuse: path": (size, policy) => [
    asksFor("/v1/../admin", (i) => hostOf(i, size)),
    (ask) => refused(() => policy.decide(session, ask)),
  ],
};

/** Sizes take turns, so that a noisy moment hits all of them; the least figure of each counts. */
const print = (line: string): unknown => process.stdout.write(`${line}\n`);
print(`${"destinations".padEnd(28)}${SIZES.map((size) => String(size).padStart(12)).join("")}`);
print(`${"compile, s".padEnd(28)}${lists.map(({ seconds }) => seconds.toFixed(3).padStart(12)).join("")}`);
const heap = globalThis.gc === undefined ? "heap, MB (needs --expose-gc)" : "heap, MB";
print(`${heap.padEnd(28)}${lists.map(({ heapMb }) => heapMb.toFixed(1).padStart(12)).join("")}`);
for (const [name, prepare] of Object.entries(cases)) {
  const prepared = lists.map(({ size, policy }) => prepare(size, policy));
  const best = prepared.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < ROUNDS; round++) {
    prepared.forEach(([asks, call], i) => {
      best[i] = Math.min(best[i] as number, timed(asks, call));
    });
  }
  print(`${`${name}, ns`.padEnd(28)}${best.map((ns) => ns.toFixed(0).padStart(12)).join("")}`);
}

const pinning = Permit.grant(
  session,
  Authority.parse("api.example.com", 443) as Authority,
  ruleOf(0).destination,
  "bench",
);
await guard.pin(pinning);
const literal = Permit.grant(session, Authority.parse("8.8.8.8", 443) as Authority, ruleOf(0).destination, "bench");
for (const [name, permit] of [
  ["pin: fresh name", pinning],
  ["pin: IP literal", literal],
] as const) {
  const asks = asksFor("/", () => "a.test");
  const best = Math.min(...Array.from({ length: ROUNDS }, () => timed(asks, () => guard.pin(permit))));
  print(`${`${name}, ns`.padEnd(28)}${best.toFixed(0).padStart(12)}`);
}
