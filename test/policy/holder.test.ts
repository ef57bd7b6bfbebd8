import { describe, expect, test } from "vitest";
import { PolicyHolder } from "../../src/policy/holder.ts";
import { ask, authority, outcome, policyOf, rule, session } from "./fixture.ts";

const first = { version: "sha256:1", loadedWallMs: 1000 };
const second = { version: "sha256:2", loadedWallMs: 2000 };
const decide = (holder: PolicyHolder): string => outcome(() => holder.decide(session, ask("/v1")));

describe("the policy in force", () => {
  test("before the first one everything is refused", () => {
    const holder = new PolicyHolder();
    expect(decide(holder)).toBe("policy_unavailable");
    expect(outcome(() => holder.admit(session, authority("api.example.com")))).toBe("policy_unavailable");
    expect(holder.state).toEqual({ version: null, loadedWallMs: null, destinations: 0, problem: null });
  });

  test("a swap takes effect for the next decision", () => {
    const holder = new PolicyHolder();
    holder.swap(policyOf(rule()), first);
    expect(decide(holder)).toBe("allow[0]");
    holder.swap(policyOf(), second);
    expect(decide(holder)).toBe("destination_not_allowed");
    expect(holder.state).toEqual({ version: "sha256:2", loadedWallMs: 2000, destinations: 0, problem: null });
  });

  test("a reload that failed keeps the old policy and is told until one succeeds", () => {
    const holder = new PolicyHolder();
    const policy = policyOf(rule());
    holder.swap(policy, first);
    holder.reloadFailed("line 3: unknown key", 1500);
    expect(holder.policy).toBe(policy);
    expect(decide(holder)).toBe("allow[0]");
    expect(holder.state).toEqual({
      version: "sha256:1",
      loadedWallMs: 1000,
      destinations: 1,
      problem: { text: "line 3: unknown key", wallMs: 1500 },
    });
    holder.swap(policy, second);
    expect(holder.state.problem).toBeNull();
  });
});
