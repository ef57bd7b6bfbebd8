/** The plainest possible matchers, slow and obvious: what the real ones are held against. */

export function pathMatches(pattern: string, path: string): boolean {
  return segmentsMatch(pattern.split("/"), path.split("/"));
}

function segmentsMatch([first, ...patterns]: string[], segments: string[]): boolean {
  if (first === undefined) return segments.length === 0;
  if (first === "**") {
    const skipped = segments.length > 0 && segmentsMatch([first, ...patterns], segments.slice(1));
    return skipped || segmentsMatch(patterns, segments);
  }
  const [segment, ...rest] = segments;
  if (segment === undefined || (first === "*" && segment === "")) return false;
  return globMatches(first, segment) && segmentsMatch(patterns, rest);
}

export function globMatches(glob: string, text: string): boolean {
  if (glob === "") return text === "";
  if (glob.startsWith("*"))
    return globMatches(glob.slice(1), text) || (text !== "" && globMatches(glob, text.slice(1)));
  return text !== "" && glob.charAt(0) === text.charAt(0) && globMatches(glob.slice(1), text.slice(1));
}
