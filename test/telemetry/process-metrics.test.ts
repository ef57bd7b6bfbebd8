import { collectDefaultMetrics, Registry } from "prom-client";
import { expect, test } from "vitest";
import { registerProcessMetrics } from "../../src/telemetry/process-metrics.ts";

const names = (registry: Registry): string[] => registry.getMetricsAsArray().map(({ name }) => name);

test("the metrics of the process are all that the library has, less those whose names say what they are not", () => {
  const library = new Registry();
  collectDefaultMetrics({ register: library });
  const ours = new Registry();
  registerProcessMetrics(ours);
  const misnamed = /^nodejs_active_\w+_total$/;
  expect(names(library).filter((name) => misnamed.test(name))).toHaveLength(3);
  expect(names(ours).toSorted()).toEqual(
    names(library)
      .filter((name) => !misnamed.test(name))
      .toSorted(),
  );
});

test("CPU seconds are those of the process, and they add up", async () => {
  const registry = new Registry();
  registerProcessMetrics(registry);
  const read = async (name: string): Promise<number> =>
    Number(new RegExp(`^${name} (\\S+)$`, "m").exec(await registry.metrics())?.[1]);
  const user = await read("process_cpu_user_seconds_total");
  expect(user).toBeGreaterThan(0.01);
  expect(await read("process_cpu_seconds_total")).toBeGreaterThanOrEqual(user);
});
