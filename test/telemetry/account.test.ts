import { describe, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { Account, type AccountPart, type AuditSink } from "../../src/telemetry/account.ts";
import { exchangeRecord } from "./record.ts";

interface Told {
  readonly audit: string[];
  readonly log: [string, boolean][];
  readonly metrics: string[];
  readonly failures: AccountPart[];
}

function account(
  broken: readonly AccountPart[] = [],
  audit: Partial<AuditSink> = {},
): { account: Account; told: Told } {
  const told: Told = { audit: [], log: [], metrics: [], failures: [] };
  const breakIf = (part: AccountPart): void => {
    if (broken.includes(part)) throw new Error(`${part} is broken`);
  };
  const made = new Account({
    audit: {
      sessionMark: (tenant, session) => `mark of ${tenant} ${session}`,
      intent: () => undefined,
      outcome: (members) => {
        breakIf("audit");
        told.audit.push(String(members));
      },
      ...audit,
    },
    log: {
      exchange: (members, refused) => {
        breakIf("log");
        told.log.push([String(members), refused]);
      },
    },
    metrics: {
      exchange: ({ id }) => {
        breakIf("metrics");
        told.metrics.push(id);
      },
    },
    onFailure: (part) => told.failures.push(part),
  });
  return { account: made, told };
}

describe("account", () => {
  test("tells audit, log and metrics of an exchange; audit and log say the same", () => {
    const { account: made, told } = account();
    made.close(exchangeRecord());
    made.close(exchangeRecord({ id: "b00t-2", denial: "path_not_allowed" }));
    made.flush();
    expect(told.audit).toEqual(told.log.map(([members]) => members));
    expect(told.audit[0]).toContain('"session":"mark of acme session-1"');
    expect(told.log.map(([, refused]) => refused)).toEqual([false, true]);
    expect(told.metrics).toEqual(["b00t-1", "b00t-2"]);
    expect(told.failures).toEqual([]);
  });

  test.each<[AccountPart]>([["audit"], ["log"], ["metrics"]])("%s that throws stops neither of the others", (part) => {
    const { account: made, told } = account([part]);
    expect(() => made.close(exchangeRecord())).not.toThrow();
    expect(() => made.flush()).not.toThrow();
    expect(told.failures).toEqual([part]);
    const counts = { audit: told.audit.length, log: told.log.length, metrics: told.metrics.length };
    expect(counts).toEqual({ audit: 1, log: 1, metrics: 1, [part]: 0 });
  });

  test("writes down what has ended without anybody asking for it, in order and once", async () => {
    const { account: made, told } = account();
    for (const id of ["b00t-1", "b00t-2", "b00t-3"]) made.close(exchangeRecord({ id }));
    await expect.poll(() => told.audit.length).toBe(3);
    made.flush();
    expect(told.audit.map((members) => JSON.parse(`{${members}}`).id)).toEqual(["b00t-1", "b00t-2", "b00t-3"]);
    expect(told.log).toHaveLength(3);
  });

  test("holds no more than a bounded number of records back", () => {
    const { account: made, told } = account();
    for (let n = 0; n < 1000; n++) made.close(exchangeRecord());
    expect(told.audit.length).toBeGreaterThan(700);
  });

  test("no session, no mark", () => {
    const { account: made, told } = account();
    made.close(exchangeRecord({ session: "" }));
    made.flush();
    expect(told.audit[0]).not.toContain('"session"');
  });

  test("admits at once when the audit asks for nothing, and renders nothing", () => {
    const { account: made } = account();
    expect(made.admit(exchangeRecord())).toBeUndefined();
  });

  test("a strict audit is waited for, gets the intent, and its refusal is the line's", async () => {
    const intents: string[] = [];
    const { account: made } = account([], {
      intent: (members) => {
        intents.push(members());
        return intents.length === 1 ? Promise.resolve() : Promise.reject(new Denial("audit_unavailable"));
      },
    });
    await made.admit(exchangeRecord());
    expect(intents[0]).toContain('"id":"b00t-1"');
    await expect(made.admit(exchangeRecord())).rejects.toMatchObject({ code: "audit_unavailable" });
  });
});
