import { Denial, type DenialCode } from "../../../src/core/denial.ts";

/** The denial that `work` ends in. Anything else, also success, fails the test. */
export async function denialOf(work: () => unknown): Promise<Denial> {
  try {
    await work();
  } catch (thrown) {
    if (thrown instanceof Denial) return thrown;
    throw new Error("expected a denial", { cause: thrown });
  }
  throw new Error("expected a denial, but it went through");
}

export async function denialCodeOf(work: () => unknown): Promise<DenialCode> {
  return (await denialOf(work)).code;
}
