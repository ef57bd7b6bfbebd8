/**
 * Patterns without a regular expression engine, so that no guest can make one back-track. A text pattern is matched by one
 * walk of `indexOf` from left to right: leftmost is always right when all that stands between the pieces is `*`. A path
 * pattern does the same with whole segments. Work is bounded by pattern length times text length, with nothing remembered.
 */

/** `*` stands for any run of characters, also an empty one; everything else is compared exactly. */
export class TextPattern {
  readonly #pieces: readonly string[];

  /** @param source pattern text; characters beyond ASCII are taken as their UTF-8 bytes (Latin-1) */
  constructor(source: string) {
    this.#pieces = latin1(source).split("*");
  }

  matches(text: string): boolean {
    const pieces = this.#pieces;
    const first = pieces[0] as string;
    const last = pieces.length - 1;
    if (last === 0) return text === first;
    const tail = pieces[last] as string;
    if (!text.startsWith(first) || !text.endsWith(tail)) return false;
    const end = text.length - tail.length;
    let at = first.length;
    for (let i = 1; i < last; i++) {
      const piece = pieces[i] as string;
      const found = text.indexOf(piece, at);
      if (found < 0) return false;
      at = found + piece.length;
    }
    return at <= end;
  }
}

function latin1(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

/**
 * `*` is one segment, or a run of characters inside of one; `**` is any number of whole segments, none included.
 * A lone `*` does not match the empty segment behind a trailing slash.
 */
export class PathPattern {
  readonly source: string;
  /** The pattern is this very path. */
  readonly #exact: string | null;
  /** The pattern is this path and everything below it. */
  readonly #below: string | null;
  /** What stands before the first star: most paths fail here, without being split. */
  readonly #stem: string;
  /** Runs of segments between `**`; the first is anchored at the start, the last at the end. */
  readonly #runs: readonly (readonly TextPattern[])[];

  /** @param source a path that begins with `/`, in decision form (`PathReading.path`) */
  constructor(source: string) {
    this.source = source;
    const wild = source.includes("*");
    const below = source.endsWith("/**") ? source.slice(0, -3) : null;
    // `/a/**` matches `/a`: the slash before `**` is not part of what must be there.
    this.#stem = source.slice(0, wild ? source.search(/\/\*\*|\*/) : source.length);
    this.#exact = wild ? null : source;
    this.#below = below === null || below.includes("*") ? null : below;
    this.#runs = wild && this.#below === null ? runsOf(source) : [];
  }

  /** Whether it matches every path that begins with `/`. */
  get isAny(): boolean {
    return this.#below === "";
  }

  matches(path: string): boolean {
    if (this.#exact !== null) return path === this.#exact;
    const below = this.#below;
    if (below === null) return path.startsWith(this.#stem) && runsMatch(this.#runs, path.split("/"));
    return (
      path.startsWith(below) && (path.length === below.length ? below !== "" : path.charCodeAt(below.length) === 47)
    );
  }
}

/** A `*` that is a whole segment wants at least one character there. */
const ONE_SEGMENT = new TextPattern("*");

function runsOf(source: string): TextPattern[][] {
  const runs: TextPattern[][] = [[]];
  for (const segment of source.split("/")) {
    if (segment === "**") runs.push([]);
    else runs[runs.length - 1]?.push(segment === "*" ? ONE_SEGMENT : new TextPattern(segment));
  }
  return runs;
}

function runsMatch(runs: readonly (readonly TextPattern[])[], segments: readonly string[]): boolean {
  const head = runs[0] as readonly TextPattern[];
  const tail = runs[runs.length - 1] as readonly TextPattern[];
  if (runs.length === 1) return segments.length === head.length && runMatches(head, segments, 0);
  const end = segments.length - tail.length;
  if (end < head.length || !runMatches(head, segments, 0) || !runMatches(tail, segments, end)) return false;
  let at = head.length;
  for (let i = 1; i < runs.length - 1; i++) {
    const run = runs[i] as readonly TextPattern[];
    while (at + run.length <= end && !runMatches(run, segments, at)) at++;
    at += run.length;
    if (at > end) return false;
  }
  return true;
}

function runMatches(run: readonly TextPattern[], segments: readonly string[], at: number): boolean {
  for (let i = 0; i < run.length; i++) {
    const pattern = run[i] as TextPattern;
    const segment = segments[at + i] as string;
    if (pattern === ONE_SEGMENT ? segment === "" : !pattern.matches(segment)) return false;
  }
  return true;
}
