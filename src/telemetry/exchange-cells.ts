import { DENIAL_CODES, type DenialCode } from "../core/denial.ts";
import type { ExchangeRecord } from "../core/record.ts";

const CODE_INDEX: ReadonlyMap<DenialCode, number> = new Map(DENIAL_CODES.map((code, index) => [code, index]));

/** Where exchanges are counted that no destination could be found for. */
export const NO_DESTINATION = "none";
/** Where destinations are counted together once the limit of names is reached. */
export const OTHER_DESTINATIONS = "other";

export interface ExchangeCount {
  readonly destination: string;
  readonly decision: "allow" | "deny" | "report";
  /** Denial code, for `report` the one that would have been; "none" for `allow`. */
  readonly code: DenialCode | "none";
  readonly count: number;
}

interface Cells {
  readonly destination: string;
  allowed: number;
  readonly denied: Float64Array;
  readonly reported: Float64Array;
}

/**
 * Exchanges by destination, decision and code, as plain numbers: counting is two array stores, and label values are only
 * touched when somebody scrapes. The first `limit` destinations in use get a name of their own: with 100,000 in the policy
 * the rest share one, and memory stays bounded whatever guests call.
 */
export class ExchangeCells {
  readonly #limit: number;
  readonly #byName = new Map<string, Cells>();
  readonly #none = emptyCells(NO_DESTINATION);
  readonly #other = emptyCells(OTHER_DESTINATIONS);
  /** Denials whatever the destination, indexed as `DENIAL_CODES`. */
  readonly denials = new Float64Array(DENIAL_CODES.length);

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(record: ExchangeRecord): void {
    const cells = this.#of(record.destination);
    if (record.denial !== null) {
      const index = CODE_INDEX.get(record.denial) as number;
      (cells.denied[index] as number)++;
      (this.denials[index] as number)++;
    } else if (record.wouldDeny === null) cells.allowed++;
    if (record.wouldDeny !== null) (cells.reported[CODE_INDEX.get(record.wouldDeny) as number] as number)++;
  }

  /** Counts that are not zero. */
  *counts(): Generator<ExchangeCount> {
    for (const cells of [this.#none, this.#other, ...this.#byName.values()]) {
      const { destination } = cells;
      if (cells.allowed > 0) yield { destination, decision: "allow", code: "none", count: cells.allowed };
      for (const [index, code] of DENIAL_CODES.entries()) {
        const denied = cells.denied[index] as number;
        const reported = cells.reported[index] as number;
        if (denied > 0) yield { destination, decision: "deny", code, count: denied };
        if (reported > 0) yield { destination, decision: "report", code, count: reported };
      }
    }
  }

  #of(destination: string): Cells {
    if (destination === "") return this.#none;
    return this.#byName.get(destination) ?? this.#admit(destination);
  }

  #admit(destination: string): Cells {
    if (this.#byName.size >= this.#limit) return this.#other;
    const cells = emptyCells(destination);
    this.#byName.set(destination, cells);
    return cells;
  }
}

function emptyCells(destination: string): Cells {
  return {
    destination,
    allowed: 0,
    denied: new Float64Array(DENIAL_CODES.length),
    reported: new Float64Array(DENIAL_CODES.length),
  };
}
