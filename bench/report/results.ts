import { type Interval, median, medianInterval } from "./statistics.ts";

export interface Silent {
  readonly contender: string;
  readonly measure: string;
}

export interface Failure extends Silent {
  readonly message: string;
}

/** The median over the rounds, with their spread. */
export interface Spread extends Interval {
  readonly median: number;
  /** Where the median lies as sure as 95 %; `null` when there are too few rounds to say. */
  readonly within: Interval | null;
}

function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null;
  return {
    median: median(values),
    low: Math.min(...values),
    high: Math.max(...values),
    within: medianInterval(values),
  };
}

/** What one run measured: a value per contender, figure and round. */
export class Results {
  readonly failures: Failure[] = [];
  /** Who did not choose the protocol of a measure. */
  readonly silent: Silent[] = [];
  /** `contender figure` -> round -> value */
  readonly #values = new Map<string, Map<number, number>>();

  record(contender: string, round: number, values: Readonly<Record<string, number>>): void {
    for (const [figure, value] of Object.entries(values)) {
      const key = keyOf(contender, figure);
      let rounds = this.#values.get(key);
      if (rounds === undefined) this.#values.set(key, (rounds = new Map()));
      rounds.set(round, value);
    }
  }

  fail(failure: Failure): void {
    this.failures.push(failure);
  }

  hasFailed(contender: string, measure: string): boolean {
    return this.failures.some((failure) => failure.contender === contender && failure.measure === measure);
  }

  notSpoken(contender: string, measure: string): void {
    this.silent.push({ contender, measure });
  }

  isNotSpoken(contender: string, measure: string): boolean {
    return this.silent.some((each) => each.contender === contender && each.measure === measure);
  }

  /** Median over the rounds, or `null` when it was not measured. */
  figure(contender: string, figure: string): number | null {
    const rounds = this.#rounds(contender, figure);
    return rounds.size === 0 ? null : median([...rounds.values()]);
  }

  spread(contender: string, figure: string): Spread | null {
    return spreadOf(this.values(contender, figure));
  }

  values(contender: string, figure: string): number[] {
    return [...this.#rounds(contender, figure).values()];
  }

  /** Ratios are taken within a round, where the machine was in one mood, and only then the median over the rounds. */
  ratio(of: FigureOf, to: FigureOf): Spread | null {
    const base = this.#rounds(to.contender, to.figure);
    const ratios: number[] = [];
    for (const [round, value] of this.#rounds(of.contender, of.figure)) {
      const other = base.get(round);
      if (other !== undefined && other > 0) ratios.push(value / other);
    }
    return spreadOf(ratios);
  }

  /** Adds `<figure>` = a contender's `from` less that of `base` in the same round. */
  deriveDifference(figure: string, from: string, base: string, contenders: readonly string[]): void {
    const floor = this.#rounds(base, from);
    for (const contender of contenders) {
      if (contender === base) continue;
      for (const [round, value] of this.#rounds(contender, from)) {
        const least = floor.get(round);
        if (least !== undefined) this.record(contender, round, { [figure]: value - least });
      }
    }
  }

  #rounds(contender: string, figure: string): ReadonlyMap<number, number> {
    return this.#values.get(keyOf(contender, figure)) ?? new Map<number, number>();
  }
}

export interface FigureOf {
  readonly contender: string;
  readonly figure: string;
}

function keyOf(contender: string, figure: string): string {
  return `${contender} ${figure}`;
}
