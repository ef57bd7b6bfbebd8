/** Columns of text: the first one to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[], indent = ""): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  const lines = rows.map((row) => {
    const cells = row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)));
    return `${indent}${cells.join("  ")}`.trimEnd();
  });
  return `${lines.join("\n")}\n`;
}

export function number(value: number | null, digits: number): string {
  if (value === null) return "-";
  if (Number.isNaN(value)) return "?";
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
