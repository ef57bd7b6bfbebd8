import type { Clock } from "../../core/clock.ts";

/** What a minter needs from outside, besides its sources. */
export interface MintTools {
  readonly clock: Clock;
  readonly randomBytes: (size: number) => Buffer;
  /** Of the entry. */
  readonly name: string;
  /** Names the entry in errors: `credential "x"`. */
  readonly where: string;
}
