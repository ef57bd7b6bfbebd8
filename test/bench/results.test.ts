import { describe, expect, it } from "vitest";
import { contenders } from "../../bench/contenders/all.ts";
import { measures } from "../../bench/measures/all.ts";
import { report } from "../../bench/report/report.ts";
import { Results } from "../../bench/report/results.ts";
import { median, medianInterval, quantile } from "../../bench/report/statistics.ts";
import { judge } from "../../bench/report/verdicts.ts";
import { surveys } from "../../bench/surveys/all.ts";
import { targets } from "../../bench/targets.ts";

describe("the bench's statistics", () => {
  it("takes medians and quantiles between neighbours", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(quantile([0, 10], 0.99)).toBeCloseTo(9.9);
    expect(median([])).toBeNaN();
  });

  it("tells where the true median lies, once there are rounds enough to say", () => {
    expect(medianInterval([])).toBeNull();
    expect(medianInterval([5, 1, 4, 2, 3])).toBeNull();
    // 1 - 2/64: all six on one side of the median is as likely as 3 %.
    expect(medianInterval([6, 1, 5, 2, 4, 3])).toEqual({ low: 1, high: 6 });
    // The table of the sign test: 20 values, the 6th from either end.
    expect(medianInterval(Array.from({ length: 20 }, (_, i) => i + 1))).toEqual({ low: 6, high: 15 });
  });

  it("takes ratios within a round, not of medians", () => {
    const results = new Results();
    // The machine was three times slower in round 1: it hit both.
    results.record("postern", 0, { x: 1 });
    results.record("squid", 0, { x: 2 });
    results.record("postern", 1, { x: 3 });
    results.record("squid", 1, { x: 6 });
    results.record("postern", 2, { x: 9 });
    const ratio = results.ratio({ contender: "postern", figure: "x" }, { contender: "squid", figure: "x" });
    expect(ratio).toEqual({ median: 0.5, low: 0.5, high: 0.5, within: null });
  });

  it("knows no ratio to what was not measured", () => {
    const results = new Results();
    results.record("postern", 0, { x: 1 });
    expect(results.ratio({ contender: "postern", figure: "x" }, { contender: "squid", figure: "x" })).toBeNull();
  });

  it("takes what a contender adds from the floor of the same round", () => {
    const results = new Results();
    results.record("direct", 0, { p50: 1 });
    results.record("direct", 1, { p50: 5 });
    results.record("postern", 0, { p50: 2 });
    results.record("postern", 1, { p50: 6 });
    results.deriveDifference("added", "p50", "direct", ["direct", "postern"]);
    expect(results.values("postern", "added")).toEqual([1, 1]);
    expect(results.figure("direct", "added")).toBeNull();
  });
});

describe("the bench's report", () => {
  it("says who did not choose the protocol that is measured, and nothing of who does not take part", () => {
    const results = new Results();
    results.record("direct", 0, { "h2-keepalive.rate": 1234 });
    results.notSpoken("squid", "h2-keepalive");
    const line = report(results, ["direct", "squid", "bare-relay"])
      .split("\n")
      .find((each) => each.startsWith("  requests/s"));
    expect(line?.split(/ {2,}/).slice(2)).toEqual(["1,234", "not spoken", "-"]);
    expect(results.isNotSpoken("squid", "h2-keepalive")).toBe(true);
    expect(results.isNotSpoken("squid", "grpc-unary")).toBe(false);
  });
});

describe("the bench's contenders", () => {
  it("leave out measures that there are", () => {
    const names = measures.map(({ name }) => name);
    for (const { without = [] } of contenders) for (const name of without) expect(names).toContain(name);
  });
});

describe("the bench's targets", () => {
  const known = [...measures, ...surveys].flatMap(({ figures }) => figures).map(({ id }) => id);

  it("name figures that are measured", () => {
    for (const target of targets) {
      expect(known).toContain(target.figure);
      if (target.kind === "ratio") expect(known).toContain(target.to.figure);
    }
    for (const { lessDirect } of measures.flatMap(({ figures }) => figures))
      if (lessDirect !== undefined) expect(known).toContain(lessDirect);
    expect(new Set(known).size).toBe(known.length);
  });

  it("are met or missed on the right side of the limit", () => {
    const results = new Results();
    results.record("postern", 0, { "denied.rate": 900, "keepalive-16.cpu": 0.5, "memory.idle": 81 });
    results.record("squid", 0, { "denied.rate": 100, "keepalive-16.cpu": 1 });
    const verdicts = judge(results);
    const verdictOf = (title: string): string | undefined =>
      verdicts.find(({ target }) => target.title === title)?.verdict;
    expect(verdictOf("denied CONNECTs: rate, against squid")).toBe("missed");
    expect(verdictOf("keep-alive, 16 connections: CPU, against squid")).toBe("met");
    expect(verdictOf("keep-alive, 16 connections: CPU, against mockttp")).toBe("not measured");
    expect(verdictOf("RSS idle")).toBe("missed");
  });

  it("hold short leases to 95 % of what long ones do, round by round", () => {
    const results = new Results();
    results.record("postern", 0, { "renewals.5.rate": 96, "renewals.900.rate": 100 });
    results.record("postern", 0, { "renewals.5.cpu": 1.06, "renewals.900.cpu": 1 });
    const verdicts = judge(results).filter(({ target }) => target.figure.startsWith("renewals."));
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["met", "missed"]);
  });
});
