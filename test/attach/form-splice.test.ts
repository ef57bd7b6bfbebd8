import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { spliceForm } from "../../src/attach/form-splice.ts";
import { BodyFault } from "../../src/attach/body-fault.ts";

/** One field is put into a form; every other byte stays. Held against `URLSearchParams`. */

function splice(text: string | Buffer, name = "token", value = "a b&c"): string {
  return spliceForm(Buffer.from(text), name, value).toString();
}

function faultOf(text: string | Buffer, name = "token"): string {
  try {
    splice(text, name);
    return "none";
  } catch (thrown) {
    if (thrown instanceof BodyFault) return thrown.message;
    throw thrown;
  }
}

const OURS = "token=a%20b%26c";

describe("where it goes", () => {
  test.each([
    ["behind the others", "x=1&y=%2f", `x=1&y=%2f&${OURS}`],
    ["in place of the guest's", "x=1&token=mine&y=2", `x=1&y=2&${OURS}`],
    ["of each of them, in every spelling", "token=1&to%6ben=2&x&token", `x&${OURS}`],
    ["alone", "token=mine", OURS],
    ["into nothing", "", OURS],
    ["odd bytes stay", "&&x=%zz&=1;2", `&&x=%zz&=1;2&${OURS}`],
  ])("%s", (_name, text, wanted) => {
    expect(splice(text)).toBe(wanted);
  });
});

describe("what an upstream might read another way", () => {
  test.each([
    ["another case", "Token=1"],
    ["a list", "token[]=1"],
    ["an element", "x=1&token%5B0%5D=1"],
    ["a dot", "my.token=1", "my_token"],
    ["a blank", "my+token=1", "my_token"],
    ["a blank in front", "+token=1"],
    ["a blank in front and a dot", "+my.token=1", "my_token"],
    ["a bracket that nothing closes", "my[token=1", "my_token"],
    ["a dot, up to a NUL", `my.token%00${"x".repeat(1000)}=1`, "my_token"],
    ["up to a NUL", "token%00x=1"],
    ["full-width letters", "%EF%BD%94oken=1"],
    ["behind a semicolon", "x=1;token=2"],
    ["ahead of a semicolon", "token=1;x=2"],
  ])("%s is refused", (_name, text, name = "token") => {
    expect(faultOf(text, name)).toContain("nearly the same");
  });

  test("fields without end", () => {
    expect(faultOf("a&".repeat(9000))).toBe("none");
    expect(faultOf("&".repeat(500_000))).toContain("more than 10000 fields");
    expect(faultOf(`x=${";".repeat(500_000)}`)).toContain("more than 10000 fields");
  });

  test("bytes that are no UTF-8, and a byte order mark", () => {
    expect(faultOf(Buffer.from([0x78, 0x3d, 0xff]))).toContain("UTF-8");
    expect(faultOf("\ufefftoken=1")).toContain("byte order mark");
    expect(faultOf("%C1%B4oken=1")).toContain("not UTF-8");
    expect(faultOf("x=%C1%B4")).toBe("none");
  });
});

test("held against URLSearchParams", () => {
  const pair = fc.tuple(fc.constantFrom("a", "b", "token", "c d"), fc.string());
  fc.assert(
    fc.property(fc.array(pair), fc.string({ minLength: 1 }), (pairs, value) => {
      fc.pre(value.isWellFormed());
      const before = new URLSearchParams(pairs.map(([name, text]): [string, string] => [name, text]));
      const after = new URLSearchParams(splice(before.toString(), "token", value));
      before.delete("token");
      before.append("token", value);
      expect([...after]).toEqual([...before]);
    }),
  );
});
