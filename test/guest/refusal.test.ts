import { expect, test } from "vitest";
import { Denial, DENIAL_CODES } from "../../src/core/denial.ts";
import { refusalMessage, refusalText } from "../../src/guest/refusal.ts";

test("a guest is told when to come back: of what recovers by itself soon, of a held tunnel and of an operator's word later, of the rest not", () => {
  const options = { correlationId: "c", headOnly: false, close: false, nowMs: 0 };
  for (const code of DENIAL_CODES) {
    const denial = new Denial(code);
    const later = new Map<string, string>([
      ["approval_pending", "30"],
      ["guest_held_off", "10"],
    ]);
    const expected = later.get(code) ?? (denial.entry.status === 503 ? "5" : undefined);
    const lines = new Map(refusalMessage(denial, "c", 0).lines);
    expect([code, lines.get("Retry-After")]).toEqual([code, expected]);
    expect(/\r\nRetry-After: (\d+)\r\n/.exec(refusalText(denial, options))?.[1]).toBe(expected);
  }
});
