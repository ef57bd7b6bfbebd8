/** The word of `known` that `word` is most likely a slip of, or `null`: at most a third of its letters may differ. */
export function nearest(word: string, known: Iterable<string>): string | null {
  if (word.length > 64) return null;
  const wanted = plain(word);
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(wanted, plain(candidate));
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Case and separators are the commonest slips: they count for nothing. */
function plain(word: string): string {
  return word.toLowerCase().replaceAll(/[-_. ]/g, "");
}

/** Edits between two words, two letters that changed places being one (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(swap, (previous[j] as number) + 1, (row[j - 1] as number) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (before[j - 2] as number) + 1);
      row.push(least);
    }
    [before, previous] = [previous, row];
  }
  return previous[b.length] as number;
}
