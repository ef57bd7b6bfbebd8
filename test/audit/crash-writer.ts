import { randomBytes } from "node:crypto";
import { AuditTrail } from "../../src/audit/trail.ts";

/** Writes without end and says on standard output which events are durable. Killed by `crash.test.ts`. */
const trail = await AuditTrail.open({
  file: process.argv[2] as string,
  mode: "strict",
  fsync: "interval",
  fsyncIntervalMs: 1000,
  rotateBytes: 300_000,
  instance: "crash",
  clock: { monotonicMs: () => performance.now(), wallMs: () => Date.now() },
  randomBytes,
  onAlarm: (alarm) => process.stderr.write(`${JSON.stringify(alarm)}\n`),
});

const MOST_EVENTS = 10_000;
for (let n = 0; n < MOST_EVENTS; n++) {
  for (let i = 0; i < 200; i++) trail.outcome(`"id":"${n}-${i}","path":"${"x".repeat(300)}"`);
  const event = process.pid * MOST_EVENTS + n;
  await trail.privileged({ type: "lease_issued", facts: { event } });
  process.stdout.write(`${event}\n`);
}
