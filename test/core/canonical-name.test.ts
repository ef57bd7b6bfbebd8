import * as fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalName } from "../../src/core/authority.ts";

/** Label by label, as RFC 1035 §2.3.1 is read with underscores. */
function reference(text: string): string | null {
  const name = text.toLowerCase();
  const labels = name.split(".");
  const sound = labels.every((label) => label.length > 0 && label.length < 64 && !/[^a-z0-9_-]/.test(label));
  const last = labels.at(-1) ?? "";
  return sound && name.length < 254 && !/^[0-9]+$/.test(last) && !/^0x[0-9a-f]*$/.test(last) ? name : null;
}

const label = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9_-]{0,5}$/),
  fc.constantFrom("0x", "0x7f", "0xg", "127", "xn--a", "a".repeat(63), "a".repeat(64), "é", " "),
);

test("a name is canonical, or becomes so by lower case, or is none", () => {
  fc.assert(
    fc.property(fc.array(label, { maxLength: 6 }), (labels) => {
      const text = labels.join(".");
      expect(canonicalName(text)).toBe(reference(text));
    }),
    { numRuns: 3000 },
  );
});
