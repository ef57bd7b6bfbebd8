import { expect, test } from "vitest";
import { parseOptions, USAGE } from "../../bench/options.ts";

test("the bench takes part in everything unless it is told", () => {
  const options = parseOptions([]);
  expect(options).toMatchObject({ quick: false, rounds: null, freshEvery: null, baseline: null });
  expect(options !== "help" && options.only.has("grpc-unary") && options.contenders.has("bare-relay")).toBe(true);
});

test("a group of measures stands for its members", () => {
  const options = parseOptions(["--only", "h2,tunnels", "--fresh", "1"]);
  if (options === "help") throw new Error("no options");
  expect([...options.only]).toEqual(["h2-keepalive", "h2-upstream", "grpc-unary", "tunnels"]);
  expect(options.freshEvery).toBe(1);
});

test("a group holds surveys as well as measures", () => {
  const options = parseOptions(["--only", "leases,sigv4"]);
  expect(options !== "help" && [...options.only]).toEqual(["custody", "renewals", "leases-memory", "sigv4"]);
});

test.each([
  [["--only", "keep-alive"], "unknown keep-alive"],
  [["--contenders", "nobody"], "unknown nobody"],
  [["--fresh", "0"], "a whole number from 1"],
  [["--rounds", "many"], "a whole number from 1"],
  [["--nonsense"], "nonsense"],
])("%j is refused", (args, message) => {
  expect(() => parseOptions(args)).toThrow(message);
});

test("every option is told in the usage", () => {
  for (const name of ["quick", "only", "contenders", "baseline", "rounds", "fresh", "json", "limit-minutes", "profile"])
    expect(USAGE).toContain(`--${name} `);
});
